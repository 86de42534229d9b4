//! What has arrived at the inbound listener: a hop from another sidecar, plaintext, or the application's own
//! TLS.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use weft_certs::tls::{HandshakeFailed, Hop};
use weft_certs::verify::Role;
use weft_policy::protocol::AppProtocol;

use super::caller::Caller;
use super::{http, tcp};
use crate::detect::Detected;
use crate::message::Http;
use crate::observe::metrics::Side;
use crate::original_dst::OriginalDst;
use crate::prefixed::{FirstBytes, Prefixed};
use crate::shared::Dialled;
use crate::upstream::connect::SEALED;
use crate::worker::Worker;

/// Serves one connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, addr: SocketAddr) {
    // Without redirection the connection was opened to our own port; then a hop says which port it means.
    let redirected = OriginalDst::of_redirected(&stream, &worker.shared.own).ok();
    let plaintext_port = redirected.map(Dialled::Redirected).or_else(|| only_port(&worker));
    let mut stream = stream;
    let mut first = FirstBytes::default();
    let said = first_word(&worker, &mut stream, &mut first, plaintext_port.map(Dialled::port)).await;
    let Some(Said { detected, too_late }) = said else { return };
    worker.shared.observe.metrics.detections(detected_label(&detected)).increment();
    match detected {
        Detected::Tls(hello) if hello.alpn.iter().any(|name| Hop::parse(name).is_some()) => {
            Box::pin(hop(worker, first.before(stream), addr, redirected)).await;
        }
        Detected::Opaque
            if first.begin_as_tls() && !may_be_opaque(&worker, plaintext_port.map(Dialled::port)) =>
        {
            refused(
                &worker,
                addr,
                if too_late { &HandshakeFailed::TimedOut } else { &HandshakeFailed::ClientHello },
            );
        }
        other => {
            let caller = Caller { peer: None, addr };
            // A plaintext connection to our own port says nowhere which port it means.
            let Some(dialled) = plaintext_port else { return };
            Box::pin(plaintext(worker, first.before(stream), caller, dialled, &other)).await;
        }
    }
}

/// The application's port, where it has just one.
fn only_port(worker: &Worker) -> Option<Dialled> {
    let snapshot = worker.shared.current.snapshot();
    match snapshot.inbound.as_ref()?.ports.as_slice() {
        [only] => Some(Dialled::Only(only.number)),
        _ => None,
    }
}

/// Whether an operator has said that bytes of any kind may arrive at this port. Elsewhere what begins as TLS and never
/// becomes a ClientHello is nobody's.
fn may_be_opaque(worker: &Worker, port: Option<u16>) -> bool {
    let snapshot = worker.shared.current.snapshot();
    let Some((inbound, port)) = snapshot.inbound.as_ref().zip(port) else { return false };
    matches!(inbound.protocol(port), AppProtocol::Opaque | AppProtocol::Tls)
}

/// What a connection speaks.
struct Said {
    detected: Detected,
    /// It had not said enough when the time was up.
    too_late: bool,
}

/// Reads until it is clear what is spoken. A caller that stays silent on a port whose protocol lets the server
/// speak first is opaque; elsewhere it has the detection limit.
async fn first_word(
    worker: &Worker,
    stream: &mut TcpStream,
    first: &mut FirstBytes,
    port: Option<u16>,
) -> Option<Said> {
    let declared = port.map_or(AppProtocol::Detect, |port| {
        let snapshot = worker.shared.current.snapshot();
        snapshot.inbound.as_ref().map_or(AppProtocol::Detect, |inbound| inbound.protocol(port))
    });
    let patience = if declared == AppProtocol::Opaque { SERVER_FIRST } else { DETECT };
    match tokio::time::timeout(patience, first.word(stream)).await {
        Ok(word) => word.map(|detected| Said { detected, too_late: false }),
        Err(_) => Some(Said { detected: Detected::Opaque, too_late: true }),
    }
}

