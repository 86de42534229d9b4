//! HTTP comes in here: hyper with every limit set, one builder a protocol, and one function that answers.
//!
//! Limits on heads, streams and windows are the safe defaults of the field's edge guides; hyper's own are
//! generous. What hyper does not look at is looked at beneath it: [`h2`] counts frames. Every refusal down here, hyper's
//! own included, is counted by protocol and rule.

mod h2;

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use weft_policy::protocol::AppProtocol;

use crate::drain::Drain;
use crate::message::{Body, fields};
use crate::observe::metrics::Metrics;

/// Which protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    /// HTTP/1.0 or 1.1, upgrades included.
    H1,
    /// HTTP/2 by prior knowledge.
    H2,
}

impl Http {
    /// What the application behind a port is spoken to in. A port that says what it speaks is believed, except
    /// that gRPC needs HTTP/2 whatever the port says; one that does not gets what the client speaks.
    pub(crate) const fn toward(declared: AppProtocol, client: Version, grpc: bool) -> Self {
        match declared {
            AppProtocol::Http2 => Self::H2,
            AppProtocol::Http1 if !grpc => Self::H1,
            _ if matches!(client, Version::HTTP_2) => Self::H2,
            _ => Self::H1,
        }
    }
}

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
            Self::Sidecar => 1024,
        }
    }
}

/// Serves one connection until the peer, an error or the drain ends it. `answer` never fails: what goes wrong
/// is an answer too. `metrics` counts what is refused before there is a request.
pub(crate) async fn serve<S, A, F>(
    io: S,
    http: Http,
    client: Client,
    metrics: &Metrics,
    mut drain: Drain,
    answer: A,
) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F + 'static,
    F: Future<Output = Response<Body>> + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        if http == Http::H2 {
            fields::trim_values(request.headers_mut());
        }
        let answering = answer(request);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    // On draining, HTTP/1.1 closes after the answer under way, HTTP/2 says GOAWAY and finishes its streams.
    match http {
        Http::H1 => {
            let connection = h1().serve_connection(TokioIo::new(io), service).with_upgrades();
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                done = connection.as_mut() => return done,
                () = drain.begun() => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        }
        Http::H2 => {
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
    }
}

fn h1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // Without a timer hyper ignores the timeout silently. It also closes idle keep-alive connections.
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_OR_IDLE)
        // A client that closes has given up, whichever half of the connection it closed: what is under way for it
        // ends, and gives back its place under every limit. Otherwise a hanging server and impatient clients
        // would fill both.
        .half_close(false)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS);
    builder
}

fn http2(client: Client) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .max_local_error_reset_streams(Some(client.resets_by_us()))
        .max_pending_accept_reset_streams(Some(client.resets_at_once()))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(STREAM_WINDOW as usize)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Runs hyper's own tasks on the worker that owns the connection: nothing here crosses threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F: Future + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}

/// Most a head may have, in bytes.
pub(crate) const MAX_HEAD: usize = 64 << 10;
/// Most fields a head may have.
pub(crate) const MAX_FIELDS: usize = 100;
/// Streams a peer may have open on one connection.
const MAX_STREAMS: u32 = 250;
/// What one stream may have in flight; also what is buffered towards a slow reader.
pub(crate) const STREAM_WINDOW: u32 = 256 << 10;
/// What one connection may have in flight.
pub(crate) const CONNECTION_WINDOW: u32 = 1 << 20;
/// How long a head may take. hyper counts the idle time before it too, so this also ends idle connections.
const HEAD_OR_IDLE: Duration = Duration::from_secs(300);
