//! The proxy's numbers, in the OpenMetrics text form that Prometheus reads.
//!
//! A request touches nothing but atomics: the caller asks once per (direction, service, route, backend) for a
//! [`RequestMetrics`] and keeps it beside what it has learned of that route. The lock here is taken when a handle is
//! made, when numbers are read, and never in between. Histograms are our own ([`latency`]) for the same reason: the
//! library's take a lock per observation.
//!
//! Label values come from configuration and from closed sets; nothing that a peer sends becomes one, except a method,
//! and that through an allow-list. Beyond [`SeriesLimit`] new names are counted together as `_overflow`.

mod callers;
mod expose;
mod handles;
mod latency;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use rustls::HandshakeKind;

pub use callers::PlaintextCallers;
use expose::Exposed;
pub use handles::{
    BreakerMetrics, Count, InFlight, Level, PlaintextMetrics, RequestMetrics, TcpConnection, TcpMetrics,
};
use handles::{Plaintext, Requests, Tcp};

/// All numbers of one proxy. Cheap to clone: every clone is the same.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Tables>);

/// How many names of one kind get numbers of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesLimit(pub usize);

impl Default for SeriesLimit {
    fn default() -> Self {
        Self(2000)
    }
}

/// Which way a request goes, seen from the application beside the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To the application.
    Inbound,
    /// From the application.
    Outbound,
}

/// At which of its doors a proxy speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Callers, before they reach the application.
    Inbound,
    /// Other sidecars, on behalf of the application.
    Outbound,
    /// The control plane.
    ControlPlane,
}

impl Side {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::ControlPlane => "control_plane",
        }
    }
}

/// What requests are counted under. The names are those of objects an operator wrote, never those of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKey<'a> {
    /// Which way.
    pub direction: Direction,
    /// The service (`shop/cart`), or what stands for destinations that are none (`passthrough`).
    pub service: &'a str,
    /// The route that matched, or empty.
    pub route: &'a str,
    /// The backend that was chosen, or empty.
    pub backend: &'a str,
}

impl Metrics {
    /// `refusals` is the closed list of tokens that [`RequestMetrics::refused`] and [`TcpMetrics::refused`] will be called
    /// with.
    #[must_use]
    pub fn new(limit: SeriesLimit, refusals: &'static [&'static str]) -> Self {
        Self(Arc::new(Tables { limit: limit.0, refusals, ..Tables::default() }))
    }

    /// The handle for requests of one route to one backend.
    #[must_use]
    pub fn requests(&self, key: RequestKey<'_>) -> RequestMetrics {
        let name = |text: &str| text.to_owned().into_boxed_str();
        let full = RequestName {
            direction: key.direction,
            service: name(key.service),
            route: name(key.route),
            backend: name(key.backend),
        };
        let overflow = || RequestName {
            direction: key.direction,
            service: name(OVERFLOW),
            route: name(OVERFLOW),
            backend: name(OVERFLOW),
        };
        let make = || Requests::new(self.0.refusals);
        RequestMetrics(self.0.requests.hold(self.0.limit, full, overflow, make))
    }

    /// The handle for opaque connections to (or from) one service.
    #[must_use]
    pub fn tcp(&self, direction: Direction, service: &str) -> TcpMetrics {
        let overflow = || (direction, OVERFLOW.into());
        let make = || Tcp::new(self.0.refusals);
        TcpMetrics(self.0.tcp.hold(self.0.limit, (direction, service.into()), overflow, make))
    }

    /// The handle for requests that came in plaintext to one service of the application.
    #[must_use]
    pub fn plaintext(&self, service: &str) -> PlaintextMetrics {
        let overflow = || OVERFLOW.into();
        PlaintextMetrics(self.0.plaintext.hold(self.0.limit, service.into(), overflow, Plaintext::default))
    }

    /// Who has come in plaintext and was let in.
    #[must_use]
    pub fn plaintext_callers(&self) -> &PlaintextCallers {
        &self.0.plaintext_callers
    }

    /// The handle for the breakers of one backend's endpoints.
    #[must_use]
    pub fn breakers(&self, backend: &str) -> BreakerMetrics {
        let overflow = || OVERFLOW.into();
        BreakerMetrics(self.0.breakers.hold(self.0.limit, backend.into(), overflow, Default::default))
    }

    /// Handshakes that came to nothing before there was a request; `reason` is one of a closed set, the labels of
    /// `HandshakeFailed`.
    #[must_use]
    pub fn tls_refused(&self, side: Side, reason: &'static str) -> Count {
        let overflow = || (side, OVERFLOW);
        Count(self.0.tls_refused.hold(self.0.limit, (side, reason), overflow, Default::default))
    }

    /// Handshakes between sidecars that came about, and how: `full`, or `resumed` from an earlier session.
    #[must_use]
    pub fn tls_handshakes(&self, side: Side, kind: Option<HandshakeKind>) -> Count {
        let kind = if kind == Some(HandshakeKind::Resumed) { "resumed" } else { "full" };
        let overflow = || (side, OVERFLOW);
        Count(self.0.tls_handshakes.hold(self.0.limit, (side, kind), overflow, Default::default))
    }

    /// Connections (`h2`) and messages (`h1`) that were refused for the bytes they are made of; `rule` is one of a
    /// closed set.
    #[must_use]
    pub fn wire_refusals(&self, protocol: &'static str, rule: &'static str) -> Count {
        let overflow = || (OVERFLOW, OVERFLOW);
        Count(self.0.wire_refusals.hold(self.0.limit, (protocol, rule), overflow, Default::default))
    }

    /// Connections by what their first bytes were; `protocol` is one of a closed set.
    #[must_use]
    pub fn detections(&self, protocol: &'static str) -> Count {
        Count(self.0.detections.hold(self.0.limit, protocol.into(), || OVERFLOW.into(), Default::default))
    }

    /// What telemetry lost because it could not be written fast enough; `kind` is `access_log` or `spans`.
    #[must_use]
    pub fn dropped(&self, kind: &'static str) -> Count {
        Count(self.0.dropped.hold(self.0.limit, kind.into(), || OVERFLOW.into(), Default::default))
    }

    /// When this proxy's certificate expires, in seconds since 1970. 0: there is none yet.
    #[must_use]
    pub fn certificate_expiry(&self) -> Level {
        Level(Arc::clone(&self.0.certificate_expiry))
    }

    /// 1 while the stream from the control plane is open.
    #[must_use]
    pub fn control_plane_connected(&self) -> Level {
        Level(Arc::clone(&self.0.control_plane_connected))
    }

    /// 1 once the application's connections are seen to come to the proxy; absent where nobody expects them to.
    #[must_use]
    pub fn redirected(&self) -> Level {
        Level(Arc::clone(self.0.redirected.get_or_init(Arc::default)))
    }

    /// Everything, as `application/openmetrics-text; version=1.0.0; charset=utf-8` ([`CONTENT_TYPE`]).
    #[must_use]
    pub fn encode(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Exposed(Arc::clone(&self.0))));
        let mut text = String::new();
        text::encode(&mut text, &registry).expect("writing to a String cannot fail");
        text
    }

    /// Forgets what nobody holds a handle of any more and nobody did at the last call either: routes that are gone.
    /// Call it every few minutes, slower than numbers are read.
    pub fn sweep(&self) {
        self.0.requests.sweep();
        self.0.tcp.sweep();
        self.0.plaintext.sweep();
        self.0.breakers.sweep();
    }
}

