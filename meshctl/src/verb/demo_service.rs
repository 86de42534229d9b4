//! The demo's application, as a process of its own: `web` asks `api` through its sidecar, `api` says which version
//! it is and who it was told is calling. It knows nothing of the mesh but the address of a proxy.
//!
//! `POST /control?fail=PERCENT` makes it answer that share of its requests with 503, evenly spaced: at 50 and
//! below never two in a row, at 100 all of them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::http1::Http1;
use crate::outcome::Outcome;

/// The hidden verb.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DemoService {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// What it calls itself: `api-v2-1`.
    #[arg(long)]
    instance: String,
    /// What it says it is.
    #[arg(long, default_value = "")]
    version: String,
    /// Whom it asks for each request, as a URL; left out: it answers by itself.
    #[arg(long, requires = "proxy")]
    ask: Option<String>,
    /// The proxy it asks through.
    #[arg(long)]
    proxy: Option<SocketAddr>,
}

impl DemoService {
    /// Serves until it is killed.
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("{} cannot listen on {}", self.instance, self.listen))?;
        let application = Arc::new(Application::new(self));
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                // Out of descriptors, most likely: others end, then it goes on.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let application = Arc::clone(&application);
            // Its sidecar alone connects here, and ends its connections: their owner is that process.
            tokio::spawn(async move {
                let serve = service_fn(|request| {
                    let application = Arc::clone(&application);
                    async move { Ok::<_, Infallible>(application.answer(request).await) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), serve)
                    .await;
            });
        }
    }
}

/// What the demo's services answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// `api-v2-1`
    pub(crate) instance: String,
    /// `v2`; of web's answer: of the api that it asked.
    pub(crate) version: String,
    /// Who api was told is calling: what its sidecar has verified. Empty: it was told nothing.
    pub(crate) caller: String,
}

struct Application {
    settings: DemoService,
    upstream: Option<Http1>,
    /// Of a hundred requests, how many fail.
    fail: AtomicU32,
    /// Grows by `fail` with each request; past a hundred, that one fails.
    due: AtomicU32,
}

impl Application {
    fn new(settings: DemoService) -> Self {
        let upstream = settings.proxy.map(Http1::new);
        Self { settings, upstream, fail: AtomicU32::new(0), due: AtomicU32::new(0) }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/control") => self.control(request.uri().query().unwrap_or_default()),
            (_, "/healthz") => text(StatusCode::OK, "fine\n"),
            _ if self.fails() => text(StatusCode::SERVICE_UNAVAILABLE, "told to fail\n"),
            (_, path) => match (&self.settings.ask, &self.upstream) {
                (Some(base), Some(upstream)) => ask(upstream, base, path, request.headers()).await,
                _ => self.greet(request.headers()),
            },
        }
    }

    fn greet(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let caller = headers.get(CALLER).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let greeting = Greeting {
            instance: self.settings.instance.clone(),
            version: self.settings.version.clone(),
            caller: caller.to_owned(),
        };
        let body = serde_json::to_vec(&greeting).expect("three strings are always JSON");
        let mut response = Response::new(Full::from(body));
        response.headers_mut().insert(http::header::CONTENT_TYPE, JSON);
        response
    }

    fn control(&self, query: &str) -> Response<Full<Bytes>> {
        let percent = query.strip_prefix("fail=").and_then(|text| text.parse().ok());
        match percent.filter(|percent| *percent <= 100) {
            Some(percent) => {
                self.due.store(0, Ordering::Relaxed);
                self.fail.store(percent, Ordering::Relaxed);
                let said =
                    format!("{}: {percent} of 100 requests fail from now on\n", self.settings.instance);
                text(StatusCode::OK, said)
            }
            None => text(StatusCode::BAD_REQUEST, "write POST /control?fail=PERCENT, from 0 to 100\n"),
        }
    }

    fn fails(&self) -> bool {
        let share = self.fail.load(Ordering::Relaxed);
        if share == 0 {
            return false;
        }
        let step = |due: u32| Some(if due + share >= 100 { due + share - 100 } else { due + share });
        match self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step) {
            Ok(before) => before + share >= 100,
            Err(_) => false,
        }
    }
}

/// Asks on, passing on what ties the two requests together in a trace, and answers with what comes back.
async fn ask(upstream: &Http1, base: &str, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let traced = headers.iter().filter(|(name, _)| TRACE.contains(&name.as_str()));
    let traced: HeaderMap = traced.map(|(name, value)| (name.clone(), value.clone())).collect();
    let host = base.strip_prefix("http://").unwrap_or(base);
    let target = format!("{base}{path}");
    match upstream.send(Method::GET, host, &target, &traced, ASK).await {
        Ok(answer) => {
            let mut response = Response::new(Full::from(answer.body));
            *response.status_mut() = answer.status;
            for name in [http::header::CONTENT_TYPE, http::HeaderName::from_static("weft-error")] {
                if let Some(value) = answer.headers.get(&name) {
                    response.headers_mut().insert(name, value.clone());
                }
            }
            response
        }
        Err(error) => text(StatusCode::BAD_GATEWAY, format!("web cannot ask api: {error:#}\n")),
    }
}

fn text(status: StatusCode, said: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(said.into()));
    *response.status_mut() = status;
    response
}

/// Who is calling, as a sidecar has verified it.
const CALLER: &str = "weft-client-id";
/// W3C Trace Context and B3.
const TRACE: [&str; 7] =
    ["traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-request-id"];
const JSON: http::HeaderValue = http::HeaderValue::from_static("application/json");
const ASK: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn application() -> Application {
        Application::new(DemoService {
            listen: ([127, 0, 0, 1], 0).into(),
            instance: "api-v2-1".into(),
            version: "v2".into(),
            ask: None,
            proxy: None,
        })
    }

    #[test]
    fn the_share_that_fails_is_exact_and_evenly_spaced() {
        for (percent, of_a_hundred) in [(0, 0), (10, 10), (14, 14), (50, 50), (100, 100)] {
            let application = application();
            assert_eq!(application.control(&format!("fail={percent}")).status(), 200);
            let failed: Vec<bool> = (0..100).map(|_| application.fails()).collect();
            assert_eq!(failed.iter().filter(|failed| **failed).count(), of_a_hundred, "{percent}");
            let twice = failed.windows(2).any(|pair| pair == [true, true]);
            assert_eq!(twice, percent > 50, "{percent}");
        }
    }

    #[test]
    fn what_is_no_share_is_refused_and_changes_nothing() {
        let application = application();
        for query in ["", "fail=", "fail=101", "fail=-1", "stumble=3"] {
            assert_eq!(application.control(query).status(), 400, "{query}");
        }
        assert!(!application.fails());
    }

    #[test]
    fn it_repeats_who_it_was_told_is_calling() {
        let mut headers = HeaderMap::new();
        headers.insert(CALLER, "spiffe://weft.local/ns/demo/sa/web".parse().unwrap());
        assert_eq!(application().greet(&headers).headers()[http::header::CONTENT_TYPE], "application/json");
    }
}
