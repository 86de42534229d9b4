//! What the control plane says: one stream, one snapshot, asked on first use.
//!
//! [`Current`] is what the request path sees of it: a pointer to the newest snapshot, and a way to wait until
//! a destination has been answered for. [`stream`] keeps it new. When the control plane is away, what is known
//! stays in force without limit, and over a restart where there is a place to keep it ([`kept`]).

mod current;
mod kept;
pub(crate) mod stream;

pub(crate) use current::{Current, Discovered};
