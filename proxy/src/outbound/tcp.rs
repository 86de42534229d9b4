//! Bytes of the application's own: decided once per connection, then relayed.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use weft_certs::tls::Hop;
use weft_policy::breaker::{BreakerConfig, Outcome};
use weft_policy::decide::{self, Outbound};
use weft_policy::draw::Draw;
use weft_policy::endpoint::{Endpoint, pick};
use weft_policy::facts::{Facts, Source};
use weft_policy::refuse::Refusal;
use weft_proto::hop;
use weft_proto::v1::HopHeader;

use super::attempt::{hash_key, leads_back};
use super::outside;
use crate::learned::{BackendRecord, UnderWay};
use crate::observe::metrics::{Direction, TcpMetrics};
use crate::prefixed::{FirstBytes, Prefixed};
use crate::relay::{Relayed, relay};
use crate::telemetry::OUTSIDE;
use crate::upstream::connect::{self, ConnectError};
use crate::way_in::Target;
use crate::worker::Worker;

/// A stream to the far side, whatever it runs over. Opaque connections are few and long: a virtual call per
/// read costs nothing next to the read.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// The far side of an opaque connection.
pub(super) struct Far {
    pub(super) stream: Box<dyn Stream>,
    numbers: TcpMetrics,
    _counted: Option<UnderWay<BackendRecord>>,
}

impl Far {
    /// Puts bytes back that were read to see who speaks first.
    pub(super) fn put_back(&mut self, said: FirstBytes) {
        let stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        self.stream = Box::new(said.before(stream));
    }

    /// Joins it with the near side until both are done.
    pub(super) async fn relay<S: AsyncRead + AsyncWrite + Unpin>(mut self, mut near: S) {
        let counted = self.numbers.open();
        let mut relayed = Relayed::default();
        if let Err(error) = relay(&mut near, &mut self.stream, IDLE, &mut relayed).await {
            tracing::debug!(%error, "an opaque connection broke");
        }
        counted.sent(relayed.up);
        counted.received(relayed.down);
    }
}

/// Carries one opaque connection to `target`.
pub(super) async fn serve<S>(worker: &Rc<Worker>, stream: S, addr: SocketAddr, target: &Target)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match open(worker, addr, target).await {
        Ok(far) => far.relay(stream).await,
        // Opaque protocols have no words of ours: the close says it, the log says why.
        Err(refusal) => {
            tracing::info!(?target, refusal = refusal.answer().token, "refused an opaque connection")
        }
    }
}

/// Opens the far side: an endpoint of the service, or the place outside the mesh.
///
/// # Errors
/// The refusal that an HTTP client would have been answered with.
pub(super) async fn open(worker: &Rc<Worker>, addr: SocketAddr, target: &Target) -> Result<Far, Refusal> {
    let destination = target.destination();
    let snapshot = worker.shared.current.answering(&destination).await?;
    let us = worker.shared.us();
    let facts =
        Facts { source: Source { identity: Some(&us), addr: Some(addr.ip()) }, destination, request: None };
    let mut draw = worker.draw();
    let default_breaker = BreakerConfig::default();
    let decision =
        decide::outbound(&snapshot, &worker.learned.view(&default_breaker), &facts, worker.now(), &mut draw);
    let metrics = &worker.shared.observe.metrics;
    match decision {
        Outbound::Forward(forward) => {
            let endpoints = snapshot.endpoints.get(&forward.to).ok_or(Refusal::NoEndpoint)?;
            let key = hash_key(forward.traffic, &facts);
            let backend = worker.learned.backend(&forward.to);
            let breaker = &forward.traffic.breaker;
            // Counted while it is being opened too: a limit that only saw open ones would let a rush through.
            let most = forward.traffic.limits.max_connections;
            let counted = backend.connection(most).ok_or(Refusal::OverLimit)?;
            let mut asked = Vec::new();
            for _ in 0..TRIES {
                let live = worker.learned.view(breaker);
                let now = worker.now();
                let picked = pick(endpoints, &forward.traffic.balance, &live, key, &asked, now, &mut draw)?;
                asked.push(picked.endpoint.addr);
                if leads_back(&worker.shared, picked.endpoint) {
                    return Err(Refusal::Loop);
                }
                if let Ok(stream) = reach(worker, picked.endpoint, target, breaker, &mut draw).await {
                    let numbers = metrics.tcp(Direction::Outbound, &forward.service.name.to_string());
                    return Ok(Far { stream, numbers, _counted: Some(counted) });
                }
            }
            Err(Refusal::ConnectFailed)
        }
        Outbound::Unknown => {
            let addr = outside::resolve(&worker.shared, target).await?;
            let stream = connect::plain(addr).await.map_err(|_| Refusal::ConnectFailed)?;
            Ok(Far {
                stream: Box::new(stream),
                numbers: metrics.tcp(Direction::Outbound, OUTSIDE),
                _counted: None,
            })
        }
        Outbound::Refuse { refusal, .. } => Err(refusal),
        // A redirect needs a request, and there is none.
        Outbound::Redirect { .. } => Err(Refusal::Internal),
    }
}

/// Connects to one endpoint and tells its breaker. A connection that was never opened carried nothing: asking
/// another endpoint sends nothing twice.
async fn reach(
    worker: &Rc<Worker>,
    endpoint: &Endpoint,
    target: &Target,
    breaker: &BreakerConfig,
    draw: &mut Draw,
) -> Result<Box<dyn Stream>, Refusal> {
    let record = worker.learned.endpoint(endpoint);
    let permit = record.breaker.begin(breaker, worker.now()).ok_or(Refusal::BreakersOpen)?;
    let connected = connect_to(worker, endpoint, target).await;
    let outcome = if connected.is_ok() { Outcome::Success } else { Outcome::Failure };
    // No change is lost: the breaker's state is read from the records.
    let _ = record.breaker.record(permit, outcome, breaker, worker.now(), draw);
    connected.map_err(|error| {
        tracing::debug!(endpoint = %endpoint.name, %error, "cannot reach an endpoint");
        if error.is_wrong_identity() { Refusal::WrongIdentity } else { Refusal::ConnectFailed }
    })
}

async fn connect_to(
    worker: &Rc<Worker>,
    endpoint: &Endpoint,
    target: &Target,
) -> Result<Box<dyn Stream>, ConnectError> {
    let addr = endpoint.addr;
    let Some(identity) = &endpoint.identity else {
        return Ok(Box::new(connect::plain(addr).await?));
    };
    let mut stream = connect::sidecar(&worker.shared, addr, identity, Hop::Tcp).await?;
    let authority = match target {
        Target::Addr(addr) => addr.to_string(),
        Target::Name { host, port } => format!("{host}:{port}"),
    };
    let header = HopHeader { target_port: u32::from(endpoint.target_port), authority };
    let lost = |source| ConnectError::Unreachable { addr, source };
    let invalid = |error: hop::BadHop| lost(std::io::Error::new(std::io::ErrorKind::InvalidInput, error));
    stream.write_all(&hop::encode(&header).map_err(invalid)?).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    Ok(Box::new(Prefixed::new(bytes::Bytes::new(), stream)))
}

/// How long an opaque connection may be silent. Databases keep theirs open for an hour and more.
const IDLE: Duration = Duration::from_secs(2 * 3600);
/// Endpoints asked for one connection.
const TRIES: usize = 3;
