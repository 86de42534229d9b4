//! One turn: a client, a way, and the figures that come of it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{IpAddr, ServerName};

use super::{Scenario, Variant, Work, changing};
use crate::figures::{Better, Figure};
use crate::load::connect::NewConnections;
use crate::load::http1::{Http1, Requests};
use crate::load::http2::Http2;
use crate::load::idle::Idle;
use crate::load::{Asked, Measured, Window, admin, bulk, closed, grpc, open};
use crate::machine;
use crate::origin::{self, Origin};
use crate::way::weft::hop_lines;
use crate::way::{Between, Http, PATIENCE, Way};

/// What a turn needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn<'t> {
    pub(super) scenario: &'t Scenario,
    pub(super) variant: &'t Variant,
    pub(super) origin: &'t Origin,
    pub(super) way: &'t Way,
    /// How long is measured.
    pub(super) each: Duration,
}

impl Turn<'_> {
    /// Has one exchange carried through all of the way's processes.
    ///
    /// # Errors
    /// If it fails for longer than a start may take, with the ends of their logs.
    pub(super) async fn prove(self) -> anyhow::Result<()> {
        let (entry, asked) = (self.way.entry, self.asked());
        let first = |all: Vec<Http2>| all.into_iter().next().context("no stream");
        let answered = match self.variant.between {
            Between::Tcp(_) => admin::await_answer(async || Ok(NewConnections(entry)), PATIENCE).await,
            Between::Mesh(Http::H2) => {
                admin::await_answer(async || first(Http2::open(entry, &asked, 1).await?), PATIENCE).await
            }
            Between::Mesh(Http::Grpc) => {
                let first = |all: Vec<_>| all.into_iter().next().context("no stream");
                admin::await_answer(async || first(grpc::unary(entry, &asked, 1).await?), PATIENCE).await
            }
            Between::One { .. }
            | Between::Endpoints(_)
            | Between::Mesh(Http::H1)
            | Between::Rules(_)
            | Between::Changing => {
                let open = || Http1::open(entry, Requests::of(&asked), asked.body.clone());
                admin::await_answer(async || open().await, PATIENCE).await
            }
            Between::Inbound => {
                let connector =
                    TlsConnector::from(Arc::clone(self.way.client.as_ref().context("nobody to be")?));
                let open = async || {
                    let stream = tokio::net::TcpStream::connect(entry).await?;
                    let stream = connector.connect(ServerName::IpAddress(IpAddr::from(entry.ip())), stream);
                    Ok(Http1::over(stream.await?, Requests::of(&asked), asked.body.clone()))
                };
                admin::await_answer(open, PATIENCE).await
            }
        };
        answered.with_context(|| format!("it carries nothing\n{}", self.way.obituary()))
    }

    /// Measures.
    ///
    /// # Errors
    /// A wrong answer, a lost one, or a process that has ended.
    pub(super) async fn measure(self) -> anyhow::Result<Vec<Figure>> {
        let mut window = Window::of(self.each);
        if let Between::Endpoints(count) = self.variant.between {
            // Connections to all of them are opened first.
            window.warm_up += PER_ENDPOINT * count.into();
        }
        let cpu = || self.way.cpu();
        match self.scenario.work {
            Work::Closed { connections, streams } => Ok(self.requests(&match self.variant.between {
                Between::Mesh(Http::H2) => {
                    let (entry, asked) = (self.way.entry, self.asked());
                    let open = async || Http2::open(entry, &asked, streams).await;
                    closed::run(many(connections, open).await?, window, cpu).await?
                }
                Between::Mesh(Http::Grpc) => {
                    let (entry, asked) = (self.way.entry, self.asked());
                    let open = async || grpc::unary(entry, &asked, streams).await;
                    closed::run(many(connections, open).await?, window, cpu).await?
                }
                Between::Changing => {
                    let callers = self.h1_callers(connections).await?;
                    changing::meanwhile(self.way, self.asked().host, closed::run(callers, window, cpu))
                        .await?
                }
                _ => closed::run(self.h1_callers(connections).await?, window, cpu).await?,
            })),
            Work::Streaming { connections, streams } => {
                let (entry, asked) = (self.way.entry, self.asked());
                let open = async || grpc::streaming(entry, &asked, streams).await;
                Ok(self.requests(&closed::run(many(connections, open).await?, window, cpu).await?))
            }
            Work::Open { rate, connections } => {
                let callers = self.h1_callers(connections).await?;
                Ok(self.latencies(&open::run(callers, rate, window, cpu).await?))
            }
            Work::NewConnections { callers } => {
                let callers = vec![NewConnections(self.way.entry); callers];
                Ok(self.requests(&closed::run(callers, window, cpu).await?))
            }
            Work::Bulk { connections } => {
                let moved = bulk::run(self.way.entry, connections, self.origin, window, cpu).await?;
                let gigabytes = moved.bytes as f64 / 1e9;
                let rate = gigabytes / moved.length.as_secs_f64();
                let mut figures = vec![self.figure("rate", "GB/s", Better::More, rate)];
                if !self.way.proxies.is_empty() {
                    let per_gigabyte = moved.cpu.as_secs_f64() / gigabytes;
                    figures.insert(0, self.figure("cpu", "s/GB", Better::Less, per_gigabyte));
                }
                Ok(figures)
            }
            Work::IdleMemory => self.idle_memory().await,
            Work::LoadedMemory { connections } => {
                let callers = self.h1_callers(connections).await?;
                // The last look is at the end of the load, with all connections open.
                let resident = Cell::new(0);
                let look = || {
                    resident.set(self.way.resident()?.iter().sum());
                    cpu()
                };
                closed::run(callers, window, look).await?;
                Ok(vec![self.figure("resident", "MB", Better::Less, megabytes(resident.get()))])
            }
            Work::IdleConnections { first } => self.idle_connections(first).await,
        }
    }

    async fn idle_memory(self) -> anyhow::Result<Vec<Figure>> {
        let largest = self.way.resident()?.into_iter().max().context("no proxy")?;
        let mut figures = vec![self.figure("resident", "MB", Better::Less, megabytes(largest))];
        if let Some(control_plane) = self.way.beside.first() {
            let resident = megabytes(control_plane.resident()?);
            figures.push(self.figure("control-plane", "MB", Better::Less, resident));
        }
        Ok(figures)
    }

    async fn idle_connections(self, first: usize) -> anyhow::Result<Vec<Figure>> {
        // A connection is a file on both sides of a proxy that may have one, and a proxy lets in half of what it may have.
        let most = (machine::files() / 2).saturating_sub(SPARE + FEW) / 2;
        let first = first.min(most);
        let asked = self.asked();
        let tls = self.way.client.as_ref();
        let resident = || Ok::<u64, anyhow::Error>(self.way.resident()?.iter().sum());
        let mut idle = Idle::none(tls.is_some());
        // What the first few cost is the proxy's, not a connection's.
        idle.grow(FEW, self.way.entry, tls, &asked).await?;
        sleep(SETTLE).await;
        let before = resident()?;
        let mut figures = Vec::new();
        for count in [first, 2 * first] {
            idle.grow(FEW + count, self.way.entry, tls, &asked).await?;
            sleep(SETTLE).await;
            let grown = resident()?.saturating_sub(before);
            let label = self.variant.label;
            let metric = if count == first { format!("{label}-at-first") } else { label.to_owned() };
            let each = grown as f64 / 1024.0 / count as f64;
            figures.push(Figure { metric, unit: "KB", better: Better::Less, value: each });
        }
        idle.are_still_there().await?;
        Ok(figures)
    }

    async fn h1_callers(self, connections: usize) -> anyhow::Result<Vec<Http1<tokio::net::TcpStream>>> {
        let asked = self.asked();
        let requests = Requests::of(&asked);
        let mut all = Vec::with_capacity(connections);
        for n in 0..connections {
            all.push(Http1::open(self.way.entry, requests.from(n), asked.body.clone()).await?);
        }
        Ok(all)
    }

    fn asked(self) -> Asked {
        let between = self.variant.between;
        // Every peer is sent them, so that all are sent the same; only Weft knows what they mean.
        let lines = if between == Between::Inbound { hop_lines(self.origin.http) } else { String::new() };
        let body = origin::body(self.scenario.body);
        Asked { host: between.host(), paths: between.paths().into(), lines, body }
    }

    fn requests(self, measured: &Measured) -> Vec<Figure> {
        let count = measured.latencies.len() as f64;
        let unit = if matches!(self.scenario.work, Work::NewConnections { .. }) { "conn/s" } else { "req/s" };
        let mut figures = vec![
            self.figure("p50", "us", Better::Less, measured.percentile(500)),
            self.figure("p99", "us", Better::Less, measured.percentile(990)),
        ];
        if self.variant.label != self.scenario.variants.first().map_or("", |first| first.label) {
            figures.clear(); // of variants, what they cost is compared
        }
        figures.insert(0, self.figure("rate", unit, Better::More, count / measured.length.as_secs_f64()));
        figures.splice(0..0, self.cpu(measured));
        figures
    }

    fn latencies(self, measured: &Measured) -> Vec<Figure> {
        let percentiles = [("p50", 500), ("p99", 990), ("p99.9", 999)];
        let mut figures: Vec<_> = percentiles
            .map(|(name, of_1000)| self.figure(name, "us", Better::Less, measured.percentile(of_1000)))
            .into();
        figures.extend(self.cpu(measured));
        figures
    }

    /// CPU-seconds for 100 000 answers, where there are proxies.
    fn cpu(self, measured: &Measured) -> Option<Figure> {
        let each = measured.cpu.as_secs_f64() / measured.latencies.len() as f64;
        (!self.way.proxies.is_empty()).then(|| self.figure("cpu", "s/100k", Better::Less, each * 1e5))
    }

    fn figure(self, metric: &str, unit: &'static str, better: Better, value: f64) -> Figure {
        let metric = match self.variant.label {
            "" => metric.to_owned(),
            label => format!("{metric}-{label}"),
        };
        Figure { metric, unit, better, value }
    }
}

/// The callers of so many connections.
async fn many<C>(
    connections: usize,
    open: impl AsyncFn() -> anyhow::Result<Vec<C>>,
) -> anyhow::Result<Vec<C>> {
    let mut all = Vec::new();
    for _ in 0..connections {
        all.extend(open().await?);
    }
    Ok(all)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// What it takes to open a connection to an endpoint that has none, and some more: whom chance calls last is called late.
const PER_ENDPOINT: Duration = Duration::from_micros(400);
/// Connections that are open before those that count.
const FEW: usize = 64;
/// Files that are no connections.
const SPARE: usize = 128;
/// What is let go of when a connection falls idle is let go of by then.
const SETTLE: Duration = Duration::from_secs(3);
