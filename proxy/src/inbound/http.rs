//! Requests into the application.
//!
//! One function read downwards: the head is made safe, the caller authorized, the request handed to the
//! application in the version its client spoke.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use weft_policy::decide;
use weft_policy::facts::{self, Destination, Facts, Source};
use weft_policy::object::{ObjectRef, ServiceName};
use weft_policy::protocol::AppProtocol;
use weft_policy::refuse::Refusal;

use super::caller::Caller;
use crate::exchange::{Exchange, Upward};
use crate::gate::{self, Answer, Client, Unprocessed, Wire};
use crate::memory::{A_REQUEST, Fill};
use crate::message::fields::ProvenCaller;
use crate::message::target::{self, RequestTarget};
use crate::message::{Body, Http, fields};
use crate::observe::metrics::Direction;
use crate::original_dst::OriginalDst;
use crate::shared::Dialled;
use crate::upstream::pool::Far;
use crate::upstream::send::{SendFailure, Sent, send};
use crate::upstream::upgrade::Upgrade;
use crate::worker::Worker;

/// Which of the application's ports a request is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Port {
    /// Known of the connection.
    Fixed(Dialled),
    /// A hop's head says it; the kernel's word, where there is one, counts more.
    OfHop(Option<OriginalDst>),
}

/// Serves the requests of one connection.
pub(crate) async fn serve(worker: Rc<Worker>, stream: Wire, http: Http, caller: Caller, port: Port) {
    let drain = worker.shared.drain.clone();
    let shared = Arc::clone(&worker.shared);
    let client = if caller.peer.is_some() { Client::Sidecar } else { Client::Anybody };
    let proven = caller.peer.as_ref().and_then(|peer| ProvenCaller::new(&peer.id, &worker.shared.us()));
    let connection = Rc::new(Connection { worker, caller, proven, port });
    let answer: Answer = Rc::new(move |request| {
        let connection = Rc::clone(&connection);
        let request = Box::new(request);
        Box::pin(async move { connection.answer(request).await })
    });
    let (metrics, memory) = (&shared.observe.metrics, &shared.memory);
    let served = gate::serve(stream, http, client, metrics, memory, drain, answer);
    if let Err(error) = served.await {
        tracing::debug!(%error, "an inbound connection ended in an error");
    }
}

/// One connection to the application.
struct Connection {
    worker: Rc<Worker>,
    caller: Caller,
    /// The caller, as the application is told of it.
    proven: Option<ProvenCaller>,
    port: Port,
}

impl Connection {
    async fn answer(&self, mut request: Box<Request<Incoming>>) -> Response<Body> {
        let Self { worker, caller, proven, port } = self;
        let mut draw = worker.draw();
        let identity = caller.peer.as_ref().map(|peer| peer.id.clone());
        let exchange = Exchange::begin(worker, Direction::Inbound, &request, identity, &mut draw);
        if let Some(rule) = gate::refused(&request) {
            return exchange.refuse_rule(rule);
        }
        if worker.shared.memory.take(A_REQUEST) != Fill::Easy {
            return exchange.refuse(Refusal::Overloaded, None);
        }
        let of_hop = matches!(port, Port::OfHop(_)).then(|| Hopped::read(request.headers())).flatten();
        let dialled = match (*port, &of_hop) {
            (Port::Fixed(dialled), _) => dialled,
            (Port::OfHop(Some(dst)), _) => Dialled::Redirected(dst),
            (Port::OfHop(None), Some(hopped)) => Dialled::Asked(hopped.port),
            (Port::OfHop(None), None) => return exchange.refuse(Refusal::BadRequest, None),
        };
        let version = of_hop.map_or(request.version(), |hopped| hopped.version);
        let target = match RequestTarget::read(&mut request) {
            Ok(target) => target,
            Err(refusal) => return exchange.refuse(refusal, None),
        };
        // Whoever sent it: what it says of itself is not what it is.
        fields::strip_identity(request.headers_mut());
        if let Err((refusal, because)) =
            authorize(worker, caller, dialled.port(), &target, &request, &exchange)
        {
            return exchange.refuse(refusal, because.as_ref());
        }
        let application = match worker.shared.application(dialled) {
            Ok(application) => application,
            Err(refusal) => return exchange.refuse(refusal, None),
        };
        let to = (dialled.port(), application);
        match forward(worker, &exchange, proven.as_ref(), to, version, &target, request).await {
            Ok(response) => response,
            Err(NoAnswer::Refused(refusal)) => exchange.refuse(refusal, None),
            Err(NoAnswer::Unprocessed) => {
                let mut response = exchange.refuse(Refusal::UpstreamReset, None);
                response.extensions_mut().insert(Unprocessed);
                response
            }
        }
    }
}

/// What a hop says in its head: which port, and what the client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hopped {
    port: u16,
    version: Version,
}

impl Hopped {
    fn read(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name)?.to_str().ok();
        // `u16::from_str` takes a plus sign, which no sidecar writes.
        let port = text(fields::HOP_PORT)?;
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| *port != 0 && digits)?;
        let version = match text(fields::HOP_VERSION)? {
            "1.0" => Version::HTTP_10,
            "1.1" => Version::HTTP_11,
            "2" => Version::HTTP_2,
            _ => return None,
        };
        Some(Self { port, version })
    }
}

