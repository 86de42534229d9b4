//! The application behind the mesh, on a thread of its own: HTTP of either version at one port, bytes at another.
//!
//! It shares a CPU with the client, so it is as plain as correctness permits: what it costs is taken from the load.

mod http1;
mod http2;
mod bytes;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::Context;
pub(crate) use bytes::{WORD, pattern};
use hyper::body::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// A running origin. Dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Where it answers HTTP: 1.1, and 2 by prior knowledge.
    pub(crate) http: SocketAddr,
    /// Where it takes bytes: see [`bytes`].
    pub(crate) bytes: SocketAddr,
    received: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

/// The body of every answer: no two neighbouring parts of it are alike, so one that is cut, doubled or swapped is
/// another body.
pub(crate) fn body(length: usize) -> Bytes {
    (0u8..251).cycle().take(length).collect()
}

impl Origin {
    /// Starts one that answers with `length` bytes, at this address of loopback, or at every one: the unspecified.
    ///
    /// # Errors
    /// If there is no port or no thread for it.
    pub(crate) fn start(ip: Ipv4Addr, length: usize) -> anyhow::Result<Self> {
        let (http, http_at) = listen(ip)?;
        let (raw, raw_at) = listen(ip)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let received = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&received);
        let serve = move || {
            runtime.block_on(async {
                let (Ok(http), Ok(raw)) = (TcpListener::from_std(http), TcpListener::from_std(raw)) else {
                    return;
                };
                let (body, answer) = (body(length), http1::answer(length));
                let pattern = pattern();
                tokio::select! {
                    () = accept(http, |stream| answer_http(stream, answer.clone(), body.clone())) => {}
                    () = accept(raw, |stream| bytes::serve(stream, Arc::clone(&pattern), Arc::clone(&counter))) => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("origin".into()).spawn(serve)?;
        Ok(Self { http: http_at, bytes: raw_at, received, stop: Some(stop), thread: Some(thread) })
    }

    /// How many bytes have arrived at `bytes`.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, the load has seen it.
            let _ = thread.join();
        }
    }
}

/// The listener, and where on loopback it is reached.
fn listen(ip: Ipv4Addr) -> anyhow::Result<(std::net::TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind((ip, 0)).context("no port for the origin")?;
    listener.set_nonblocking(true).context("the origin's listener")?;
    let port = listener.local_addr().context("the origin's listener")?.port();
    Ok((listener, (Ipv4Addr::LOCALHOST, port).into()))
}

async fn accept<F>(listener: TcpListener, each: impl Fn(TcpStream) -> F)
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // Latency is measured here: an answer never waits for a full segment.
                let _ = stream.set_nodelay(true);
                let serving = each(stream);
                // Whoever calls sees what fails.
                open.spawn(async move { drop(serving.await) });
            }
            Some(_) = open.join_next() => {}
        }
    }
}

/// Whatever version the other side begins with.
async fn answer_http(stream: TcpStream, answer: Bytes, body: Bytes) -> std::io::Result<()> {
    let mut first = [0; 3];
    // Nobody here sends a head byte by byte.
    if stream.peek(&mut first).await? < first.len() {
        return Ok(());
    }
    if &first == b"PRI" { http2::serve(stream, body).await } else { http1::serve(stream, &answer).await }
}
