//! What a proxy has learned by itself, as a decision asks for it. What is learned outlives every snapshot,
//! because it is keyed by endpoint or backend.

use std::sync::Arc;

use crate::endpoint::hash::Ring;
use crate::endpoint::{Endpoint, EndpointSet};
use crate::moment::Moment;
use crate::object::ServicePort;

/// What a decision may ask of the proxy's own experience.
pub trait Live {
    /// What is known of one endpoint.
    fn endpoint(&self, endpoint: &Endpoint, now: Moment) -> Experience;

    /// What is under way to a backend.
    fn in_use(&self, backend: &ServicePort) -> InUse;

    /// The number of picks made for this set so far: round robin's turn.
    fn turn(&self, set: &EndpointSet) -> u64;

    /// The ring of this very set, where one is kept. It only saves time: the answer is the same without.
    fn ring(&self, set: &EndpointSet) -> Option<Arc<Ring>> {
        let _ = set;
        None
    }
}

/// What is known of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experience {
    /// Whether its breaker lets a request through now.
    pub admits: bool,
    /// Its latency, peak-sensitive, in nanoseconds; 0 where it has never been asked.
    pub latency: f64,
    /// Requests under way to it.
    pub in_flight: u32,
}

impl Experience {
    /// An endpoint nobody has asked yet.
    pub const NONE: Self = Self { admits: true, latency: 0.0, in_flight: 0 };
}

/// What is under way to a backend, over all endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// Open connections.
    pub connections: u32,
    /// Requests waiting for a connection.
    pub pending: u32,
    /// Requests under way.
    pub requests: u32,
}

/// A proxy that has just started: it has learned nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Live for Nothing {
    fn endpoint(&self, _: &Endpoint, _: Moment) -> Experience {
        Experience::NONE
    }

    fn in_use(&self, _: &ServicePort) -> InUse {
        InUse::default()
    }

    fn turn(&self, _: &EndpointSet) -> u64 {
        0
    }
}