/// A hop: TLS with a proof of who is calling.
async fn hop(worker: Rc<Worker>, stream: Prefixed<TcpStream>, addr: SocketAddr, dst: Option<OriginalDst>) {
    let identity = Arc::clone(&worker.shared.identity);
    let changes = identity.trust_changes();
    let acceptor = TlsAcceptor::from(identity.generation().sidecar_server());
    let stream = match tokio::time::timeout(HANDSHAKE, Box::pin(acceptor.accept(stream))).await {
        Ok(Ok(mut stream)) => {
            stream.get_mut().1.set_buffer_limit(Some(SEALED));
            stream
        }
        Ok(Err(error)) => return refused(&worker, addr, &HandshakeFailed::of_io(&error)),
        Err(_) => return refused(&worker, addr, &HandshakeFailed::TimedOut),
    };
    let (_, tls) = stream.get_ref();
    let Some(hop) = Hop::negotiated(tls.alpn_protocol()) else {
        return refused(&worker, addr, &HandshakeFailed::Protocol);
    };
    // Of a session that was resumed nobody has been judged yet.
    let proven = match identity.client_of(tls) {
        Ok(proven) => proven,
        Err(reason) => return refused(&worker, addr, &reason.into()),
    };
    worker.shared.observe.metrics.tls_handshakes(Side::Inbound, tls.handshake_kind()).increment();
    let caller = Caller { peer: Some(proven), addr };
    let distrusted = identity.until_distrusted(changes, tls.peer_certificates(), Role::Client);
    let serving = async {
        match hop {
            Hop::Http2 => {
                http::serve(Rc::clone(&worker), Box::new(stream), Http::H2, caller, http::Port::OfHop(dst))
                    .await
            }
            Hop::Http1 => {
                http::serve(Rc::clone(&worker), Box::new(stream), Http::H1, caller, http::Port::OfHop(dst))
                    .await
            }
            Hop::Tcp => Box::pin(tcp::hop(&worker, stream, &caller, dst)).await,
            Hop::ControlPlane => {}
        }
    };
    tokio::select! {
        () = serving => {}
        // A revocation or a removed root closes what it concerns, whatever is under way.
        () = distrusted => tracing::info!(peer = %addr, "closed a connection: its peer is trusted no more"),
    }
}

/// Counts it and says why, in our words only: what the peer sent is repeated neither in a label nor in the log.
fn refused(worker: &Worker, addr: SocketAddr, failed: &HandshakeFailed) {
    let reason = failed.label();
    worker.shared.observe.metrics.tls_refused(Side::Inbound, reason).increment();
    tracing::info!(peer = %addr, reason, "refused a peer before it was heard");
}

/// Plaintext, or TLS of the application's own.
async fn plaintext<S>(
    worker: Rc<Worker>,
    stream: Prefixed<S>,
    caller: Caller,
    dialled: Dialled,
    detected: &Detected,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let port = dialled.port();
    let snapshot = worker.shared.current.snapshot();
    let declared = snapshot.inbound.as_ref().map_or(AppProtocol::Detect, |inbound| inbound.protocol(port));
    let let_in = match (declared, detected) {
        (AppProtocol::Opaque | AppProtocol::Tls, _) => {
            Box::pin(tcp::plaintext(&worker, stream, &caller, dialled)).await
        }
        (_, Detected::Http1) => {
            return http::serve(worker, Box::new(stream), Http::H1, caller, http::Port::Fixed(dialled)).await;
        }
        (_, Detected::Http2) => {
            return http::serve(worker, Box::new(stream), Http::H2, caller, http::Port::Fixed(dialled)).await;
        }
        // Where HTTP is declared, what is not even that is answered as HTTP that is wrong: the rules about requests
        // hold for every byte that reaches such a port.
        (AppProtocol::Http1, Detected::Opaque | Detected::Socks5 | Detected::NeedMore) => {
            return http::serve(worker, Box::new(stream), Http::H1, caller, http::Port::Fixed(dialled)).await;
        }
        (AppProtocol::Http2, Detected::Opaque | Detected::Socks5 | Detected::NeedMore) => {
            return http::serve(worker, Box::new(stream), Http::H2, caller, http::Port::Fixed(dialled)).await;
        }
        (_, Detected::Tls(_) | Detected::Opaque | Detected::Socks5 | Detected::NeedMore) => {
            Box::pin(tcp::plaintext(&worker, stream, &caller, dialled)).await
        }
    };
    // It spoke TLS and none of ours, where only ours is let in.
    if !let_in && matches!(detected, Detected::Tls(_)) {
        refused(&worker, caller.addr, &HandshakeFailed::Protocol);
    }
}

fn detected_label(detected: &Detected) -> &'static str {
    match detected {
        Detected::NeedMore => "silent",
        Detected::Tls(_) => "tls",
        Detected::Http2 => "http2",
        Detected::Http1 => "http1",
        Detected::Socks5 => "socks5",
        Detected::Opaque => "opaque",
    }
}

/// How long a caller may take to say what it speaks.
const DETECT: Duration = Duration::from_secs(10);
/// How long on a port where the server may speak first.
const SERVER_FIRST: Duration = Duration::from_millis(50);
const HANDSHAKE: Duration = Duration::from_secs(10);
