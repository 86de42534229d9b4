//! Spans, sent to an OpenTelemetry collector over OTLP/gRPC. Off unless an endpoint is configured.
//!
//! The SDK's tracer and batch processor are left out: our identifiers come from the request's own draw, and its batches
//! want a thread of their own. What is used is the SDK's [`SpanData`] and the OTLP exporter. A worker hands a
//! [`Span`] to a bounded channel; [`SpanExport::run`], on the control runtime, sends batches. A collector that is
//! slow or gone costs spans, which are counted, and nothing else.
//!
//! Names of attributes are those of the OpenTelemetry semantic conventions for HTTP spans, and `weft.…` where there is
//! none.

mod convert;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use super::metrics::{Count, Direction};
use super::trace::Trace;

/// Where spans go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Spans(Option<Sink>);

#[derive(Clone, Debug)]
struct Sink {
    waiting: Sender<Span>,
    dropped: Count,
}

/// The other end of [`Spans`]: run it on the control runtime.
pub struct SpanExport {
    waiting: Receiver<Span>,
    exporter: SpanExporter,
    dropped: Count,
}

/// Where to, and as whom.
#[derive(Clone, Debug)]
pub struct ExportSettings {
    /// `http://host:4317`. Plaintext: the collector is a neighbour, or behind a proxy of this mesh.
    pub endpoint: String,
    /// `service.name` of the application beside this proxy.
    pub service: String,
    /// More of the resource: `service.namespace`, `k8s.pod.name`, …
    pub resource: Vec<(String, String)>,
    /// Spans that may wait; beyond it they are dropped.
    pub capacity: usize,
}

/// One finished span. Owned: it travels to another thread.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its place. Only sampled ones are sent.
    pub trace: Trace,
    /// Inbound: a server's span. Outbound: a client's.
    pub direction: Direction,
    /// When it began.
    pub started: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// The method, as sent. Methods nobody knows become `_OTHER` and are kept beside it.
    pub method: http::Method,
    /// Path, without query.
    pub path: String,
    /// `server.address`: the authority's host.
    pub server_address: Option<Arc<str>>,
    /// `server.port`.
    pub server_port: Option<u16>,
    /// `network.peer.address` and `.port`: the endpoint that answered.
    pub peer: Option<SocketAddr>,
    /// The status; `None` if there was no answer.
    pub status: Option<u16>,
    /// The code of a gRPC call, whose status is 200 whatever became of it.
    pub grpc_status: Option<u16>,
    /// The service it was for.
    pub service: Option<Arc<str>>,
    /// The route object that matched.
    pub route: Option<Arc<str>>,
    /// The backend that was chosen.
    pub backend: Option<Arc<str>>,
    /// The proven identity at the other end.
    pub peer_identity: Option<Arc<str>>,
    /// The token of the refusal, where the proxy answered: `error.type`.
    pub refusal: Option<&'static str>,
    /// Which try this is, from 0: `http.request.resend_count`.
    pub resends: u32,
}

/// Spans cannot be exported.
#[derive(Debug, thiserror::Error)]
#[error("spans cannot be exported to `{endpoint}`: {source}; give an address like http://collector:4317")]
pub struct BadEndpoint {
    endpoint: String,
    source: ExporterBuildError,
}

impl Spans {
    /// No spans.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Spans to a collector. It is not dialled before there is something to send. Call it inside the control runtime.
    ///
    /// # Errors
    /// [`BadEndpoint`]: the endpoint is no URL.
    pub fn to_collector(
        settings: &ExportSettings,
        dropped: Count,
    ) -> Result<(Self, SpanExport), BadEndpoint> {
        let mut exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&settings.endpoint)
            .with_timeout(SEND_WITHIN)
            .build()
            .map_err(|source| BadEndpoint { endpoint: settings.endpoint.clone(), source })?;
        exporter.set_resource(&resource(settings));
        let (spans, waiting) = channel(settings.capacity.max(1));
        Ok((
            Self(Some(Sink { waiting: spans, dropped: dropped.clone() })),
            SpanExport { waiting, exporter, dropped },
        ))
    }

    /// Whether spans of this trace are wanted; if not, there is no need to make one, and the trace's headers are left
    /// as they are.
    #[must_use]
    pub const fn wants(&self, trace: &Trace) -> bool {
        self.0.is_some() && trace.sampled
    }

    /// Hands a span over, or drops it. Never waits.
    pub fn finish(&self, span: Span) {
        let Some(sink) = &self.0 else { return };
        if span.trace.sampled && sink.waiting.try_send(span).is_err() {
            sink.dropped.increment();
        }
    }
}

impl SpanExport {
    /// Sends batches until every [`Spans`] is gone.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.waiting.recv_many(&mut batch, BATCH).await > 0 {
            // What else comes within a moment travels along.
            let _moment_over = timeout(GATHER, self.fill(&mut batch)).await;
            let spans: Vec<SpanData> = batch.drain(..).map(|span| convert::to_span_data(&span)).collect();
            let count = spans.len();
            let sent = timeout(SEND_WITHIN, self.exporter.export(spans)).await;
            if !matches!(sent, Ok(Ok(()))) {
                (0..count).for_each(|_| self.dropped.increment());
                tracing::debug!(count, outcome = ?sent, "spans were not taken by the collector");
            }
        }
    }

    async fn fill(&mut self, batch: &mut Vec<Span>) {
        while batch.len() < BATCH {
            let missing = BATCH - batch.len();
            if self.waiting.recv_many(batch, missing).await == 0 {
                return;
            }
        }
    }
}

fn resource(settings: &ExportSettings) -> Resource {
    let more = settings
        .resource
        .iter()
        .map(|(name, value)| opentelemetry::KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty().with_service_name(settings.service.clone()).with_attributes(more).build()
}

/// The SDK's own default for a batch.
const BATCH: usize = 512;
const GATHER: Duration = Duration::from_millis(500);
const SEND_WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
