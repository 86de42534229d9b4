//! gRPC as applications speak it: a tonic server with one method of every shape, and a tonic [client](Caller).
//!
//! Messages are strings (`google.protobuf.StringValue`), so there is nothing to generate. The server answers for any
//! service's name: which one was called is in what it has [heard](Rpc::heard).

mod caller;

pub use caller::{Answered, Caller, Metadata, rest};

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::{StreamExt, iter};
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::eventually::eventually;

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Rpc {
    /// Where it listens.
    pub addr: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

/// What it does with a call.
#[derive(Clone, Debug)]
pub enum Turn {
    /// `Get` answers `name: message`; `List` as many messages as the request says, `name: 0` and up; `Sum` all
    /// messages of the call joined by `+`; `Chat` each message as it comes.
    Answer,
    /// This status at once: it stands in the head ("Trailers-Only").
    Fail(Status),
    /// This status after so many messages of a `List`: it stands in the trailers.
    FailAfter(usize, Status),
    /// Nothing, ever.
    Silence,
}

/// A call as it arrived.
#[derive(Clone, Debug)]
pub struct Heard {
    /// `/service/Method`
    pub path: String,
    /// What came with it.
    pub metadata: MetadataMap,
}

#[derive(Debug)]
struct State {
    name: String,
    next: Mutex<VecDeque<Turn>>,
    heard: Mutex<Vec<Heard>>,
    cancelled: AtomicUsize,
}

impl Rpc {
    /// Starts one on a port of its own.
    ///
    /// # Panics
    /// If loopback has no port left.
    pub async fn start(name: &str) -> Self {
        Self::start_aging(name, None).await
    }

    /// As [`start`](Self::start); it says goodbye on a connection of this age, as servers do that want their clients
    /// to spread (gRPC A9, "max connection age").
    ///
    /// # Panics
    /// If loopback has no port left.
    pub async fn start_aging(name: &str, age: Option<Duration>) -> Self {
        let state = Arc::new(State {
            name: name.to_owned(),
            next: Mutex::default(),
            heard: Mutex::default(),
            cancelled: AtomicUsize::new(0),
        });
        let (addr, tasks) = serve(Service(Arc::clone(&state)), age).await;
        Self { addr, state, _tasks: tasks }
    }

    /// What it does with the next calls, in this order; with all others it is [`Turn::Answer`].
    pub fn next(&self, turns: impl IntoIterator<Item = Turn>) {
        lock(&self.state.next).extend(turns);
    }

    /// The calls that have arrived so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        lock(&self.state.heard).clone()
    }

    /// Waits until so many calls have arrived.
    pub async fn has_heard(&self, calls: usize) {
        let enough = async || (self.heard().len() >= calls).then_some(());
        eventually(format!("{} has heard {calls} calls", self.state.name), enough).await;
    }

    /// Waits until so many calls were given up by their caller before their end.
    pub async fn has_lost(&self, calls: usize) {
        let enough = async || (self.state.cancelled.load(Ordering::Relaxed) >= calls).then_some(());
        eventually(format!("{} has lost {calls} calls", self.state.name), enough).await;
    }
}

impl State {
    /// Begins a call, or fails it as it was told to.
    async fn begin(self: &Arc<Self>, path: &str, metadata: &MetadataMap) -> Result<(Call, Turn), Status> {
        lock(&self.heard).push(Heard { path: path.to_owned(), metadata: metadata.clone() });
        let mut call = Call { state: Arc::clone(self), ended: false };
        let turn = lock(&self.next).pop_front().unwrap_or(Turn::Answer);
        match turn {
            Turn::Silence => std::future::pending().await,
            Turn::Fail(status) => {
                call.ended = true;
                Err(status)
            }
            turn => Ok((call, turn)),
        }
    }

    async fn get(
        self: Arc<Self>,
        path: String,
        request: Request<String>,
    ) -> Result<Response<String>, Status> {
        let (mut call, _) = self.begin(&path, request.metadata()).await?;
        call.ended = true;
        Ok(Response::new(format!("{}: {}", self.name, request.get_ref())))
    }

