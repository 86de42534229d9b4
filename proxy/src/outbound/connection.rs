//! What has arrived at an outbound listener: where it wants to go, and what it speaks.
//!
//! Transparent and explicit ways in end in the same [`Target`]; everything after it is the same code.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use weft_policy::protocol::AppProtocol;

use super::http::{self, Goal};
use super::tcp;
use crate::detect::Detected;
use crate::message::Http;
use crate::original_dst::{OriginalDst, is_from_this_host};
use crate::prefixed::FirstBytes;
use crate::way_in::{Target, socks5};
use crate::worker::Worker;

/// Serves one connection to its end. `fixed` is where a fixed local port leads.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, addr: SocketAddr, fixed: Option<Target>) {
    if !is_from_this_host(addr) {
        tracing::info!(peer = %addr, "refused a call from another host: it would have gone out as our workload's");
        return;
    }
    let redirected = || OriginalDst::of_redirected(&stream, &worker.shared.own).ok();
    match fixed.or_else(|| redirected().map(|dst| Target::Addr(dst.addr()))) {
        Some(target) => toward(worker, stream, addr, target).await,
        None => explicit(worker, stream, addr).await,
    }
}

/// A connection that says itself where it wants to go: SOCKS5, or HTTP as to a proxy.
async fn explicit(worker: Rc<Worker>, mut stream: TcpStream, addr: SocketAddr) {
    let mut first = FirstBytes::default();
    let detected = tokio::time::timeout(DETECT, first.word(&mut stream)).await;
    match detected.ok().flatten() {
        Some(Detected::Http1) => {
            http::serve(worker, Box::new(first.before(stream)), Http::H1, addr, asked(addr)).await
        }
        Some(Detected::Http2) => {
            http::serve(worker, Box::new(first.before(stream)), Http::H2, addr, asked(addr)).await
        }
        Some(Detected::Socks5) => {
            let mut stream = first.before(stream);
            let accepted = tokio::time::timeout(DETECT, async {
                let target = socks5::accept(&mut stream).await?;
                // Said before the far end is reached: only what the client sends next shows what it speaks.
                let lost = |source| socks5::NotAccepted::Lost { source };
                socks5::reply(&mut stream, socks5::Reply::Succeeded).await.map_err(lost)?;
                Ok::<_, socks5::NotAccepted>(target)
            });
            match accepted.await {
                Ok(Ok(target)) => toward(worker, stream, addr, target).await,
                Ok(Err(error)) => tracing::debug!(%error, "a SOCKS5 client was refused"),
                Err(_) => {}
            }
        }
        // Anything else came to our port without saying where it wants to go.
        _ => {}
    }
}

/// Each request says where it wants to go; what follows a `CONNECT` is a connection of its own.
fn asked(addr: SocketAddr) -> Goal {
    Goal::Asked(Box::new(move |worker, upgraded, target| {
        toward(worker, TokioIo::new(upgraded), addr, target)
    }))
}

/// Serves a connection whose goal is known. Boxed, because `CONNECT` leads back here; and what a connection may turn out
/// to be is boxed, because it is one thing only.
fn toward<S>(
    worker: Rc<Worker>,
    stream: S,
    addr: SocketAddr,
    target: Target,
) -> Pin<Box<dyn Future<Output = ()>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Box::pin(async move {
        match declared(&worker, &target).await {
            AppProtocol::Opaque | AppProtocol::Tls => {
                Box::pin(tcp::serve(&worker, stream, addr, &target)).await
            }
            AppProtocol::Http1 => {
                http::serve(worker, Box::new(stream), Http::H1, addr, Goal::Fixed(target)).await
            }
            AppProtocol::Http2 => {
                http::serve(worker, Box::new(stream), Http::H2, addr, Goal::Fixed(target)).await
            }
            AppProtocol::Detect => detected(worker, stream, addr, target).await,
        }
    })
}

/// What the port speaks, as its Service says. Outside the mesh only well-known ports say anything.
async fn declared(worker: &Worker, target: &Target) -> AppProtocol {
    let destination = target.destination();
    // No answer in time: look at the bytes. If they are HTTP, each request asks again and is answered.
    let known = worker.shared.current.answering(&destination).await.ok();
    let port = destination.port();
    known
        .as_ref()
        .and_then(|snapshot| snapshot.service_at(&destination)?.port(port))
        .map_or_else(|| AppProtocol::by_default_for(port), |port| port.protocol)
}

/// Looks at the first bytes. A client that stays silent may be waiting for the server to speak: then the far
/// end is reached, and whoever speaks first decides.
async fn detected<S>(worker: Rc<Worker>, mut stream: S, addr: SocketAddr, target: Target)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut first = FirstBytes::default();
    let spoken = match tokio::time::timeout(SILENCE, first.word(&mut stream)).await {
        Ok(spoken) => spoken,
        Err(_) if first.bytes().is_empty() => {
            return Box::pin(server_first(worker, stream, first, addr, target)).await;
        }
        // It has begun and is slow.
        Err(_) => tokio::time::timeout(DETECT, first.word(&mut stream)).await.ok().flatten(),
    };
    let stream = first.before(stream);
    match spoken {
        None => {}
        Some(Detected::Http1) => {
            http::serve(worker, Box::new(stream), Http::H1, addr, Goal::Fixed(target)).await
        }
        Some(Detected::Http2) => {
            http::serve(worker, Box::new(stream), Http::H2, addr, Goal::Fixed(target)).await
        }
        Some(_) => Box::pin(tcp::serve(&worker, stream, addr, &target)).await,
    }
}

/// Both directions race: the server's first byte makes the connection opaque, the client's is looked at.
async fn server_first<S>(
    worker: Rc<Worker>,
    mut stream: S,
    mut first: FirstBytes,
    addr: SocketAddr,
    target: Target,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut far = match tcp::open(&worker, addr, &target).await {
        Ok(far) => far,
        Err(_) => return,
    };
    let mut said = FirstBytes::default();
    tokio::select! {
        spoken = first.word(&mut stream) => match spoken {
            None => {}
            Some(Detected::Http1) => {
                drop(far);
                http::serve(worker, Box::new(first.before(stream)), Http::H1, addr, Goal::Fixed(target)).await;
            }
            Some(Detected::Http2) => {
                drop(far);
                http::serve(worker, Box::new(first.before(stream)), Http::H2, addr, Goal::Fixed(target)).await;
            }
            Some(_) => far.relay(first.before(stream)).await,
        },
        read = said.more(&mut far.stream) => if read.is_ok_and(|n| n > 0) {
            far.put_back(said);
            far.relay(first.before(stream)).await;
        },
    }
}

/// How long a client may take to say what it speaks, once it has begun or must.
const DETECT: Duration = Duration::from_secs(10);
/// After this much silence the server may be the one who speaks first.
const SILENCE: Duration = Duration::from_millis(50);
