//! Bytes of the application's own: decided once per connection, then relayed.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
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
use crate::observe::metrics::Direction;
use crate::opaque::Opaque;
use crate::prefixed::{FirstBytes, Prefixed};
use crate::upstream::connect::{self, ConnectError};
use crate::upstream::trusted::Trusted;
use crate::way_in::Target;
use crate::worker::Worker;

/// The far side of an opaque connection.
pub(super) struct Far {
    pub(super) stream: FarStream,
    record: Opaque,
    _counted: Option<UnderWay<BackendRecord>>,
}

/// A stream to the far side. What was read of it to see who speaks first can be put back.
pub(super) enum FarStream {
    /// Another sidecar.
    Hop(Box<Prefixed<Trusted<TlsStream<TcpStream>>>>),
    /// Whoever has none.
    Bare(Prefixed<TcpStream>),
}

impl FarStream {
    fn bare(stream: TcpStream) -> Self {
        Self::Bare(Prefixed::new(Bytes::new(), stream))
    }
}

impl AsyncRead for FarStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Hop(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Bare(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl Far {
    /// Puts bytes back that were read to see who speaks first.
    pub(super) fn put_back(&mut self, said: FirstBytes) {
        match &mut self.stream {
            FarStream::Hop(stream) => stream.put_back(said),
            FarStream::Bare(stream) => stream.put_back(said),
        }
    }

    /// Joins it with the near side until both are done.
    pub(super) async fn relay<S: AsyncRead + AsyncWrite + Unpin + 'static>(mut self, mut near: S) {
        // Which it is matters to the relay: bare sockets need no copying.
        match self.stream {
            FarStream::Hop(mut stream) => self.record.carry(&mut near, &mut *stream).await,
            FarStream::Bare(mut stream) => self.record.carry(&mut near, &mut stream).await,
        }
    }
}

/// Carries one opaque connection to `target`.
pub(super) async fn serve<S>(worker: &Rc<Worker>, stream: S, addr: SocketAddr, target: &Target)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    // Opaque protocols have no words of ours: the close says it, the record why.
    if let Ok(far) = open(worker, addr, target).await {
        far.relay(stream).await;
    }
}

/// Opens the far side: an endpoint of the service, or the place outside the mesh.
///
/// # Errors
/// The refusal that an HTTP client would have been answered with. It has been told.
pub(super) async fn open(worker: &Rc<Worker>, addr: SocketAddr, target: &Target) -> Result<Far, Refusal> {
    let mut record = Opaque::begin(worker, Direction::Outbound, addr, None, target.to_string());
    match reach(worker, target, &mut record).await {
        Ok((stream, counted)) => Ok(Far { stream, record, _counted: counted }),
        Err(refusal) => {
            record.refuse(refusal);
            Err(refusal)
        }
    }
}

async fn reach(
    worker: &Rc<Worker>,
    target: &Target,
    record: &mut Opaque,
) -> Result<(FarStream, Option<UnderWay<BackendRecord>>), Refusal> {
    let destination = target.destination();
    let snapshot = worker.shared.current.answering(&destination).await?;
    let us = worker.shared.us();
    let source = Source { identity: Some(&us), addr: Some(record.source.ip()) };
    let facts = Facts { source, destination, request: None };
    let mut draw = worker.draw();
    let default_breaker = BreakerConfig::default();
    let decision =
        decide::outbound(&snapshot, &worker.learned.view(&default_breaker), &facts, worker.now(), &mut draw);
    match decision {
        Outbound::Forward(forward) => {
            record.service = Some(forward.service.name.to_string());
            let endpoints = &*snapshot.endpoints_of(&forward.to).ok_or(Refusal::NoEndpoint)?;
            let key = hash_key(forward.traffic, &facts);
            let backend = worker.learned.backend(&forward.to);
            let breaker = &forward.traffic.breaker;
            // Counted while it is being opened too: a limit that only saw open ones would let a rush through.
            let most = forward.traffic.limits.max_connections;
            let counted = backend.connection(most).ok_or(Refusal::OverLimit)?;
            let mut asked = Vec::new();
            let mut why = Refusal::ConnectFailed;
            for _ in 0..TRIES {
                let live = worker.learned.view(breaker);
                let now = worker.now();
                let picked = pick(endpoints, &forward.traffic.balance, &live, key, &asked, now, &mut draw)?;
                asked.push(picked.endpoint.addr);
                record.endpoint = Some(picked.endpoint.addr);
                if leads_back(&worker.shared, picked.endpoint) {
                    return Err(Refusal::Loop);
                }
                match ask(worker, picked.endpoint, target, breaker, &mut draw).await {
                    Ok(stream) => return Ok((stream, Some(counted))),
                    Err(refusal) => why = refusal,
                }
            }
            Err(why)
        }
        Outbound::Unknown => {
            let addr = outside::resolve(&worker.shared, target).await?;
            record.endpoint = Some(addr);
            let stream = connect::plain(addr).await.map_err(|_| Refusal::ConnectFailed)?;
            Ok((FarStream::bare(stream), None))
        }
        Outbound::Refuse { refusal, service, matched } => {
            record.service = service.map(|service| service.name.to_string());
            record.because = matched.map(|matched| matched.route.origin.clone());
            Err(refusal)
        }
        // A redirect needs a request, and there is none.
        Outbound::Redirect { .. } => Err(Refusal::Internal),
    }
}

/// Connects to one endpoint and tells its breaker. A connection that was never opened carried nothing: asking
/// another endpoint sends nothing twice.
async fn ask(
    worker: &Rc<Worker>,
    endpoint: &Endpoint,
    target: &Target,
    breaker: &BreakerConfig,
    draw: &mut Draw,
) -> Result<FarStream, Refusal> {
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
) -> Result<FarStream, ConnectError> {
    let addr = endpoint.addr;
    let Some(identity) = &endpoint.identity else {
        return Ok(FarStream::bare(connect::plain(addr).await?));
    };
    let mut stream = connect::sidecar(&worker.shared, addr, identity, Hop::Tcp).await?;
    let authority = match target {
        Target::Addr(addr) => addr.to_string(),
        Target::Name { host, port } => format!("{host}:{port}"),
    };
    let header = HopHeader { target_port: u32::from(endpoint.target_port), authority };
    let lost = |source| ConnectError::Unreachable { addr, source };
    let invalid = |error: hop::BadHop| lost(io::Error::new(io::ErrorKind::InvalidInput, error));
    stream.write_all(&hop::encode(&header).map_err(invalid)?).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    Ok(FarStream::Hop(Box::new(Prefixed::new(Bytes::new(), stream))))
}

/// Endpoints asked for one connection.
const TRIES: usize = 3;
