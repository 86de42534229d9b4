//! Requests of the application's own.
//!
//! One function read downwards: the head is made safe, one snapshot answers where it goes, filters apply, and
//! tries are made until one brings a response or the policy has had enough.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use weft_policy::decide::{self, Forward, Matched, Outbound};
use weft_policy::draw::Draw;
use weft_policy::facts::{self, Facts, Source};
use weft_policy::protocol::AppProtocol;
use weft_policy::refuse::Refusal;
use weft_policy::snapshot::Snapshot;

use super::attempt::{Answered, Tries, hash_key};
use super::filters::{filter_request, filter_response, redirect};
use super::outside;
use super::tries::until_answered;
use crate::exchange::{Exchange, Upward};
use crate::gate::{self, Answer, Client, Wire};
use crate::memory::{A_REQUEST, Fill};
use crate::message::target::{self, RequestTarget};
use crate::message::{Body, Http, fields};
use crate::observe::metrics::Direction;
use crate::upstream::pool::Far;
use crate::upstream::send::{SendFailure, send};
use crate::upstream::upgrade::Upgrade;
use crate::way_in::Target;
use crate::worker::Worker;

/// Where the requests of a connection go.
pub(super) enum Goal {
    /// All of them to one place.
    Fixed(Target),
    /// Each says so itself, and a `CONNECT` is handed to this.
    Asked(Tunnel),
}

/// Serves what follows a `CONNECT`.
type Tunnel = Box<dyn Fn(Rc<Worker>, Upgraded, Target) -> Pin<Box<dyn Future<Output = ()>>>>;

/// Serves the requests of one connection.
pub(super) async fn serve(worker: Rc<Worker>, stream: Wire, http: Http, addr: SocketAddr, goal: Goal) {
    let drain = worker.shared.drain_outbound.clone();
    let shared = Arc::clone(&worker.shared);
    let connection = Rc::new(Connection { worker, addr, goal });
    let answer: Answer = Rc::new(move |request| {
        let connection = Rc::clone(&connection);
        // A request is as large as all the rest that is known of it, and goes through six hands.
        let request = Box::new(request);
        Box::pin(async move { connection.answer(request).await })
    });
    let (metrics, memory) = (&shared.observe.metrics, &shared.memory);
    let served = gate::serve(stream, http, Client::Anybody, metrics, memory, drain, answer);
    if let Err(error) = served.await {
        tracing::debug!(%error, "an outbound connection ended in an error");
    }
}

/// One connection of the application's.
struct Connection {
    worker: Rc<Worker>,
    addr: SocketAddr,
    goal: Goal,
}

impl Connection {
    async fn answer(self: &Rc<Self>, mut request: Box<Request<Incoming>>) -> Response<Body> {
        let mut draw = self.worker.draw();
        let us = self.worker.shared.us();
        let exchange = Exchange::begin(&self.worker, Direction::Outbound, &request, Some(us), &mut draw);
        if let Some(rule) = gate::refused(&request) {
            return exchange.refuse_rule(rule);
        }
        if self.worker.shared.memory.take(A_REQUEST) != Fill::Easy {
            return exchange.refuse(Refusal::Overloaded, None);
        }
        if request.method() == Method::CONNECT {
            return self.connect(&exchange, *request);
        }
        let asked =
            RequestTarget::read(&mut request).and_then(|asked| Ok((self.target(&asked, &request)?, asked)));
        let (target, asked) = match asked {
            Ok(asked) => asked,
            Err(refusal) => return exchange.refuse(refusal, None),
        };
        // The application cannot pose as a proxy either.
        fields::strip_identity(request.headers_mut());
        let snapshot = match self.worker.shared.current.answering(&target.destination()).await {
            Ok(snapshot) => snapshot,
            Err(refusal) => return exchange.refuse(refusal, None),
        };
        match self.decide(&snapshot, &exchange, &target, &asked, request, &mut draw).await {
            Ok(response) => response,
            Err(refusal) => exchange.refuse(refusal, None),
        }
    }

