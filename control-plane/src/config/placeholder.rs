//! What stands in for a setting that was mistaken, until all mistakes are known: a value of the right type that nobody sees.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use weft_policy::identity::TrustDomain;

use super::{DefaultMtls, SourceKind};

/// A value of the type, any value.
pub(super) trait Placeholder {
    fn placeholder() -> Self;
}

impl Placeholder for PathBuf {
    fn placeholder() -> Self {
        Self::new()
    }
}

impl Placeholder for String {
    fn placeholder() -> Self {
        Self::new()
    }
}

impl Placeholder for bool {
    fn placeholder() -> Self {
        false
    }
}

impl Placeholder for Duration {
    fn placeholder() -> Self {
        Self::ZERO
    }
}

impl Placeholder for SocketAddr {
    fn placeholder() -> Self {
        Self::from(([127, 0, 0, 1], 0))
    }
}

impl<T> Placeholder for Option<T> {
    fn placeholder() -> Self {
        None
    }
}

impl Placeholder for SourceKind {
    fn placeholder() -> Self {
        Self::Directory
    }
}

impl Placeholder for DefaultMtls {
    fn placeholder() -> Self {
        Self::Strict
    }
}

impl Placeholder for TrustDomain {
    fn placeholder() -> Self {
        "placeholder".parse().expect("a valid literal")
    }
}
