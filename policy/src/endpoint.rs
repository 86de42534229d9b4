//! Which endpoint to ask: those that are healthy and not broken, then the less loaded of two draws (or what
//! the policy says instead).

pub mod hash;
mod healthy;
pub mod limits;
pub mod load;
mod pick;

pub use pick::{Pick, PickReason, Pool, pick};

use std::net::SocketAddr;
use std::sync::Arc;

use healthy::Healthy;

use crate::identity::SpiffeId;
use crate::object::ServicePort;

/// The endpoints of one Service port. Immutable: what is learned about them is kept beside, by
/// [`Endpoint::addr`].
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSet {
    /// Whose endpoints.
    pub of: ServicePort,
    endpoints: Vec<Endpoint>,
    healthy: Healthy,
}

impl EndpointSet {
    /// `endpoints` are sorted by address, so that equal sets are equal bytes.
    #[must_use]
    pub fn new(of: ServicePort, endpoints: Vec<Endpoint>) -> Self {
        let healthy = Healthy::of(&endpoints);
        Self { of, endpoints, healthy }
    }

    /// All of them, whatever is said of their health, sorted by address.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

/// One place to send to.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The pod or `Workload`.
    pub name: Arc<str>,
    /// Where a connection is dialled: the application itself, or its sidecar's inbound listener.
    pub addr: SocketAddr,
    /// The application's own port, carried on the hop when `addr` is a sidecar's.
    pub target_port: u16,
    /// Who the far end must prove to be over mTLS; `None`: it has no sidecar, speak plaintext.
    pub identity: Option<SpiffeId>,
    /// `topology.kubernetes.io/zone`
    pub zone: Option<Arc<str>>,
    /// Relative share of requests; at least 1.
    pub weight: u32,
    /// What discovery says of it.
    pub health: Health,
}

/// What discovery says of an endpoint. What a proxy has found out itself is in its breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Health {
    /// Send to it.
    #[default]
    Healthy,
    /// Its last word is old: the stream to its sidecar was lost. Send to it when nothing healthy is left.
    Unconfirmed,
    /// It is going away: nothing new.
    Draining,
    /// Its own checks fail: nothing.
    Unhealthy,
}

impl Health {
    /// Every state, in the order of declaration. The wire numbers them from 0 in this order.
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Unconfirmed, Self::Draining, Self::Unhealthy];
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The cheaper of two draws, cost = latency (peak-sensitive moving average) × requests in flight.
    #[default]
    PeakEwma,
    /// The one of two draws with fewer requests in flight.
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// By chance.
    Random,
    /// The same endpoint for the same key (ketama-style ring).
    RingHash(HashKey),
}

/// What a ring hash is taken over. A request that lacks it is sent by chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// A header's value (the first, where it is repeated).
    Header(http::HeaderName),
    /// The caller's address.
    SourceAddr,
}

/// How much may be under way to one backend at once, over all its endpoints. 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Open connections.
    pub max_connections: u32,
    /// Requests waiting for a connection.
    pub max_pending: u32,
    /// Requests under way.
    pub max_requests: u32,
}
