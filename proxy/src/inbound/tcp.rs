//! Bytes into the application: authorized once, then relayed.

use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use weft_policy::decide;
use weft_policy::facts::{Destination, Facts, Source};
use weft_proto::hop;

use super::caller::Caller;
use crate::observe::metrics::{Direction, Side};
use crate::original_dst::OriginalDst;
use crate::relay::{Relayed, relay};
use crate::shared::Dialled;
use crate::upstream::connect;
use crate::worker::Worker;

/// An opaque connection of another sidecar: it says which port it means before its first byte.
pub(super) async fn hop<S>(
    worker: &Rc<Worker>,
    mut stream: S,
    caller: &Caller,
    redirected: Option<OriginalDst>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let header = tokio::time::timeout(HEADER, read_header(&mut stream)).await;
    let Ok(Some((said, rest))) = header else {
        worker.shared.observe.metrics.tls_refused(Side::Inbound, "bad_hop").increment();
        return;
    };
    // Where the kernel knows the port, its word counts.
    let asked = said.filter(|port| *port != 0).map(Dialled::Asked);
    let Some(dialled) = redirected.map(Dialled::Redirected).or(asked) else { return };
    let mut stream = crate::prefixed::Prefixed::new(rest.into(), stream);
    pass(worker, &mut stream, caller, dialled).await;
}

async fn read_header<S: AsyncRead + Unpin>(stream: &mut S) -> Option<(Option<u16>, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        match hop::decode(&bytes) {
            Ok(Some((header, used))) => {
                let rest = bytes.get(used..).unwrap_or_default().to_vec();
                return Some((u16::try_from(header.target_port).ok(), rest));
            }
            Ok(None) => {}
            Err(_) => return None,
        }
        let mut chunk = [0; 512];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(chunk.get(..n).unwrap_or_default()),
        }
    }
}

/// An opaque connection that nobody has proven anything on. Says whether policy let it in.
pub(super) async fn plaintext<S>(
    worker: &Rc<Worker>,
    mut stream: S,
    caller: &Caller,
    dialled: Dialled,
) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    pass(worker, &mut stream, caller, dialled).await
}

async fn pass<S>(worker: &Rc<Worker>, stream: &mut S, caller: &Caller, dialled: Dialled) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let port = dialled.port();
    let numbers = worker.shared.observe.metrics.tcp(Direction::Inbound, &worker.shared.config.workload);
    let may = allowed(worker, caller, port);
    if caller.peer.is_none() {
        let plaintext = worker.shared.observe.metrics.plaintext(&worker.shared.config.workload);
        if may { plaintext.allowed() } else { plaintext.denied() }
    }
    if !may {
        return false; // the close says it: an opaque protocol has no words of ours
    }
    let application = match worker.shared.application(dialled) {
        Ok(application) => application,
        Err(refusal) => {
            tracing::info!(peer = %caller.addr, port, refusal = refusal.answer().token, "refused a connection");
            return true;
        }
    };
    let mut app = match connect::plain(application).await {
        Ok(app) => app,
        Err(error) => {
            tracing::warn!(%error, "cannot reach the application");
            return true;
        }
    };
    let counted = numbers.open();
    let mut relayed = Relayed::default();
    let relaying = relay(stream, &mut app, IDLE, &mut relayed);
    let denied = worker.shared.current.until(|_| !allowed(worker, caller, port));
    tokio::select! {
        _ = relaying => {}
        () = denied => tracing::info!(peer = %caller.addr, port, "closed a connection: policy denies it now"),
    }
    counted.sent(relayed.down);
    counted.received(relayed.up);
    true
}

/// What policy says now.
fn allowed(worker: &Worker, caller: &Caller, port: u16) -> bool {
    let snapshot = worker.shared.current.snapshot();
    let facts = Facts {
        source: Source { identity: caller.peer.as_ref().map(|peer| &peer.id), addr: Some(caller.addr.ip()) },
        destination: Destination::Addr((worker.shared.config.application, port).into()),
        request: None,
    };
    decide::inbound(&snapshot, &facts, port).is_allowed()
}

/// A hop's first bytes are written together with its handshake.
const HEADER: Duration = Duration::from_secs(10);
/// How long an opaque connection may be silent. Databases keep theirs open for an hour and more.
const IDLE: Duration = Duration::from_secs(2 * 3600);
