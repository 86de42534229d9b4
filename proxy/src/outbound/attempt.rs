//! One try of one request: an endpoint is picked, a connection taken, the request sent, and what came of it
//! remembered for the next pick.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::header::HeaderValue;
use http::request::Parts;
use http::uri::Authority;
use http::{Request, Response, Version};
use weft_policy::breaker::{Breaker, BreakerConfig, Change, Outcome, Permit};
use weft_policy::draw::Draw;
use weft_policy::endpoint::{Endpoint, EndpointSet, HashKey, pick};
use weft_policy::facts::Facts;
use weft_policy::moment::Moment;
use weft_policy::object::ServicePort;
use weft_policy::refuse::Refusal;
use weft_policy::retry::Failure;
use weft_policy::snapshot::Traffic;

use crate::exchange::{Exchange, Hold};
use crate::learned::{BackendRecord, EndpointRecord, UnderWay};
use crate::message::Http;
use crate::message::body::Ended;
use crate::message::{Body, fields, target};
use crate::shared::Shared;
use crate::upstream::connect::ConnectError;
use crate::upstream::h1::Tunnel;
use crate::upstream::pool::Far;
use crate::upstream::send::{Lease, SendFailure, Sent, send};
use crate::worker::Worker;

/// Everything that is the same for all tries of a request.
pub(super) struct Tries<'r> {
    pub(super) worker: &'r Rc<Worker>,
    pub(super) exchange: &'r Rc<Exchange>,
    pub(super) endpoints: &'r Arc<EndpointSet>,
    pub(super) traffic: &'r Traffic,
    pub(super) backend: &'r Arc<BackendRecord>,
    /// Belongs to the request, not to a try: the same key goes to the same endpoint.
    pub(super) key: Option<u64>,
    /// The version that the client spoke.
    pub(super) version: Version,
    /// What an application without a sidecar is spoken to in.
    pub(super) plain: Http,
    /// It asks for an upgrade: needs a connection of its own.
    pub(super) upgrade: bool,
    pub(super) authority: &'r Authority,
}

/// A try that brought a response head.
pub(super) struct Answered {
    pub(super) response: Response<Body>,
    pub(super) tried: Tried,
}

/// A try that brought none.
pub(super) enum Unanswered {
    /// There is nobody to ask.
    Nobody(Refusal),
    /// Somebody was asked.
    Failed(Failure),
    /// What came back cannot be passed on.
    NotHttp,
}