/// Whether the caller may, and because of what not.
fn authorize(
    worker: &Worker,
    caller: &Caller,
    port: u16,
    target: &RequestTarget,
    request: &Request<Incoming>,
    exchange: &Exchange,
) -> Result<(), (Refusal, Option<ObjectRef>)> {
    let snapshot = worker.shared.current.snapshot();
    let facts = Facts {
        source: Source { identity: caller.peer.as_ref().map(|peer| &peer.id), addr: Some(caller.addr.ip()) },
        destination: Destination::Addr((worker.shared.config.application, port).into()),
        request: Some(facts::Request {
            method: request.method(),
            host: &target.host,
            path: request.uri().path(),
            query: request.uri().query(),
            headers: request.headers(),
            grpc: exchange.grpc,
        }),
    };
    let decision = decide::inbound(&snapshot, &facts, port);
    exchange.note(|notes| {
        notes.service = snapshot.inbound.as_ref().map(|inbound| ServiceName {
            namespace: inbound.workload.namespace.clone(),
            name: inbound.workload.name.clone(),
        });
        notes.policy = decision.verdict().and_then(|verdict| verdict.by()).cloned();
    });
    if caller.peer.is_none() {
        let plaintext = worker.shared.observe.metrics.plaintext(&worker.shared.config.workload);
        if decision.is_allowed() {
            plaintext.allowed();
            worker.shared.observe.let_in_plaintext(caller.addr.ip());
        } else {
            plaintext.denied();
        }
    }
    match decision.refusal() {
        None => Ok(()),
        Some(refusal) => Err((refusal, decision.verdict().and_then(|verdict| verdict.by()).cloned())),
    }
}

/// Why the application has not answered.
enum NoAnswer {
    Refused(Refusal),
    /// It says that it has not looked at the request, as an application does that ends a connection of HTTP/2 now and then
    /// (RFC 9113 §6.8). The caller's sidecar still has the request and may send it again, whatever it is.
    Unprocessed,
}

impl From<Refusal> for NoAnswer {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Hands the request to the application, and its answer back.
async fn forward(
    worker: &Rc<Worker>,
    exchange: &Rc<Exchange>,
    caller: Option<&ProvenCaller>,
    (port, application): (u16, SocketAddr),
    version: Version,
    target: &RequestTarget,
    mut request: Box<Request<Incoming>>,
) -> Result<Response<Body>, NoAnswer> {
    if request.method() == Method::CONNECT {
        return Err(Refusal::NotSupported.into());
    }
    exchange.note(|notes| notes.endpoint = Some(application));
    let snapshot = worker.shared.current.snapshot();
    let declared = snapshot.inbound.as_ref().map_or(AppProtocol::Detect, |inbound| inbound.protocol(port));
    let http = Http::toward(declared, version, exchange.grpc);
    // An application that speaks HTTP/2 alone switches to nothing: it may ignore the wish (RFC 9110 §7.8).
    let upgrade = if http == Http::H1 { Upgrade::asked(&mut request) } else { None };
    let spoken = request.version();
    exchange.is_under_way();
    let (mut parts, body) = request.into_parts();
    fields::strip_hop_by_hop(&mut parts.headers);
    target::write(&mut parts, http, &target.authority);
    if let Some(caller) = caller {
        caller.tell(&mut parts.headers);
    }
    if exchange.is_traced() {
        exchange.trace.inject(&mut parts.headers);
    }
    if let Some(upgrade) = &upgrade {
        upgrade.ask(&mut parts.headers);
    }
    let body = Body::incoming(body).watched(Box::new(Upward(Rc::clone(exchange))));
    let mut request = Box::new(Request::from_parts(parts, body));

    let far = Far::new(&worker.shared, application, None);
    for _ in 0..TRIES {
        let sender = match &upgrade {
            Some(_) => Box::pin(worker.pool.open_h1(&worker.shared, far.clone())).await,
            None => worker.pool.checkout(&worker.shared, far.clone(), http).await,
        };
        let sender = sender.map_err(|error| {
            tracing::debug!(%error, "cannot reach the application");
            Refusal::ConnectFailed
        })?;
        match send(&worker.pool, sender, request).await {
            // A switch that nobody asked for: whatever follows is no HTTP (RFC 9110 §15.2.2).
            Ok(sent) if upgrade.is_none() && sent.response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                return Err(Refusal::BadResponse.into());
            }
            Ok(mut sent) => {
                // A client of HTTP/1.0 is told by this whether its connection goes on.
                *sent.response.version_mut() = spoken;
                return Ok(respond(worker, exchange, upgrade, sent));
            }
            // The application closed an idle connection just then, and nothing has left: take another.
            Err(SendFailure::Unsent(unsent)) => request = unsent,
            Err(SendFailure::NotHttp(error)) => {
                exchange.bad_response(&error);
                return Err(Refusal::BadResponse.into());
            }
            Err(SendFailure::RefusedStream) => return Err(NoAnswer::Unprocessed),
            Err(SendFailure::Reset { .. }) => return Err(Refusal::UpstreamReset.into()),
        }
    }
    Err(Refusal::ConnectFailed.into())
}

fn respond(
    worker: &Rc<Worker>,
    exchange: &Rc<Exchange>,
    upgrade: Option<Upgrade>,
    sent: Sent,
) -> Response<Body> {
    let Sent { mut response, mut lease } = sent;
    match upgrade {
        Some(upgrade) => {
            upgrade.answered(
                &mut response,
                lease.tunnel(),
                UPGRADED_IDLE,
                Rc::clone(&worker.tunnels),
                fields::strip_hop_by_hop,
            );
        }
        None => fields::strip_hop_by_hop(response.headers_mut()),
    }
    exchange.answer(response, Some(Box::new(lease)))
}

/// Idle connections to the application that may turn out closed before one that holds is opened.
const TRIES: usize = 5;
/// How long an upgraded connection may be silent.
const UPGRADED_IDLE: Duration = Duration::from_secs(2 * 3600);
