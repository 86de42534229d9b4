//! An application that answers with what it was asked, and can be told to misbehave.
//!
//! It speaks HTTP/1.0, HTTP/1.1 and HTTP/2 with prior knowledge on one port. A gRPC request is answered with its
//! own messages and a `grpc-status` in trailers; `Upgrade: echo` gives a connection that repeats every byte.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncWriteExt, copy, split};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::call::{self, Reply};
use crate::eventually::eventually;

/// A running application. Dropping it closes everything of it.
#[derive(Debug)]
pub struct Origin {
    /// Where it listens.
    pub addr: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// 200, and a JSON object that says what was received.
    Report,
    /// This status, and the same object.
    Status(u16),
    /// No response, and the connection is closed.
    Close,
    /// No response, ever.
    Silence,
    /// As `Report`, but not before a permit is given.
    After(Arc<Semaphore>),
    /// This status, before anything of the request's body is read.
    Early(u16),
    /// The request's body, while it comes.
    Echo,
    /// What somebody else answers: `url` is asked for through `proxy`, with these headers of the request.
    Ask {
        /// Its own sidecar's outbound listener.
        proxy: SocketAddr,
        /// Whom it asks.
        url: String,
        /// What it passes on.
        passing: Vec<&'static str>,
    },
    /// 200 and trailers that say this `grpc-status`.
    Grpc(u16),
    /// 200 and headers that say this `grpc-status`: no message follows ("Trailers-Only").
    GrpcHead(u16),
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Every header.
    pub headers: HeaderMap,
}

#[derive(Debug)]
struct State {
    name: String,
    next: Mutex<VecDeque<Answer>>,
    always: Mutex<Answer>,
    seen: Mutex<Vec<Seen>>,
}

impl Origin {
    /// Starts one on a port of its own.
    ///
    /// # Panics
    /// If loopback has no port left.
    pub async fn start(name: &str) -> Self {
        Self::start_at(name, ([127, 0, 0, 1], 0).into()).await
    }

    /// Starts one at an address.
    ///
    /// # Panics
    /// If it is taken.
    pub async fn start_at(name: &str, addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).await.expect("a free port");
        let addr = listener.local_addr().expect("a bound socket");
        let state = Arc::new(State {
            name: name.to_owned(),
            next: Mutex::default(),
            always: Mutex::new(Answer::Report),
            seen: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&state)));
        Self { addr, state, _tasks: tasks }
    }

    /// What it does with the next requests, in this order.
    pub fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.state.next).extend(answers);
    }

    /// What it does with all requests for which nothing else was said.
    pub fn always(&self, answer: Answer) {
        *lock(&self.state.always) = answer;
    }

    /// What has arrived so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state.seen).clone()
    }

    /// Counts anew from here.
    pub fn forget(&self) {
        lock(&self.state.seen).clear();
    }

    /// How many requests have arrived so far.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.state.seen).len()
    }

    /// Waits until so many requests have arrived.
    pub async fn has_seen(&self, count: usize) {
        eventually(format!("{} has seen {count} requests", self.state.name), async || {
            (self.count() >= count).then_some(())
        })
        .await;
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                // As servers do: what one client has not confirmed must not hold back what another waits for.
                stream.set_nodelay(true).expect("an open socket");
                let state = Arc::clone(&state);
                open.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), request));
                    let server = auto::Builder::new(TokioExecutor::new());
                    // How a client leaves is the client's business.
                    let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = open.join_next() => {}
        }
    }
}

type Body = BoxBody<Bytes, hyper::Error>;

async fn answer(state: Arc<State>, mut request: Request<Incoming>) -> Result<Response<Body>, Closed> {
    lock(&state.seen).push(Seen {
        method: request.method().to_string(),
        path: request.uri().path_and_query().map_or_else(String::new, ToString::to_string),
        headers: request.headers().clone(),
    });
    let next = lock(&state.next).pop_front();
    let answer = next.unwrap_or_else(|| lock(&state.always).clone());
    if request.headers().get(header::UPGRADE).is_some_and(|to| to == "echo") {
        return Ok(upgrade(&mut request));
    }
    let grpc = request.headers().get(header::CONTENT_TYPE);
    let grpc = grpc.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    match answer {
        Answer::Early(code) => {
            let mut response = Response::new(whole("early".to_owned()));
            *response.status_mut() = StatusCode::from_u16(code).expect("a status");
            Ok(response)
        }
        Answer::GrpcHead(code) => {
            let mut response = Response::new(whole(String::new()));
            response.headers_mut().insert("grpc-status", HeaderValue::from(code));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            Ok(response)
        }
        Answer::Grpc(code) => Ok(trailing(request.into_body(), code)),
        Answer::Report if grpc => Ok(trailing(request.into_body(), 0)),
        Answer::Report => Ok(report(&state, request, StatusCode::OK).await),
        Answer::Status(code) => {
            let status = StatusCode::from_u16(code).expect("a status");
            Ok(report(&state, request, status).await)
        }
        Answer::Echo => Ok(Response::new(request.into_body().boxed())),
        Answer::Close => Err(Closed),
        Answer::Ask { proxy, url, passing } => {
            let mut asking = call::get(&url);
            let passed = request.headers().iter().filter(|(name, _)| passing.contains(&name.as_str()));
            asking.headers_mut().extend(passed.map(|(name, value)| (name.clone(), value.clone())));
            let Reply { status, headers, body, .. } = call::through(proxy, asking).await;
            let mut response = Response::new(Full::new(body).map_err(|never| match never {}).boxed());
            (*response.status_mut(), *response.headers_mut()) = (status, headers);
            Ok(response)
        }
        Answer::Silence => std::future::pending().await,
        Answer::After(gate) => {
            gate.acquire().await.expect("gates are never closed").forget();
            Ok(report(&state, request, StatusCode::OK).await)
        }
    }
}

async fn report(state: &State, request: Request<Incoming>, status: StatusCode) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut headers = Map::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        match headers.get_mut(name.as_str()) {
            Some(Value::String(all)) => *all = format!("{all}, {value}"),
            _ => drop(headers.insert(name.to_string(), Value::String(value.into_owned()))),
        }
    }
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let said = json!({
        "origin": state.name,
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "query": parts.uri.query(),
        "host": parts.uri.authority().map(|authority| authority.as_str()).or(host),
        "version": format!("{:?}", parts.version),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    // The answer to HEAD has no content (RFC 9110 §9.3.2); over HTTP/2 hyper leaves that to us.
    let said = if parts.method == http::Method::HEAD { String::new() } else { said.to_string() };
    let mut response = Response::new(whole(said));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The messages of a call, sent back, and its status in trailers.
fn trailing(body: Incoming, code: u16) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code));
    trailers.insert("x-origin-trailer", HeaderValue::from_static("kept"));
    let mut response = Response::new(body.with_trailers(async { Some(Ok(trailers)) }).boxed());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn upgrade(request: &mut Request<Incoming>) -> Response<Body> {
    let upgraded = hyper::upgrade::on(request);
    // It ends with the connection.
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let (mut read, mut write) = split(TokioIo::new(upgraded));
        let _ = copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    });
    let mut response = Response::new(whole(String::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("echo"));
    response
}

fn whole(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed()
}

/// Said to hyper so that it closes a connection without a response.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