impl Tries<'_> {
    /// Makes one try, which begins `now`. `asked` are the endpoints of earlier ones; this one's is added.
    pub(super) async fn make(
        &self,
        parts: &Parts,
        body: Body,
        asked: &mut Vec<SocketAddr>,
        deadline: Option<Moment>,
        now: Moment,
        draw: &mut Draw,
    ) -> Result<Answered, Unanswered> {
        let trial = self.pick(asked, now, draw).map_err(Unanswered::Nobody)?;
        let endpoint = trial.endpoint.clone();
        if leads_back(&self.worker.shared, &endpoint) {
            return Err(Unanswered::Nobody(Refusal::Loop));
        }
        asked.push(endpoint.addr);
        self.exchange.note(|notes| notes.endpoint = Some(endpoint.addr));
        let request = self.address(parts.clone(), body, &endpoint);
        // Pinned here: handed over by value, each request would carry the room for it twice.
        let exchange = std::pin::pin!(self.exchange_with(&endpoint, request));
        match self.worker.until(deadline, exchange).await {
            None => Err(trial.failed(Failure::TryTimeout, draw)),
            Some(Ok(Sent { response, lease })) => {
                let tried = Tried { lease, trial: Some(trial), grpc: self.exchange.grpc };
                Ok(Answered { response, tried })
            }
            // The request broke off: whoever sent it could otherwise open the breakers of everybody.
            Some(Err(_)) if self.exchange.is_broken() => Err(Unanswered::Nobody(Refusal::BadRequest)),
            Some(Err(Went::Failed(failure))) => Err(trial.failed(failure, draw)),
            Some(Err(Went::NotHttp)) => {
                trial.failed(Failure::ResetBeforeResponse, draw);
                Err(Unanswered::NotHttp)
            }
        }
    }

    /// Picks an endpoint and its breaker's leave. Where another request took the last leave in between, picks
    /// again.
    fn pick(&self, asked: &[SocketAddr], now: Moment, draw: &mut Draw) -> Result<Trial, Refusal> {
        let learned = &self.worker.learned;
        let config = &self.traffic.breaker;
        for _ in 0..PICKS {
            let live = learned.view(config);
            let picked = pick(self.endpoints, &self.traffic.balance, &live, self.key, asked, now, draw)?;
            let record = learned.endpoint(picked.endpoint);
            if let Some(permit) = record.breaker.begin(config, now) {
                return Ok(Trial {
                    endpoint: picked.endpoint.clone(),
                    _under_way: record.request(),
                    record,
                    permit: Some(permit),
                    backend: self.endpoints.of.clone(),
                    config: *config,
                    began: now,
                    worker: Rc::clone(self.worker),
                });
            }
        }
        Err(Refusal::BreakersOpen)
    }

    async fn exchange_with(
        &self,
        endpoint: &Endpoint,
        mut request: Box<Request<Body>>,
    ) -> Result<Sent, Went> {
        let shared = &self.worker.shared;
        let far = Far::new(shared, endpoint.addr, endpoint.identity.as_ref());
        let http = self.http(endpoint);
        for _ in 0..CONNECTIONS {
            let sender = {
                let _pending = self.backend.pending();
                if self.upgrade {
                    Box::pin(self.worker.pool.open_h1(shared, far.clone())).await
                } else {
                    self.worker.pool.checkout(shared, far.clone(), http).await
                }
            };
            let sender = sender.map_err(|error| Went::Failed(connect_failure(&error)))?;
            match send(&self.worker.pool, sender, request).await {
                Ok(sent) => return Ok(sent),
                // A pooled connection was gone: the next one is tried at once, no retry is counted.
                Err(SendFailure::Unsent(unsent)) => request = unsent,
                Err(SendFailure::RefusedStream) => return Err(Went::Failed(Failure::RefusedStream)),
                Err(SendFailure::Reset { reused, source }) => {
                    tracing::debug!(endpoint = %endpoint.addr, reused, error = %source, "lost a connection");
                    return Err(Went::Failed(Failure::ResetBeforeResponse));
                }
                Err(SendFailure::NotHttp(error)) => {
                    self.exchange.bad_response(&error);
                    return Err(Went::NotHttp);
                }
            }
        }
        Err(Went::Failed(Failure::NotSent))
    }

    /// What is spoken on the connection.
    const fn http(&self, endpoint: &Endpoint) -> Http {
        match (&endpoint.identity, self.upgrade) {
            (_, true) => Http::H1,
            (Some(_), false) => Http::H2,
            (None, false) => self.plain,
        }
    }

    /// Puts the head into the form of the connection it goes out on.
    fn address(&self, mut parts: Parts, body: Body, endpoint: &Endpoint) -> Box<Request<Body>> {
        if endpoint.identity.is_some() {
            parts.headers.insert(fields::HOP_PORT, HeaderValue::from(endpoint.target_port));
            parts.headers.insert(fields::HOP_VERSION, HeaderValue::from_static(version_name(self.version)));
        }
        target::write(&mut parts, self.http(endpoint), self.authority);
        Box::new(Request::from_parts(parts, body))
    }
}

enum Went {
    Failed(Failure),
    NotHttp,
}

fn connect_failure(error: &ConnectError) -> Failure {
    tracing::debug!(%error, "no connection");
    if error.is_wrong_identity() { Failure::WrongIdentity } else { Failure::ConnectFailed }
}

const fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

/// Whether a request to this endpoint would come in again here, as the application's own. Between sidecars it comes in
/// on the other side, and a Service may be its own client.
pub(super) fn leads_back(shared: &Shared, endpoint: &Endpoint) -> bool {
    endpoint.identity.is_none() && shared.own.contains(endpoint.addr)
}

