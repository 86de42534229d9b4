//! Who may call: tables, and laws over generated policies.
