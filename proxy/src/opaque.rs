//! The record of one opaque connection: where it was going, and what became of it. Its end, however that comes, is
//! counted and logged.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite};
use weft_policy::identity::SpiffeId;
use weft_policy::moment::Moment;
use weft_policy::object::ObjectRef;
use weft_policy::refuse::Refusal;

use crate::observe::access_log::Connection;
use crate::observe::metrics::{Direction, TcpConnection, TcpMetrics};
use crate::relay::{Relayed, relay};
use crate::telemetry::OUTSIDE;
use crate::worker::Worker;

/// One opaque connection's record.
pub(crate) struct Opaque {
    worker: Rc<Worker>,
    direction: Direction,
    /// Who opened it.
    pub(crate) source: SocketAddr,
    peer: Option<SpiffeId>,
    destination: String,
    time: SystemTime,
    started: Moment,
    /// What it is counted under, once that is known.
    pub(crate) service: Option<String>,
    /// Where it goes, or was tried last.
    pub(crate) endpoint: Option<SocketAddr>,
    /// The object that a refusal names.
    pub(crate) because: Option<ObjectRef>,
    end: End,
}

/// What became of it.
enum End {
    /// Nothing yet: if nothing does, there is nothing to tell.
    Open,
    Carried {
        counted: TcpConnection,
        relayed: Relayed,
    },
    Refused(Refusal),
}

impl Opaque {
    /// Begins the record of a connection from `source` to what it calls `destination`.
    pub(crate) fn begin(
        worker: &Rc<Worker>,
        direction: Direction,
        source: SocketAddr,
        peer: Option<SpiffeId>,
        destination: String,
    ) -> Self {
        Self {
            worker: Rc::clone(worker),
            direction,
            source,
            peer,
            destination,
            time: SystemTime::now(),
            started: worker.now(),
            service: None,
            endpoint: None,
            because: None,
            end: End::Open,
        }
    }

    /// It is not carried. The close says so to the client, for an opaque protocol has no words of ours; why is told
    /// here.
    pub(crate) fn refuse(mut self, refusal: Refusal) {
        let token = refusal.answer().token;
        self.numbers().refused(token);
        let Self { source, destination, .. } = &self;
        tracing::info!(%source, destination, refusal = token, "refused an opaque connection");
        self.end = End::Refused(refusal);
    }

    /// Joins the two sides until both are done.
    pub(crate) async fn carry<A, B>(&mut self, near: &mut A, far: &mut B)
    where
        A: AsyncRead + AsyncWrite + Unpin + 'static,
        B: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        self.end = End::Carried { counted: self.numbers().open(), relayed: Relayed::default() };
        let End::Carried { relayed, .. } = &mut self.end else { return };
        if let Err(error) = relay(near, far, IDLE, relayed).await {
            tracing::debug!(source = %self.source, %error, "an opaque connection broke");
        }
    }

    fn numbers(&self) -> TcpMetrics {
        let service = self.service.as_deref().unwrap_or(OUTSIDE);
        self.worker.shared.observe.metrics.tcp(self.direction, service)
    }
}

impl Drop for Opaque {
    fn drop(&mut self) {
        let (relayed, refusal) = match &self.end {
            End::Open => return,
            End::Carried { counted, relayed } => {
                counted.sent(relayed.up);
                counted.received(relayed.down);
                (*relayed, None)
            }
            End::Refused(refusal) => (Relayed::default(), Some(*refusal)),
        };
        let log = &self.worker.shared.observe.access_log;
        if !log.is_on() {
            return;
        }
        log.write_connection(&Connection {
            time: self.time,
            direction: self.direction,
            source: self.source,
            peer: self.peer.as_ref().map(SpiffeId::as_str),
            destination: &self.destination,
            service: self.service.as_deref(),
            endpoint: self.endpoint,
            refusal: refusal.map(|refusal| refusal.answer().token),
            policy: self.because.as_ref().map(ToString::to_string).as_deref(),
            took: self.worker.now().since(self.started),
            sent: relayed.up,
            received: relayed.down,
        });
    }
}

/// How long an opaque connection may be silent. Databases keep theirs open for an hour and more.
const IDLE: Duration = Duration::from_secs(2 * 3600);
