//! The record of one request: what was decided, by what, and how it ended. Its end is the end of the response
//! body; then it is counted, logged and, if its trace is kept, sent as a span.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::HeaderName;
use http::{HeaderMap, Method, Response, Uri};
use weft_policy::draw::Draw;
use weft_policy::identity::SpiffeId;
use weft_policy::moment::Moment;
use weft_policy::object::{ObjectRef, ServiceName, ServicePort};
use weft_policy::refuse::Refusal;

use crate::gate::Rule;
use crate::message::body::{Ended, Watcher};
use crate::message::{Body, Broken};
use crate::observe::access_log::Entry;
use crate::observe::export::Span;
use crate::observe::metrics::{Direction, InFlight, RequestMetrics};
use crate::observe::trace::{Bits, Trace};
use crate::refuse;
use crate::telemetry::Label;
use crate::upstream::send::Lease;
use crate::worker::Worker;

/// One request's record.
pub(crate) struct Exchange {
    worker: Rc<Worker>,
    direction: Direction,
    /// When its head was complete.
    pub(crate) started: Moment,
    method: Method,
    uri: Uri,
    /// Whether answers are trailers.
    pub(crate) grpc: bool,
    /// The caller, where proven.
    pub(crate) peer: Option<SpiffeId>,
    /// Its place in a trace.
    pub(crate) trace: Trace,
    seed: u64,
    notes: RefCell<Notes>,
    head_after: Cell<Option<Duration>>,
    request_bytes: Cell<u64>,
    /// Its sender broke off.
    request_broke: Cell<bool>,
    retries: Cell<u32>,
    /// What it is counted under, once that is known, and that it is under way.
    counted: RefCell<Option<(RequestMetrics, InFlight)>>,
}

/// What becomes known on the way.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) service: Option<ServiceName>,
    pub(crate) route: Option<ObjectRef>,
    pub(crate) rule: Option<Arc<str>>,
    pub(crate) backend: Option<ServicePort>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) refusal: Option<Refusal>,
    /// The rule of HTTP that the request broke, or the response.
    pub(crate) broken: Option<Rule>,
    pub(crate) policy: Option<ObjectRef>,
    pub(crate) status: u16,
}

impl Exchange {
    /// Begins the record of `request`. `draw` is what its choices are made with.
    pub(crate) fn begin<B>(
        worker: &Rc<Worker>,
        direction: Direction,
        request: &http::Request<B>,
        peer: Option<SpiffeId>,
        draw: &mut Draw,
    ) -> Rc<Self> {
        let seed = draw.seed();
        // The trace's bits must not move the dice: `explain --draw` has no trace.
        let mut bits = Draw::from_seed(!seed);
        let sample = bits.unit() < worker.shared.config.trace_share;
        let bits = Bits { trace: u128::from(bits.bits()) << 64 | u128::from(bits.bits()), span: bits.bits() };
        Rc::new(Self {
            worker: Rc::clone(worker),
            direction,
            started: worker.now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            grpc: is_grpc(request.headers()),
            peer,
            trace: Trace::begin(request.headers(), bits, sample),
            seed,
            notes: RefCell::default(),
            head_after: Cell::new(None),
            request_bytes: Cell::new(0),
            request_broke: Cell::new(false),
            retries: Cell::new(0),
            counted: RefCell::default(),
        })
    }

    /// Writes into the record.
    pub(crate) fn note(&self, write: impl FnOnce(&mut Notes)) {
        write(&mut self.notes.borrow_mut());
    }

    /// Its service, route and backend are known: it counts as in flight from here to its end.
    pub(crate) fn is_under_way(&self) {
        let numbers = self.numbers();
        let in_flight = numbers.begin();
        *self.counted.borrow_mut() = Some((numbers, in_flight));
    }

    /// It is sent once more.
    pub(crate) fn retried(&self) {
        self.retries.set(self.retries.get() + 1);
        self.numbers().retried();
    }

    /// Body bytes towards the server, at the end of a try.
    pub(crate) fn sent(&self, bytes: u64) {
        self.request_bytes.set(self.request_bytes.get().max(bytes));
    }

