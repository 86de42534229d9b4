//! HTTP comes in here: hyper with every limit set, a gate beneath it, and one function that answers.
//!
//! Limits on heads, streams and windows are the safe defaults of the field's edge guides; hyper's own are
//! generous. What hyper does not look at is looked at beneath it: [`mod@h1`] reads every byte of HTTP/1, [`mod@h2`] counts
//! frames. Every refusal down here, hyper's own included, is counted by protocol and rule.
//!
//! Streams and answers are boxed here: two allocations a request, and in return hyper's state machines exist once, and
//! an idle connection does not carry the room that a request will need.

mod h1;
pub(crate) mod h2;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::{Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::drain::Drain;
use crate::memory::Memory;
use crate::message::{Body, Broken, Http, fields};
use crate::observe::metrics::Metrics;
use h1::{Busy, Gate, Lender, Switch};

pub(crate) use h1::{Asked, Chunked, Framing, Head, MAX_HEAD, Rule, refused};

/// A connection, whatever lies beneath: one type, so that hyper is compiled once a protocol.
pub(crate) type Wire = Box<dyn Io>;

/// What a connection can do.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

/// Answers one request. It never fails: what goes wrong is an answer too.
pub(crate) type Answer = Rc<dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Response<Body>>>>>;

/// Who has opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// Somebody who speaks for nobody else.
    Anybody,
    /// A proven sidecar: one connection carries what many clients do.
    Sidecar,
}

impl Client {
    const fn limits(self) -> &'static h2::Limits {
        match self {
            Self::Anybody => &h2::Limits::CLIENT,
            Self::Sidecar => &h2::Limits::SIDECAR,
        }
    }

    /// Streams that may be reset before they were looked at. When one client of a sidecar leaves, all of its requests
    /// are given up at once; the others' are on the same connection.
    const fn resets_at_once(self) -> usize {
        match self {
            Self::Anybody => 20,
            Self::Sidecar => 4 * MAX_STREAMS as usize,
        }
    }

    /// Streams that we may have to reset for what was sent on them, in a connection's life (CVE-2025-8671).
    const fn resets_by_us(self) -> usize {
        match self {
            Self::Anybody => 100,
            Self::Sidecar => 100_000,
        }
    }
}

/// Serves one connection until the peer, an error or the drain ends it. `metrics` counts what is refused before there
/// is a request; `memory` says when there is no room for more of it.
pub(crate) async fn serve(
    io: Wire,
    http: Http,
    client: Client,
    metrics: &Metrics,
    memory: &Arc<Memory>,
    drain: Drain,
    answer: Answer,
) -> Result<(), hyper::Error> {
    // Each in a place of its own: a connection holds the room for what it speaks and not for both.
    match http {
        Http::H1 => Box::pin(serve_h1(io, Arc::clone(memory), drain, answer)).await,
        Http::H2 => Box::pin(serve_h2(io, client, metrics, drain, answer)).await,
    }
}

