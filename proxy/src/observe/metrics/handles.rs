//! What a caller holds: each method is a few atomic additions, and a handle is a pointer.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Method;

use super::latency::Latency;

pub(super) type Counter = AtomicU64;
pub(super) type Gauge = AtomicI64;

/// Requests of one route to one backend.
#[derive(Clone, Debug)]
pub struct RequestMetrics(pub(super) Arc<Requests>);

impl RequestMetrics {
    /// A request begins. It is in flight until the returned value is dropped.
    #[must_use]
    pub fn begin(&self) -> InFlight {
        self.0.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(&self.0))
    }

    /// The application (or a peer) has answered; `took` is until its head arrived.
    pub fn answered(&self, method: &Method, status: u16, took: Duration) {
        add(
            self.0.answered.get(method_index(method)).and_then(|classes| classes.get(class_index(status))),
            1,
        );
        self.0.latency.observe(took);
    }

    /// The proxy has answered itself; `token` is one of those that [`super::Metrics::new`] was given.
    pub fn refused(&self, token: &str, status: u16, took: Duration) {
        // The last row is for tokens nobody announced, so that a mistake is counted rather than lost.
        let at = self.0.refusals.iter().position(|known| *known == token).unwrap_or(self.0.refusals.len());
        let rows =
            self.0.refused.get_or_init(|| (0..=self.0.refusals.len()).map(|_| Classes::default()).collect());
        add(rows.get(at).and_then(|classes| classes.get(class_index(status))), 1);
        self.0.latency.observe(took);
    }

    /// The outcome of a gRPC call, from `grpc-status`. A code beyond 16 counts as 2, unknown (gRPC over HTTP/2).
    pub fn grpc_status(&self, code: u16) {
        let at = usize::from(code);
        add(self.0.grpc.get(at).or_else(|| self.0.grpc.get(2)), 1);
    }

    /// A request is sent once more.
    pub fn retried(&self) {
        self.0.retries_sent.fetch_add(1, Relaxed);
    }

    /// It would have been, and the budget was spent.
    pub fn retry_denied(&self) {
        self.0.retries_denied.fetch_add(1, Relaxed);
    }

    /// Body bytes that went towards the server.
    pub fn request_bytes(&self, count: u64) {
        self.0.request_bytes.fetch_add(count, Relaxed);
    }

    /// Body bytes that went towards the client.
    pub fn response_bytes(&self, count: u64) {
        self.0.response_bytes.fetch_add(count, Relaxed);
    }
}

