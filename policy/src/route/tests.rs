//! Matching and precedence, by the sentences of the Gateway API.
