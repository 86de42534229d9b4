//! A call into the application: who is it, may it, and on to the application itself.
//!
//! Invariant: no byte reaches the application before its caller has been identified and authorized.

mod caller;
pub(crate) mod connection;
pub(crate) mod http;
mod tcp;
