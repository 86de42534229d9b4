//! Explicit ways into the mesh, for where nothing can be redirected: a laptop, or a pod without NET_ADMIN.
//!
//! The application says itself where it wants to go: by SOCKS5 ([`socks5`]), by an HTTP proxy request or
//! `CONNECT` (hyper reads those, in the gate), or by dialling a local port that stands for one destination
//! ([`FixedPort`]). All of them end in a [`Target`], and what follows is the same code as for a redirected
//! connection.

pub mod socks5;
mod target;
mod fixed_port;

pub use fixed_port::{BadFixedPort, FixedPort};
pub use target::{BadTarget, Target};
