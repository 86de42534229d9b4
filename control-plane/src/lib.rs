//! The path of a config: files, or an API server, are read (`source`), become one set of objects (`world`), are
//! rendered into what proxies are told (`compile`), reach the proxies that asked (`publish`), over gRPC with mTLS
//! (`serve`).
//!
//! Invariant: what a proxy holds is always a prefix of one history: a change is published whole, a rejected
//! version is never sent again, and an object that cannot be read leaves its last good version in force.
//!
//! The modules stand in the order in which a change passes them; beside the path stand who may speak
//! (`custody`, `attest`, `registration`) and who may ask (`report`, `admin`, `ops`).

pub mod config;
pub mod descriptors;

// The path.
pub mod source;
pub mod world;
pub mod compile;
pub mod publish;
pub mod serve;

// Who is who, and what outlives a restart.
pub mod journal;
pub mod aside;
pub mod custody;
pub mod attest;
pub mod registration;

// What an API server asks before it takes an object.
pub mod webhook;

// Questions and orders.
pub mod report;
pub mod lead;
pub mod keys;
pub mod status;
pub mod admin;
pub mod ops;

mod run;

#[cfg(test)]
mod scripted;
#[cfg(test)]
mod trial;

pub use run::{ControlPlane, Core, CoreSettings, Running, StartError};