    /// `CONNECT host:port` (RFC 9110 §9.3.6): what follows is a connection to there, whatever it speaks.
    fn connect(self: &Rc<Self>, exchange: &Rc<Exchange>, mut request: Request<Incoming>) -> Response<Body> {
        let authority = request.uri().authority().map(|authority| (authority.host(), authority.port_u16()));
        let (Goal::Asked(_), Some((host, Some(port)))) = (&self.goal, authority) else {
            return exchange.refuse(Refusal::BadRequest, None);
        };
        let Ok(target) = Target::new(host, port) else {
            return exchange.refuse(Refusal::BadRequest, None);
        };
        let (connection, counted) = (Rc::clone(self), Rc::clone(&self.worker.tunnels));
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::task::spawn_local(async move {
            if let (Ok(stream), Goal::Asked(tunnel)) = (upgraded.await, &connection.goal) {
                tunnel(Rc::clone(&connection.worker), stream, target).await;
            }
            drop(counted);
        });
        exchange.answer(Response::new(Body::empty()), None)
    }

    /// Where the connection goes, or where this request says.
    fn target<B>(&self, asked: &RequestTarget, request: &Request<B>) -> Result<Target, Refusal> {
        if let Goal::Fixed(target) = &self.goal {
            return Ok(target.clone());
        }
        if request.uri().scheme_str().is_some_and(|scheme| scheme != "http") {
            return Err(Refusal::NotSupported); // a client asks a proxy for https with CONNECT
        }
        Target::new(&asked.host, asked.port.unwrap_or(80)).map_err(|_| Refusal::BadRequest)
    }

    async fn decide(
        &self,
        snapshot: &Arc<Snapshot>,
        exchange: &Rc<Exchange>,
        target: &Target,
        asked: &RequestTarget,
        mut request: Box<Request<Incoming>>,
        draw: &mut Draw,
    ) -> Result<Response<Body>, Refusal> {
        let upgrade = Upgrade::asked(&mut request);
        let us = self.worker.shared.us();
        let facts = Facts {
            source: Source { identity: Some(&us), addr: Some(self.addr.ip()) },
            destination: target.destination(),
            request: Some(facts::Request {
                method: request.method(),
                host: &asked.host,
                path: request.uri().path(),
                query: request.uri().query(),
                headers: request.headers(),
                grpc: exchange.grpc,
            }),
        };
        let default_breaker = weft_policy::breaker::BreakerConfig::default();
        let live = self.worker.learned.view(&default_breaker);
        match decide::outbound(snapshot, &live, &facts, self.worker.now(), draw) {
            Outbound::Forward(forward) => {
                let key = hash_key(forward.traffic, &facts);
                note(exchange, &forward);
                self.forward(snapshot, exchange, &forward, key, asked, upgrade, request, draw).await
            }
            Outbound::Redirect { matched, to } => {
                note_match(exchange, matched);
                Ok(exchange.answer(redirect(to, target, asked, request.uri()), None))
            }
            Outbound::Refuse { refusal, service, matched } => {
                exchange.note(|notes| notes.service = service.map(|service| service.name.clone()));
                if let Some(matched) = matched {
                    note_match(exchange, matched);
                }
                let because = matched.map(|matched| &matched.route.origin);
                Ok(exchange.refuse(refusal, because))
            }
            Outbound::Unknown => Box::pin(self.outside(exchange, target, asked, upgrade, request)).await,
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one request's facts, each used once; a struct would only rename them"
    )]
    async fn forward(
        &self,
        snapshot: &Arc<Snapshot>,
        exchange: &Rc<Exchange>,
        forward: &Forward<'_>,
        key: Option<u64>,
        asked: &RequestTarget,
        upgrade: Option<Upgrade>,
        request: Box<Request<Incoming>>,
        draw: &mut Draw,
    ) -> Result<Response<Body>, Refusal> {
        let worker = &self.worker;
        let endpoints = &*snapshot.endpoints_of(&forward.to).ok_or(Refusal::NoEndpoint)?;
        if key.is_some() {
            worker.learned.keep_ring(endpoints);
        }
        // What speaks HTTP/2 alone switches to nothing: it may ignore the wish (RFC 9110 §7.8).
        let upgrade = upgrade.filter(|_| forward.port.protocol != AppProtocol::Http2);
        let version = request.version();
        let (mut parts, body) = request.into_parts();
        fields::strip_hop_by_hop(&mut parts.headers);
        let authority = filter_request(forward, &mut parts, &asked.authority)?;
        if exchange.is_traced() {
            exchange.trace.inject(&mut parts.headers);
        }
        if let Some(upgrade) = &upgrade {
            upgrade.ask(&mut parts.headers);
        }
        let backend = worker.learned.backend(&forward.to);
        let tries = Tries {
            worker,
            exchange,
            endpoints,
            traffic: forward.traffic,
            backend: &backend,
            key,
            version,
            plain: Http::toward(forward.port.protocol, version, exchange.grpc),
            upgrade: upgrade.is_some(),
            authority: &authority,
        };
        // The decision has looked at the limit; another worker may have taken the last place since.
        let most = forward.traffic.limits.max_requests;
        let under_way = backend.request(most).ok_or(Refusal::OverLimit)?;
        let answered = until_answered(&tries, forward, &parts, body, draw).await?;
        let Answered { mut response, mut tried } = answered;
        match upgrade {
            Some(upgrade) => {
                let (server, counted) = (tried.tunnel(), Rc::clone(&worker.tunnels));
                upgrade.answered(&mut response, server, UPGRADED_IDLE, counted, fields::strip_hop_by_hop);
            }
            None => fields::strip_hop_by_hop(response.headers_mut()),
        }
        filter_response(forward, response.headers_mut());
        *response.version_mut() = version;
        Ok(exchange.answer(response, Some(tried.held(under_way))))
    }

