//! Listening sockets: accept, hand over, never end.
//!
//! One acceptor per listener hands each connection to the worker with the fewest, so that a few long gRPC
//! connections spread. As many as there is room for ([`descriptors`](crate::descriptors), [`memory`](crate::memory)) are taken,
//! the others wait in the kernel; and should there be no descriptor all the same, that is a pause, not the end (catalogue row 61).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::drain::Drain;
use crate::memory::{A_CONNECTION, Fill};
use crate::shared::Shared;
use crate::way_in::Target;

/// Which way a connection came in.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// A call into the application.
    Inbound,
    /// A call of the application's own, redirected or explicit.
    Outbound,
    /// A call of the application's own on a fixed local port.
    Fixed(Target),
}

/// An accepted connection on its way to a worker. It is not registered with any runtime yet.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) way: Way,
    /// Counts the connection as the worker's for as long as it lives.
    pub(crate) held: Held,
}

/// Where one worker takes its connections from.
#[derive(Clone, Debug)]
pub(crate) struct WorkerDoor {
    pub(crate) connections: mpsc::UnboundedSender<Accepted>,
    pub(crate) open: Arc<AtomicUsize>,
}

/// One connection in a worker's count.
#[derive(Debug)]
pub(crate) struct Held(Arc<AtomicUsize>);

impl Held {
    fn one_more(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Binds a listener.
///
/// # Errors
/// [`BindError`], which says what to do.
pub(crate) async fn bind(addr: SocketAddr, what: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(addr).await.map_err(|source| BindError { addr, what, source })
}

/// A listener that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr} for {what}; is another process using the port? (`ss -ltnp` shows which)")]
pub struct BindError {
    addr: SocketAddr,
    what: &'static str,
    #[source]
    source: io::Error,
}

impl BindError {
    pub(crate) const fn new(addr: SocketAddr, what: &'static str, source: io::Error) -> Self {
        Self { addr, what, source }
    }
}

/// Whether there is room for one more.
pub(crate) struct Room {
    /// Whose memory it would take.
    pub(crate) shared: Arc<Shared>,
}

impl Room {
    /// What there is not enough of for one more beside so many. Its memory counts as taken with the question.
    fn lacks(&self, open: usize) -> Option<&'static str> {
        if open >= self.shared.connections {
            Some("descriptors")
        } else {
            (self.shared.memory.take(A_CONNECTION) == Fill::Full).then_some("memory")
        }
    }
}

/// Accepts until draining begins, as long as there is room.
pub(crate) async fn accept(
    listener: TcpListener,
    way: Way,
    doors: Vec<WorkerDoor>,
    room: Room,
    mut drain: Drain,
) {
    let mut is_full = false;
    loop {
        let open: usize = doors.iter().map(|door| door.open.load(Ordering::Relaxed)).sum();
        if let Some(lacking) = room.lacks(open) {
            if !std::mem::replace(&mut is_full, true) {
                tracing::warn!(
                    open,
                    lacking,
                    "as many connections are open as there is room for; others wait"
                );
            }
            tokio::select! {
                () = tokio::time::sleep(BREATHER) => continue,
                () = drain.begun() => return,
            }
        }
        is_full = false;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.begun() => return,
        };
        match accepted.and_then(|(stream, peer)| Ok((prepare(stream)?, peer))) {
            Ok((stream, peer)) => {
                let door = doors.iter().min_by_key(|door| door.open.load(Ordering::Relaxed));
                if let Some(door) = door {
                    let held = Held::one_more(&door.open);
                    // A worker that is gone takes nothing more: the process is ending.
                    let _ = door.connections.send(Accepted { stream, peer, way: way.clone(), held });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection; pausing");
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
}

fn prepare(stream: TcpStream) -> io::Result<std::net::TcpStream> {
    stream.set_nodelay(true)?;
    stream.into_std()
}

/// How long to let others free descriptors.
const BREATHER: Duration = Duration::from_millis(50);
