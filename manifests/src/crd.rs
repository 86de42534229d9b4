//! Our own kinds, group `weft.mesh/v1alpha1`: what the Gateway API lacks, attached by `targetRefs`.

pub mod target;
pub mod workload;
pub mod traffic;
pub mod authorization;
pub mod authentication;
pub mod definition;

/// The group of every kind in here.
pub const GROUP: &str = "weft.mesh";
/// The version that is read.
pub const VERSION: &str = "v1alpha1";
