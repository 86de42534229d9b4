//! Where requests are counted, logged and traced: what all workers share, and each worker's own handles.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use weft_policy::object::{ObjectRef, ServiceName, ServicePort};
use weft_policy::refuse::Refusal;

use crate::keyed::Keyed;
use crate::observe::access_log::AccessLog;
use crate::observe::export::Spans;
use crate::observe::metrics::{Direction, Metrics, RequestKey, RequestMetrics, SeriesLimit};

/// What all workers write to.
#[derive(Debug)]
pub(crate) struct Observe {
    pub(crate) metrics: Metrics,
    pub(crate) access_log: AccessLog,
    pub(crate) spans: Spans,
}

impl Observe {
    /// Somebody came without mTLS and was let in.
    pub(crate) fn let_in_plaintext(&self, caller: IpAddr) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.metrics.plaintext_callers().note(caller, now);
    }
}

/// All tokens that an answer of the proxy's own can carry.
pub(crate) fn refusal_tokens() -> &'static [&'static str] {
    const TOKENS: [&str; Refusal::ALL.len()] = {
        let mut tokens = [""; Refusal::ALL.len()];
        let mut i = 0;
        while i < tokens.len() {
            tokens[i] = Refusal::ALL[i].answer().token;
            i += 1;
        }
        tokens
    };
    &TOKENS
}

/// Empty numbers.
pub(crate) fn metrics() -> Metrics {
    Metrics::new(SeriesLimit::default(), refusal_tokens())
}

/// One worker's handles, so that a request looks nothing up that others look up too.
#[derive(Debug)]
pub(crate) struct Telemetry {
    observe: Arc<Observe>,
    requests: RefCell<Keyed<Label, RequestMetrics>>,
}

/// What a request is counted under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Label {
    pub(crate) direction: Direction,
    pub(crate) service: Option<ServiceName>,
    pub(crate) route: Option<ObjectRef>,
    pub(crate) backend: Option<ServicePort>,
}

impl Telemetry {
    pub(crate) fn new(observe: Arc<Observe>) -> Self {
        Self { observe, requests: RefCell::default() }
    }

    /// The numbers of this label.
    pub(crate) fn requests(&self, label: Label) -> RequestMetrics {
        let mut requests = self.requests.borrow_mut();
        if let Some(known) = requests.get(&label) {
            return known.clone();
        }
        if requests.len() >= MAX_HANDLES {
            requests.clear();
        }
        let text = |value: Option<String>| value.unwrap_or_default();
        let made = self.observe.metrics.requests(RequestKey {
            direction: label.direction,
            service: &label.service.as_ref().map_or_else(|| OUTSIDE.to_owned(), ToString::to_string),
            route: &text(label.route.as_ref().map(ToString::to_string)),
            backend: &text(label.backend.as_ref().map(ToString::to_string)),
        });
        requests.insert(label, made.clone());
        made
    }
}

/// What destinations outside the mesh are counted under: their names are a client's choice.
pub(crate) const OUTSIDE: &str = "outside";
const MAX_HANDLES: usize = 4096;