/// On draining, closes after the answer under way. Where nothing has been on its way for a while, the parser is given up
/// until the client stirs.
async fn serve_h1(
    io: Wire,
    memory: Arc<Memory>,
    mut drain: Drain,
    answer: Answer,
) -> Result<(), hyper::Error> {
    let switch = Arc::new(Switch::default());
    let mut gate = Gate::new(io, Arc::clone(&switch), memory);
    let lender = Lender::new();
    let service = service_fn(|request| {
        let under_way = UnderWay::begin(&switch, &request);
        let answering = answer(request);
        async move { Ok::<_, Infallible>(under_way.ended(answering.await)) }
    });
    loop {
        let connection = h1().serve_connection(TokioIo::new(lender.lend(gate)), &service).with_upgrades();
        let mut connection = Box::pin(connection);
        let until_rest = poll_fn(|cx| match connection.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if switch.takes_rest() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        tokio::select! {
            done = until_rest => if let Some(done) = done {
                return done;
            },
            () = drain.begun() => {
                connection.as_mut().graceful_shutdown();
                return connection.await;
            }
        }
        drop(connection);
        let Some(back) = lender.take() else { return Ok(()) };
        gate = back;
        let stirs = tokio::select! {
            stirs = gate.stirs() => stirs,
            () = drain.begun() => false,
        };
        if !stirs {
            let _gone = gate.shutdown().await;
            return Ok(());
        }
    }
}

/// On draining, says GOAWAY and finishes the streams under way.
async fn serve_h2(
    io: Wire,
    client: Client,
    metrics: &Metrics,
    mut drain: Drain,
    answer: Answer,
) -> Result<(), hyper::Error> {
    let service = service_fn(move |mut request: Request<Incoming>| {
        fields::trim_values(request.headers_mut());
        let answering = answer(request);
        async move {
            let response: Response<Body> = answering.await;
            // Whoever else it is hears in words what has become of it.
            if client == Client::Sidecar && response.extensions().get::<Unprocessed>().is_some() {
                return Err(::h2::Error::from(::h2::Reason::REFUSED_STREAM));
            }
            Ok(response)
        }
    });
    let mut guard = h2::Guard::of_client(io, client.limits());
    let served = {
        let connection = http2(client).serve_connection(TokioIo::new(&mut guard), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            done = connection.as_mut() => done,
            () = drain.begun() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Some(rule) = guard.rule_broken(&served) {
        metrics.wire_refusals("h2", rule).increment();
        tracing::debug!(rule, "ended an HTTP/2 connection for what its peer sent");
    }
    if served.is_err() {
        guard.close().await;
    }
    served
}

/// On a response: nobody has looked at the request. Another sidecar hears that as REFUSED_STREAM (RFC 9113 §8.7) and may
/// send it again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unprocessed;

/// One HTTP/1 request, as the gate needs to know of it.
struct UnderWay {
    busy: Busy,
    /// The gate holds back what follows until it knows whether that is HTTP still. It goes by the same sign.
    asks_to_leave: Option<(Arc<Switch>, Method)>,
}

impl UnderWay {
    fn begin(switch: &Arc<Switch>, request: &Request<Incoming>) -> Self {
        let asks = request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE);
        let asks_to_leave = asks.then(|| (Arc::clone(switch), request.method().clone()));
        Self { busy: switch.begin(), asks_to_leave }
    }

    fn ended(self, response: Response<Body>) -> Response<Answering> {
        if let Some((switch, method)) = self.asks_to_leave {
            let status = response.status();
            let connected = method == Method::CONNECT && status.is_success();
            switch.answer(connected || status == StatusCode::SWITCHING_PROTOCOLS);
        }
        response.map(|body| Answering { body, _busy: self.busy })
    }
}

/// A response's body, and the sign that it is still being written.
struct Answering {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn h1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // The gate does both: it knows an idle connection from a slow head, and one that closed its side from one
        // that is gone.
        .header_read_timeout(None)
        .half_close(false)
        .max_buf_size(MAX_HEAD);
    // `max_headers` stays unset: the gate has counted them, and hyper has a faster way for its default of as many.
    builder
}

fn http2(client: Client) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_frame_size(client.limits().max_frame)
        .max_header_list_size(MAX_HEAD as u32)
        .max_local_error_reset_streams(Some(client.resets_by_us()))
        .max_pending_accept_reset_streams(Some(client.resets_at_once()))
        .initial_stream_window_size(h2::STREAM_WINDOW)
        .initial_connection_window_size(client.limits().in_flight)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Runs hyper's own tasks on the worker that owns the connection: nothing here crosses threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F: Future + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        // What hyper spawns for each request has the size of a whole connection, and would be moved four times on its way
        // into a task.
        let task = Box::pin(task);
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}

/// Streams a peer may have open on one connection.
const MAX_STREAMS: u32 = 250;
/// What is held of one response for a client that is slow to read it, or does not read: times [`MAX_STREAMS`] at most.
const SEND_BUFFER: usize = 64 << 10;

#[cfg(test)]
mod tests;