    async fn list(self: Arc<Self>, path: String, request: Request<String>) -> Result<Response<Said>, Status> {
        let (call, turn) = self.begin(&path, request.metadata()).await?;
        let count: usize = request.get_ref().parse().map_err(|_| Status::invalid_argument("no number"))?;
        let name = self.name.clone();
        let messages = iter(0..count).map(move |n| Ok(format!("{name}: {n}")));
        Ok(Response::new(match turn {
            Turn::FailAfter(some, status) => call.said(messages.take(some).chain(iter([Err(status)]))),
            _ => call.said(messages),
        }))
    }

    async fn sum(
        self: Arc<Self>,
        path: String,
        request: Request<Streaming<String>>,
    ) -> Result<Response<String>, Status> {
        let (mut call, _) = self.begin(&path, request.metadata()).await?;
        let mut messages = request.into_inner();
        let mut all = Vec::new();
        while let Some(message) = messages.message().await? {
            all.push(message);
        }
        call.ended = true;
        Ok(Response::new(format!("{}: {}", self.name, all.join("+"))))
    }

    async fn chat(
        self: Arc<Self>,
        path: String,
        request: Request<Streaming<String>>,
    ) -> Result<Response<Said>, Status> {
        let (call, _) = self.begin(&path, request.metadata()).await?;
        let name = self.name.clone();
        let answer = move |message: Result<String, _>| message.map(|message| format!("{name}: {message}"));
        Ok(Response::new(call.said(request.into_inner().map(answer))))
    }
}

/// A call under way. Given up before its end, it counts as lost.
struct Call {
    state: Arc<State>,
    ended: bool,
}

impl Call {
    fn said(self, messages: impl Stream<Item = Result<String, Status>> + Send + 'static) -> Said {
        Said { messages: Box::pin(messages), call: self }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            self.state.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The messages of a response, and the call they belong to.
struct Said {
    messages: Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>,
    call: Call,
}

impl Stream for Said {
    type Item = Result<String, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = self.messages.as_mut().poll_next(cx);
        // A client that resets its stream ends it with CANCELLED.
        let lost = matches!(&message, Poll::Ready(Some(Err(status))) if status.code() == Code::Cancelled);
        self.call.ended |= !lost && matches!(message, Poll::Ready(None | Some(Err(_))));
        message
    }
}

#[derive(Clone)]
struct Service(Arc<State>);

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (state, path) = (Arc::clone(&self.0), request.uri().path().to_owned());
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Codec::default());
            let method = path.rsplit('/').next().unwrap_or_default().to_owned();
            macro_rules! with {
                ($method:ident) => {
                    tower::service_fn(move |request| Arc::clone(&state).$method(path.clone(), request))
                };
            }
            Ok(match method.as_str() {
                "Get" => grpc.unary(with!(get), request).await,
                "List" => grpc.server_streaming(with!(list), request).await,
                "Sum" => grpc.client_streaming(with!(sum), request).await,
                "Chat" => grpc.streaming(with!(chat), request).await,
                other => Status::unimplemented(format!("{other} is no method")).into_http(),
            })
        })
    }
}

/// Serves a tonic service on a port of its own. tonic's own server lets connections outlive it; here they end with the
/// tasks.
pub(crate) async fn serve<S>(service: S, age: Option<Duration>) -> (SocketAddr, JoinSet<()>)
where
    S: tower::Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let addr = listener.local_addr().expect("a bound socket");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("an open socket");
            let service = service.clone();
            let answer = service_fn(move |request: http::Request<Incoming>| {
                let mut service = service.clone();
                async move {
                    std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
                    service.call(request.map(Body::new)).await
                }
            });
            let serving =
                http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer);
            let aged = async move {
                match age {
                    Some(age) => tokio::time::sleep(age).await,
                    None => std::future::pending().await,
                }
            };
            open.spawn(async move {
                let mut serving = std::pin::pin!(serving);
                // How a client leaves is the client's business.
                tokio::select! {
                    done = serving.as_mut() => return drop(done),
                    () = aged => serving.as_mut().graceful_shutdown(),
                }
                drop(serving.await);
            });
            while open.try_join_next().is_some() {}
        }
    });
    (addr, tasks)
}

type Codec = ProstCodec<String, String>;

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("ended", &self.ended).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