    /// Whether this trace is kept and somebody takes spans: then we are a span of it.
    pub(crate) fn is_traced(&self) -> bool {
        self.worker.shared.observe.spans.wants(&self.trace)
    }

    /// The answer of the proxy's own.
    pub(crate) fn refuse(self: &Rc<Self>, refusal: Refusal, because: Option<&ObjectRef>) -> Response<Body> {
        let broken = self.notes.borrow().broken;
        // Whatever came of it: a request that broke off hears of that, and that nobody else is to blame.
        let refusal = match self.is_broken() {
            true => broken.map_or(Refusal::BadRequest, Rule::refusal),
            false => refusal,
        };
        self.note(|notes| {
            notes.refusal = Some(refusal);
            notes.policy = because.cloned();
        });
        let because = because.map(ToString::to_string).or(broken.map(|rule| rule.name().to_owned()));
        self.answer(refuse::response(refusal, because.as_deref(), self.grpc), None)
    }

    /// The answer to a head that breaks `rule`.
    pub(crate) fn refuse_rule(self: &Rc<Self>, rule: Rule) -> Response<Body> {
        self.note(|notes| notes.broken = Some(rule));
        self.refuse(rule.refusal(), None)
    }

    /// What came back is not HTTP; `error` may say which rule it broke.
    pub(crate) fn bad_response(&self, error: &Broken) {
        // A request that breaks off ends in an error of the same kind.
        if !self.is_broken() {
            tracing::debug!(%error, "an answer is not HTTP");
            self.note(|notes| notes.broken = Rule::behind(error));
        }
    }

    /// Whether the request broke off: it is not worth another try, and says nothing of whoever was asked.
    pub(crate) const fn is_broken(&self) -> bool {
        self.request_broke.get()
    }

    /// The response as it goes back. The record ends with its body; so does what is `held` for it.
    pub(crate) fn answer(
        self: &Rc<Self>,
        response: Response<Body>,
        held: Option<Box<dyn Hold>>,
    ) -> Response<Body> {
        self.note(|notes| notes.status = response.status().as_u16());
        self.head_after.set(Some(self.worker.now().since(self.started)));
        let in_headers = if self.grpc { grpc_status(response.headers()) } else { None };
        let ending = Ending { exchange: Rc::clone(self), held, in_headers };
        response.map(|body| body.watched(Box::new(ending)))
    }

    fn numbers(&self) -> RequestMetrics {
        if let Some((numbers, _)) = &*self.counted.borrow() {
            return numbers.clone();
        }
        let notes = self.notes.borrow();
        self.worker.telemetry.requests(Label {
            direction: self.direction,
            service: notes.service.clone(),
            route: notes.route.clone(),
            backend: notes.backend.clone(),
        })
    }

    fn ended(&self, bytes: u64, grpc_status: Option<u16>) {
        let numbers = self.numbers();
        let notes = self.notes.borrow();
        let head_after = self.head_after.get().unwrap_or_default();
        match notes.refusal {
            Some(refusal) => numbers.refused(refusal.answer().token, notes.status, head_after),
            None => numbers.answered(&self.method, notes.status, head_after),
        }
        if let Some(code) = grpc_status {
            numbers.grpc_status(code);
        }
        numbers.request_bytes(self.request_bytes.get());
        numbers.response_bytes(bytes);
        let observe = &self.worker.shared.observe;
        if let Some(rule) = notes.broken {
            observe.metrics.wire_refusals("h1", rule.name()).increment();
        }
        if observe.access_log.is_on() {
            self.log(&notes, bytes, grpc_status);
        }
        if observe.spans.wants(&self.trace) {
            observe.spans.finish(self.span(&notes, grpc_status));
        }
    }

    /// Its start by the wall clock, which only those are asked for that are written down.
    fn began_at(&self) -> SystemTime {
        let now = SystemTime::now();
        now.checked_sub(self.worker.now().since(self.started)).unwrap_or(now)
    }