    /// Passes a request through to somewhere outside the mesh.
    async fn outside(
        &self,
        exchange: &Rc<Exchange>,
        target: &Target,
        asked: &RequestTarget,
        upgrade: Option<Upgrade>,
        request: Box<Request<Incoming>>,
    ) -> Result<Response<Body>, Refusal> {
        let worker = &self.worker;
        let addr = outside::resolve(&worker.shared, target).await?;
        exchange.note(|notes| notes.endpoint = Some(addr));
        let version = request.version();
        let (mut parts, body) = request.into_parts();
        fields::strip_hop_by_hop(&mut parts.headers);
        if let Some(upgrade) = &upgrade {
            upgrade.ask(&mut parts.headers);
        }
        let http = if version == Version::HTTP_2 { Http::H2 } else { Http::H1 };
        target::write(&mut parts, http, &asked.authority);
        let body = Body::incoming(body).watched(Box::new(Upward(Rc::clone(exchange))));
        let mut request = Box::new(Request::from_parts(parts, body));
        let far = Far::new(&worker.shared, addr, None);
        for _ in 0..OUTSIDE_CONNECTIONS {
            let sender = match &upgrade {
                Some(_) => Box::pin(worker.pool.open_h1(&worker.shared, far.clone())).await,
                None => worker.pool.checkout(&worker.shared, far.clone(), http).await,
            };
            match send(&worker.pool, sender.map_err(|_| Refusal::ConnectFailed)?, request).await {
                // A switch that nobody asked for: whatever follows is no HTTP (RFC 9110 §15.2.2).
                Ok(sent)
                    if upgrade.is_none() && sent.response.status() == StatusCode::SWITCHING_PROTOCOLS =>
                {
                    return Err(Refusal::BadResponse);
                }
                Ok(mut sent) => {
                    match upgrade {
                        Some(upgrade) => {
                            upgrade.answered(
                                &mut sent.response,
                                sent.lease.tunnel(),
                                UPGRADED_IDLE,
                                Rc::clone(&worker.tunnels),
                                fields::strip_hop_by_hop,
                            );
                        }
                        None => fields::strip_hop_by_hop(sent.response.headers_mut()),
                    }
                    *sent.response.version_mut() = version;
                    return Ok(exchange.answer(sent.response, Some(Box::new(sent.lease))));
                }
                Err(SendFailure::Unsent(unsent)) => request = unsent,
                Err(SendFailure::NotHttp(error)) => {
                    exchange.bad_response(&error);
                    return Err(Refusal::BadResponse);
                }
                Err(SendFailure::RefusedStream | SendFailure::Reset { .. }) => {
                    return Err(Refusal::UpstreamReset);
                }
            }
        }
        Err(Refusal::ConnectFailed)
    }
}

fn note(exchange: &Exchange, forward: &Forward<'_>) {
    exchange.note(|notes| {
        notes.service = Some(forward.service.name.clone());
        notes.backend = Some(forward.to.clone());
    });
    if let Some(matched) = forward.matched {
        note_match(exchange, matched);
    }
    exchange.is_under_way();
}

fn note_match(exchange: &Exchange, matched: Matched<'_>) {
    exchange.note(|notes| {
        notes.route = Some(matched.route.origin.clone());
        let unnamed = || matched.rule_index.to_string().into();
        notes.rule = Some(matched.rule.name.clone().unwrap_or_else(unnamed));
    });
}

/// How long an upgraded connection may be silent.
const UPGRADED_IDLE: Duration = Duration::from_secs(2 * 3600);
/// Pooled connections that may turn out closed before one that holds is opened.
const OUTSIDE_CONNECTIONS: usize = 5;