/// A request on its way. Dropping it ends it, however it ended.
#[derive(Debug)]
pub struct InFlight(Arc<Requests>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// Opaque connections of one service.
#[derive(Clone, Debug)]
pub struct TcpMetrics(pub(super) Arc<Tcp>);

impl TcpMetrics {
    /// A connection is open until the returned value is dropped.
    #[must_use]
    pub fn open(&self) -> TcpConnection {
        self.0.opened.fetch_add(1, Relaxed);
        self.0.open.fetch_add(1, Relaxed);
        TcpConnection(Arc::clone(&self.0))
    }

    /// A connection was not carried; `token` is one of those that [`super::Metrics::new`] was given.
    pub fn refused(&self, token: &str) {
        let at = self.0.refusals.iter().position(|known| *known == token).unwrap_or(self.0.refusals.len());
        let rows =
            self.0.refused.get_or_init(|| (0..=self.0.refusals.len()).map(|_| Counter::default()).collect());
        add(rows.get(at), 1);
    }
}

/// An open connection.
#[derive(Debug)]
pub struct TcpConnection(Arc<Tcp>);

impl TcpConnection {
    /// Bytes that went from the client to the server.
    pub fn sent(&self, count: u64) {
        self.0.sent.fetch_add(count, Relaxed);
    }

    /// Bytes that went from the server to the client.
    pub fn received(&self, count: u64) {
        self.0.received.fetch_add(count, Relaxed);
    }
}

impl Drop for TcpConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// Requests that came without mTLS.
#[derive(Clone, Debug)]
pub struct PlaintextMetrics(pub(super) Arc<Plaintext>);

impl PlaintextMetrics {
    /// The policy let it in.
    pub fn allowed(&self) {
        self.0.allowed.fetch_add(1, Relaxed);
    }

    /// The policy did not.
    pub fn denied(&self) {
        self.0.denied.fetch_add(1, Relaxed);
    }
}

/// How many endpoints of a backend are in which state.
#[derive(Clone, Debug)]
pub struct BreakerMetrics(pub(super) Arc<Breakers>);

impl BreakerMetrics {
    /// Sets all three, after a change.
    pub fn set(&self, closed: u32, open: u32, half_open: u32) {
        self.0.closed.store(closed.into(), Relaxed);
        self.0.open.store(open.into(), Relaxed);
        self.0.half_open.store(half_open.into(), Relaxed);
    }

    /// A breaker has opened.
    pub fn tripped(&self) {
        self.0.trips.fetch_add(1, Relaxed);
    }
}

/// Something that only goes up.
#[derive(Clone, Debug)]
pub struct Count(pub(super) Arc<Counter>);

impl Count {
    /// Once more.
    pub fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// So far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Something that has a value now.
#[derive(Clone, Debug, Default)]
pub struct Level(pub(super) Arc<Gauge>);

impl Level {
    /// Says what it is now.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }
}

/// 1xx to 5xx, and a row for what is no status.
pub(super) type Classes = [Counter; STATUS_CLASSES.len()];

#[derive(Debug)]
pub(super) struct Requests {
    pub(super) refusals: &'static [&'static str],
    pub(super) answered: [Classes; METHODS.len()],
    /// Made with the first refusal: most routes never have one.
    pub(super) refused: OnceLock<Box<[Classes]>>,
    pub(super) grpc: [Counter; 17],
    pub(super) latency: Latency,
    pub(super) in_flight: Gauge,
    pub(super) retries_sent: Counter,
    pub(super) retries_denied: Counter,
    pub(super) request_bytes: Counter,
    pub(super) response_bytes: Counter,
}

impl Requests {
    pub(super) fn new(refusals: &'static [&'static str]) -> Self {
        Self {
            refusals,
            answered: Default::default(),
            refused: OnceLock::new(),
            grpc: Default::default(),
            latency: Latency::default(),
            in_flight: Gauge::default(),
            retries_sent: Counter::default(),
            retries_denied: Counter::default(),
            request_bytes: Counter::default(),
            response_bytes: Counter::default(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Tcp {
    pub(super) refusals: &'static [&'static str],
    /// Made with the first refusal, as those of requests are.
    pub(super) refused: OnceLock<Box<[Counter]>>,
    pub(super) opened: Counter,
    pub(super) open: Gauge,
    pub(super) sent: Counter,
    pub(super) received: Counter,
}

impl Tcp {
    pub(super) fn new(refusals: &'static [&'static str]) -> Self {
        Self { refusals, ..Self::default() }
    }
}

#[derive(Debug, Default)]
pub(super) struct Plaintext {
    pub(super) allowed: Counter,
    pub(super) denied: Counter,
}

#[derive(Debug, Default)]
pub(super) struct Breakers {
    pub(super) closed: Gauge,
    pub(super) open: Gauge,
    pub(super) half_open: Gauge,
    pub(super) trips: Counter,
}

fn add(counter: Option<&Counter>, count: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(count, Relaxed);
    }
}

/// The methods that are counted by name (RFC 9110 and PATCH); the last one is everything else.
pub(super) const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "OTHER"];

pub(super) const STATUS_CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

fn method_index(method: &Method) -> usize {
    let (other, named) = (METHODS.len() - 1, METHODS.iter().take(METHODS.len() - 1));
    named.into_iter().position(|known| *known == method.as_str()).unwrap_or(other)
}

fn class_index(status: u16) -> usize {
    match status {
        100..=599 => usize::from(status / 100 - 1),
        _ => STATUS_CLASSES.len() - 1,
    }
}
