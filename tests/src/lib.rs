//! A whole mesh in one process, on loopback, with no port that is written down: a control plane with its own
//! directories, sidecars beside origins, and clients that speak through them as applications do.
//!
//! Nothing here is a stand-in for a part of the mesh: the control plane and the proxies are the ones that are
//! shipped, started through their own settings. Only the applications are ours. Nothing sleeps for luck: whatever
//! has to happen first is waited for, with a deadline that only a failure reaches.

pub mod eventually;
pub mod mesh;
pub mod operator;
pub mod sidecar;
pub mod machine;
pub mod port;

// The applications.
pub mod origin;
pub mod peer;
pub mod call;
pub mod grpc;
pub mod log;
pub mod collector;
pub mod dns;
pub mod tls;
pub mod program;

// What must never happen, and what the scorecard is told.
pub mod panics;
pub mod figures;
