//! Bytes into the application: authorized once, then relayed.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use weft_policy::decide;
use weft_policy::facts::{Destination, Facts, Source};
use weft_policy::object::ObjectRef;
use weft_policy::refuse::Refusal;
use weft_proto::hop;

use super::caller::Caller;
use crate::observe::metrics::{Direction, Side};
use crate::opaque::Opaque;
use crate::original_dst::OriginalDst;
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
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let header = tokio::time::timeout(HEADER, read_header(&mut stream)).await;
    let Ok(Some((said, rest))) = header else {
        worker.shared.observe.metrics.tls_refused(Side::Inbound, "bad_hop").increment();
        let refusal = if header.is_err() { Refusal::HeadTimeout } else { Refusal::BadRequest };
        return record(worker, caller, redirected.map_or(0, |dst| dst.addr().port())).refuse(refusal);
    };
    // Where the kernel knows the port, its word counts.
    let asked = said.filter(|port| *port != 0).map(Dialled::Asked);
    let Some(dialled) = redirected.map(Dialled::Redirected).or(asked) else {
        return record(worker, caller, 0).refuse(Refusal::BadRequest);
    };
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
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    pass(worker, &mut stream, caller, dialled).await
}

async fn pass<S>(worker: &Rc<Worker>, stream: &mut S, caller: &Caller, dialled: Dialled) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let port = dialled.port();
    let mut record = record(worker, caller, port);
    let kept_out = refused(worker, caller, port);
    if caller.peer.is_none() {
        let plaintext = worker.shared.observe.metrics.plaintext(&worker.shared.config.workload);
        if kept_out.is_none() {
            plaintext.allowed();
            worker.shared.observe.let_in_plaintext(caller.addr.ip());
        } else {
            plaintext.denied();
        }
    }
    if let Some((refusal, because)) = kept_out {
        record.because = because;
        record.refuse(refusal);
        return false;
    }
    let application = match worker.shared.application(dialled) {
        Ok(application) => application,
        Err(refusal) => {
            record.refuse(refusal);
            return true;
        }
    };
    record.endpoint = Some(application);
    let mut app = match connect::plain(application).await {
        Ok(app) => app,
        Err(error) => {
            tracing::warn!(%error, "cannot reach the application");
            record.refuse(Refusal::ConnectFailed);
            return true;
        }
    };
    let denied = worker.shared.current.until(|_| refused(worker, caller, port).is_some());
    tokio::select! {
        () = record.carry(stream, &mut app) => {}
        () = denied => tracing::info!(peer = %caller.addr, port, "closed a connection: policy denies it now"),
    }
    true
}

fn record(worker: &Rc<Worker>, caller: &Caller, port: u16) -> Opaque {
    let peer = caller.peer.as_ref().map(|peer| peer.id.clone());
    let destination = SocketAddr::new(worker.shared.config.application, port).to_string();
    let mut record = Opaque::begin(worker, Direction::Inbound, caller.addr, peer, destination);
    record.service = Some(worker.shared.config.workload.clone());
    record
}

/// Why the caller is kept out now, and by what; `None` lets it in.
fn refused(worker: &Worker, caller: &Caller, port: u16) -> Option<(Refusal, Option<ObjectRef>)> {
    let snapshot = worker.shared.current.snapshot();
    let facts = Facts {
        source: Source { identity: caller.peer.as_ref().map(|peer| &peer.id), addr: Some(caller.addr.ip()) },
        destination: Destination::Addr((worker.shared.config.application, port).into()),
        request: None,
    };
    let decision = decide::inbound(&snapshot, &facts, port);
    let because = || decision.verdict().and_then(|verdict| verdict.by()).cloned();
    decision.refusal().map(|refusal| (refusal, because()))
}

/// A hop's first bytes are written together with its handshake.
const HEADER: Duration = Duration::from_secs(10);