/// What [`Metrics::encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The name under which everything beyond the limit is counted.
pub const OVERFLOW: &str = "_overflow";

/// Everything that is counted, by name.
#[derive(Debug, Default)]
struct Tables {
    limit: usize,
    refusals: &'static [&'static str],
    requests: Table<RequestName, Requests>,
    tcp: Table<(Direction, Box<str>), Tcp>,
    plaintext: Table<Box<str>, Plaintext>,
    plaintext_callers: PlaintextCallers,
    breakers: Table<Box<str>, handles::Breakers>,
    tls_refused: Table<(Side, &'static str), handles::Counter>,
    tls_handshakes: Table<(Side, &'static str), handles::Counter>,
    wire_refusals: Table<(&'static str, &'static str), handles::Counter>,
    detections: Table<Box<str>, handles::Counter>,
    dropped: Table<Box<str>, handles::Counter>,
    certificate_expiry: Arc<handles::Gauge>,
    control_plane_connected: Arc<handles::Gauge>,
    redirected: OnceLock<Arc<handles::Gauge>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RequestName {
    direction: Direction,
    service: Box<str>,
    route: Box<str>,
    backend: Box<str>,
}

/// Series by name, in the order in which they are printed.
#[derive(Debug)]
struct Table<K, V>(Mutex<BTreeMap<K, Row<V>>>);

#[derive(Debug)]
struct Row<V> {
    series: Arc<V>,
    /// Nobody held it at the last sweep.
    idle: bool,
}

impl<K: Ord + Clone, V> Table<K, V> {
    /// The series of this name, or of the name for what is beyond the limit.
    fn hold(&self, limit: usize, name: K, overflow: impl FnOnce() -> K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut rows = self.rows();
        let name = if rows.contains_key(&name) || rows.len() < limit { name } else { overflow() };
        let row = rows.entry(name).or_insert_with(|| Row { series: Arc::new(make()), idle: false });
        Arc::clone(&row.series)
    }

    fn sweep(&self) {
        self.rows().retain(|_, row| {
            let unheld = Arc::strong_count(&row.series) == 1;
            let gone = unheld && row.idle;
            row.idle = unheld;
            !gone
        });
    }

    /// A copy of the table, so that printing it keeps nobody waiting.
    fn read(&self) -> Vec<(K, Arc<V>)> {
        self.rows().iter().map(|(name, row)| (name.clone(), Arc::clone(&row.series))).collect()
    }

    /// A panic while the lock is held leaves a whole table: rows are only added and removed.
    fn rows(&self) -> std::sync::MutexGuard<'_, BTreeMap<K, Row<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }
}

#[cfg(test)]
mod tests;
