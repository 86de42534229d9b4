//! What is counted of streams, for `/metrics`.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Counts of all streams together. Cloning shares them.
#[derive(Clone, Debug)]
pub struct StreamCounts {
    attached: Counter,
    ended: Family<Ended, Counter>,
    transactions: Counter,
    rejections: Counter,
    resyncs: Counter,
    astray: Family<AstrayBy, Counter>,
    convergence: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    code: String,
}

/// Where something was lost that nothing should lose, and was found by looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Astray {
    /// A proxy does not hold what it was told and has acknowledged.
    InProxy,
    /// A change that its stream did not hear of.
    Unheard,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AstrayBy {
    place: &'static str,
}

impl Default for StreamCounts {
    fn default() -> Self {
        Self {
            attached: Counter::default(),
            ended: Family::default(),
            transactions: Counter::default(),
            rejections: Counter::default(),
            resyncs: Counter::default(),
            astray: Family::default(),
            convergence: Histogram::new(BUCKETS),
        }
    }
}

impl StreamCounts {
    /// Makes them part of `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let mut count =
            |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        count("weft_control_plane_attached", "Streams that were attached", &self.attached);
        count("weft_control_plane_transactions", "Transactions that were sent", &self.transactions);
        count("weft_control_plane_rejections", "Resources that proxies rejected", &self.rejections);
        count("weft_control_plane_resyncs", "Resources that proxies asked for in full", &self.resyncs);
        let help =
            "Types that a proxy held otherwise than it was told, and changes that were found by looking";
        registry.register("weft_control_plane_astray", help, self.astray.clone());
        let help = "Streams that ended, by gRPC status";
        registry.register("weft_control_plane_streams_ended", help, self.ended.clone());
        let help = "Seconds from a change being seen to a proxy having applied it";
        registry.register("weft_control_plane_convergence_seconds", help, self.convergence.clone());
    }

    /// A stream was welcomed.
    pub fn attached(&self) {
        self.attached.inc();
    }

    /// A stream ended, or was never welcomed.
    pub fn ended(&self, code: tonic::Code) {
        self.ended.get_or_create(&Ended { code: format!("{code:?}") }).inc();
    }

    /// A transaction was sent.
    pub fn transaction(&self) {
        self.transactions.inc();
    }

    /// A transaction was acknowledged: with so many rejections, for changes seen at this time.
    pub fn acknowledged(&self, rejected: usize, cause_unix_micros: Option<u64>) {
        self.rejections.inc_by(rejected as u64);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        if let Some(since) = cause_unix_micros.and_then(|cause| now.checked_sub(cause.into())) {
            self.convergence.observe(since as f64 / 1_000_000.0);
        }
    }

    /// A proxy asked for so many resources in full.
    pub fn resync(&self, names: usize) {
        self.resyncs.inc_by(names as u64);
    }

    /// So much was found that had been lost.
    pub fn astray(&self, lost: Astray, count: usize) {
        let place = match lost {
            Astray::InProxy => "proxy",
            Astray::Unheard => "stream",
        };
        self.astray.get_or_create(&AstrayBy { place }).inc_by(count as u64);
    }
}

/// From what a loopback takes to what somebody will ask about.
const BUCKETS: [f64; 12] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0];
