//! The gRPC of a control plane: over mTLS for proxies, over a UNIX socket for its operator.
//!
//! TLS is ours (`accept`), because tonic's own takes neither a certificate that changes while it runs nor a
//! verifier that knows trust domains. Who is at the other end is proven there, once, and every service reads it
//! from the connection and never from a message.

pub mod accept;
pub mod connection;
pub mod discovery;
pub(crate) mod few;
pub mod guests;
pub mod identity;
pub mod inspect;
