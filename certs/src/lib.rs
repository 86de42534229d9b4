//! Who is who: how a workload asks for a certificate, how the mesh's authority gives one, who trusts whom,
//! and the TLS configurations that follow from it. No sockets, no files and no tasks: the control plane and
//! the proxy bring those.
//!
//! Invariant: a certificate says what the authority was told about an authenticated caller, never what the
//! caller wrote into its request; and a peer is whoever its own trust domain's roots say, never another's.
//!
//! The modules stand in the order of a certificate's life.

pub mod request;
pub mod authority;
pub mod bundle;
mod record;
mod provider;
pub mod verify;
pub mod seal;
pub mod tls;
pub mod rotation;
pub mod clock;
mod bounded;

#[cfg(test)]
mod forge;