/// A try under way: counted, and with leave from the endpoint's breaker.
pub(super) struct Trial {
    endpoint: Endpoint,
    record: Arc<EndpointRecord>,
    _under_way: UnderWay<EndpointRecord>,
    permit: Option<Permit>,
    /// Whose endpoint it is.
    backend: ServicePort,
    config: BreakerConfig,
    began: Moment,
    worker: Rc<Worker>,
}

impl Trial {
    fn failed(mut self, failure: Failure, draw: &mut Draw) -> Unanswered {
        if let Some(outcome) = Outcome::of_failure(failure) {
            self.record_as(outcome, draw);
        }
        Unanswered::Failed(failure)
    }

    fn record_as(&mut self, outcome: Outcome, draw: &mut Draw) {
        let Some(permit) = self.permit.take() else { return };
        let now = self.worker.now();
        self.record.latency.record(now.since(self.began), now);
        let breaker: &Breaker = &self.record.breaker;
        if let Some(change) = breaker.record(permit, outcome, &self.config, now, draw) {
            tracing::info!(endpoint = %self.endpoint.name, addr = %self.endpoint.addr, ?change, "circuit breaker");
            if matches!(change, Change::Opened { .. }) {
                self.worker.shared.observe.metrics.breakers(&self.backend.to_string()).tripped();
            }
        }
    }
}

impl Drop for Trial {
    /// The client went away: that says nothing of the endpoint.
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.record.breaker.abandon(permit);
        }
    }
}

/// A try whose response is under way.
pub(super) struct Tried {
    lease: Lease,
    trial: Option<Trial>,
    grpc: bool,
}

impl Tried {
    /// Takes in the response's head: its status and, where the head already says it, its gRPC code. The code of
    /// a gRPC call mostly comes last, in the trailers.
    pub(super) fn head(&mut self, status: u16, grpc_status: Option<u16>, draw: &mut Draw) {
        let says_all = !self.grpc || grpc_status.is_some() || status != 200;
        if let Some(trial) = self.trial.as_mut().filter(|_| says_all) {
            trial.record_as(Outcome::of_response(status, code(grpc_status)), draw);
        }
    }

    /// As [`Lease::tunnel`].
    pub(super) fn tunnel(&mut self) -> Option<Box<Tunnel>> {
        self.lease.tunnel()
    }

    /// Holds it, and `request` in its backend's count, until the response has ended.
    pub(super) fn held(self, request: UnderWay<BackendRecord>) -> Box<dyn Hold> {
        Box::new(Held { tried: self, _request: request })
    }
}

struct Held {
    tried: Tried,
    _request: UnderWay<BackendRecord>,
}

impl Hold for Held {
    fn ended(mut self: Box<Self>, how: Ended, grpc_status: Option<u16>) {
        if let Some(trial) = &mut self.tried.trial {
            let outcome = match how {
                Ended::Complete => Some(Outcome::of_response(200, code(grpc_status))),
                Ended::Broken => Some(Outcome::Failure),
                Ended::Abandoned => None,
            };
            let mut draw = trial.worker.draw();
            if let Some(outcome) = outcome {
                trial.record_as(outcome, &mut draw);
            }
        }
    }
}

fn code(grpc_status: Option<u16>) -> Option<u8> {
    grpc_status.map(|code| u8::try_from(code).unwrap_or(2))
}

/// The key a request is hashed by, where its backend's balance hashes.
pub(super) fn hash_key(traffic: &Traffic, facts: &Facts<'_>) -> Option<u64> {
    match &traffic.balance {
        weft_policy::endpoint::Balance::RingHash(key) => HashKey::of(key, facts),
        _ => None,
    }
}

/// Leaves that may be lost to other requests before giving up.
const PICKS: usize = 4;
/// Pooled connections that may turn out closed before a try counts as failed.
const CONNECTIONS: usize = 5;
