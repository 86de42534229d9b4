//! Which backend of a rule: by weight.