    fn log(&self, notes: &Notes, bytes: u64, grpc_status: Option<u16>) {
        let text = |object: &Option<ObjectRef>| object.as_ref().map(ToString::to_string);
        let (route, policy) = (text(&notes.route), text(&notes.policy));
        let service = notes.service.as_ref().map(ToString::to_string);
        let backend = notes.backend.as_ref().map(ToString::to_string);
        self.worker.shared.observe.access_log.write(&Entry {
            time: self.began_at(),
            trace_id: Some(self.trace.trace_id),
            direction: self.direction,
            peer: self.peer.as_ref().map(SpiffeId::as_str),
            service: service.as_deref(),
            route: route.as_deref(),
            rule: notes.rule.as_deref(),
            backend: backend.as_deref(),
            endpoint: notes.endpoint,
            method: self.method.as_str(),
            path: self.uri.path(),
            status: notes.status,
            grpc_status,
            refusal: notes.refusal.map(|refusal| refusal.answer().token),
            policy: policy.as_deref(),
            broken: notes.broken.map(Rule::name),
            took: self.worker.now().since(self.started),
            request_bytes: self.request_bytes.get(),
            response_bytes: bytes,
            retries: self.retries.get(),
            draw: self.seed,
        });
    }

    fn span(&self, notes: &Notes, grpc_status: Option<u16>) -> Span {
        let name = |text: Option<String>| text.map(Arc::from);
        Span {
            trace: self.trace.clone(),
            direction: self.direction,
            started: self.began_at(),
            took: self.worker.now().since(self.started),
            method: self.method.clone(),
            path: self.uri.path().to_owned(),
            server_address: self.uri.host().map(Arc::from),
            server_port: self.uri.port_u16(),
            peer: notes.endpoint,
            status: Some(notes.status),
            grpc_status,
            service: name(notes.service.as_ref().map(ToString::to_string)),
            route: name(notes.route.as_ref().map(ToString::to_string)),
            backend: name(notes.backend.as_ref().map(ToString::to_string)),
            peer_identity: self.peer.as_ref().map(|id| Arc::from(id.as_str())),
            refusal: notes.refusal.map(|refusal| refusal.answer().token),
            resends: self.retries.get(),
        }
    }
}

/// What is held for the length of a response: a connection, a place in a count.
pub(crate) trait Hold {
    /// The response has ended; `grpc_status` is its code, where it has one.
    fn ended(self: Box<Self>, how: Ended, grpc_status: Option<u16>);
}

impl Hold for Lease {
    fn ended(self: Box<Self>, _: Ended, _: Option<u16>) {}
}

/// The end of one response.
struct Ending {
    exchange: Rc<Exchange>,
    held: Option<Box<dyn Hold>>,
    in_headers: Option<u16>,
}

impl Watcher for Ending {
    fn ended(self: Box<Self>, how: Ended, bytes: u64, trailers: Option<&HeaderMap>) {
        let in_trailers = trailers.filter(|_| self.exchange.grpc).and_then(grpc_status);
        let code = in_trailers.or(self.in_headers);
        if let Some(held) = self.held {
            held.ended(how, code);
        }
        self.exchange.ended(bytes, code);
    }
}

/// Counts the body of one try on its way up.
pub(crate) struct Upward(pub(crate) Rc<Exchange>);

impl Watcher for Upward {
    fn broke(&mut self, error: &Broken) {
        self.0.request_broke.set(true);
        self.0.note(|notes| notes.broken = Rule::behind(error));
    }

    fn ended(self: Box<Self>, _: Ended, bytes: u64, _: Option<&HeaderMap>) {
        self.0.sent(bytes);
    }
}

/// Whether a request is a gRPC call (gRPC over HTTP/2, "Requests").
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(http::header::CONTENT_TYPE).is_some_and(|value| {
        value.as_bytes().starts_with(b"application/grpc") && !is_grpc_web(value.as_bytes())
    })
}

fn is_grpc_web(content_type: &[u8]) -> bool {
    content_type.starts_with(b"application/grpc-web")
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The code that a response or its trailers carry.
pub(crate) fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}
