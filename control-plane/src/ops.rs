//! What an orchestrator and a monitoring system ask, over plain HTTP on loopback: `/live`, `/ready`, `/metrics`.
//!
//! Ready means that everything has been read and gRPC is served. It never turns false because a proxy misbehaves
//! or a manifest is wrong: a control plane that is taken out of service for that helps nobody.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::custody::Custody;
use crate::publish::hub::Hub;
use crate::registration;
use crate::report::Proxies;
use crate::serve::few;
use crate::world::WorldHandle;

/// What is looked at when somebody asks.
#[derive(Debug)]
pub struct Ops {
    ready: AtomicBool,
    registry: Registry,
    gauges: Gauges,
    hub: Arc<Hub>,
    proxies: Arc<Proxies>,
    world: WorldHandle,
    registrations: Arc<registration::Registry>,
    custody: Arc<Custody>,
}

type Number = Gauge<i64, AtomicI64>;

/// What is counted anew for every scrape.
#[derive(Debug, Default)]
struct Gauges {
    revision: Number,
    resources: Number,
    proxies: Number,
    current: Number,
    rejecting: Number,
    findings: Number,
    registered: Number,
    unconfirmed: Number,
    journal_failures: Number,
}

impl Ops {
    /// Looks at these. Other metrics may be in `registry` already.
    #[must_use]
    pub fn new(
        mut registry: Registry,
        hub: Arc<Hub>,
        proxies: Arc<Proxies>,
        world: WorldHandle,
        registrations: Arc<registration::Registry>,
        custody: Arc<Custody>,
    ) -> Self {
        let gauges = Gauges::default();
        for (name, help, gauge) in gauges.rows() {
            registry.register(name, help, gauge.clone());
        }
        Self { ready: AtomicBool::new(false), registry, gauges, hub, proxies, world, registrations, custody }
    }

    /// From now on `/ready` says yes, or no.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Everything in the text format of Prometheus.
    #[must_use]
    pub fn metrics(&self) -> String {
        let (attached, current, rejecting) = self.proxies.counts();
        let (registered, unconfirmed) = self.registrations.count();
        let view = self.world.view();
        let errors = view.findings.iter().filter(|finding| finding.is_error()).count();
        let table = self.hub.table();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let gauges = &self.gauges;
        gauges.revision.set(signed(table.revision));
        gauges.resources.set(number(table.len()));
        gauges.proxies.set(number(attached));
        gauges.current.set(number(current));
        gauges.rejecting.set(number(rejecting));
        gauges.findings.set(number(errors));
        gauges.registered.set(number(registered));
        gauges.unconfirmed.set(number(unconfirmed));
        gauges.journal_failures.set(signed(self.custody.ledger().failures()));
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be written as text; a defect");
                String::new()
            }
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, kind, body) = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/live") => (StatusCode::OK, TEXT, "live\n".to_owned()),
            (&Method::GET | &Method::HEAD, "/ready") if self.ready.load(Ordering::Relaxed) => {
                (StatusCode::OK, TEXT, "ready\n".to_owned())
            }
            (&Method::GET | &Method::HEAD, "/ready") => {
                (StatusCode::SERVICE_UNAVAILABLE, TEXT, "not everything has been read yet\n".to_owned())
            }
            (&Method::GET, "/metrics") => (StatusCode::OK, OPENMETRICS, self.metrics()),
            (_, "/live" | "/ready" | "/metrics") => {
                (StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET only\n".to_owned())
            }
            _ => (StatusCode::NOT_FOUND, TEXT, "there are /live, /ready and /metrics\n".to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
        response
    }
}

impl Gauges {
    fn rows(&self) -> [(&'static str, &'static str, &Number); 9] {
        [
            ("weft_control_plane_revision", "The newest revision that is published", &self.revision),
            ("weft_control_plane_resources", "Resources that are published", &self.resources),
            ("weft_control_plane_proxies", "Proxies that are attached", &self.proxies),
            (
                "weft_control_plane_proxies_current",
                "Attached proxies without unconfirmed changes",
                &self.current,
            ),
            (
                "weft_control_plane_proxies_rejecting",
                "Attached proxies that have rejected something",
                &self.rejecting,
            ),
            ("weft_control_plane_manifest_errors", "Errors in the manifests", &self.findings),
            ("weft_control_plane_registered", "Workloads that registered themselves", &self.registered),
            ("weft_control_plane_unconfirmed", "Registered workloads without a stream", &self.unconfirmed),
            ("weft_control_plane_journal_failures", "Failed writes of the journal", &self.journal_failures),
        ]
    }
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, ops: Arc<Ops>) {
    few::serve(listener, "cannot accept on the admin port", |socket| {
        let ops = Arc::clone(&ops);
        async move {
            let service = service_fn(move |request| {
                let response = ops.answer(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            // A scraper that hangs up has its reasons.
            let _hung_up = server.serve_connection(TokioIo::new(socket), service).await;
        }
    })
    .await;
}

const PATIENCE: Duration = Duration::from_secs(10);
const TEXT: &str = "text/plain; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
