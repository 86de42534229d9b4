//! The application behind the mesh: answers every request with the same body, from a thread of its own.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;

use anyhow::Context;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// A running origin. Dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Origin {
    /// Starts one that answers with `body` bytes.
    ///
    /// # Errors
    /// If there is no port or no thread for it.
    pub(crate) fn start(body: usize) -> anyhow::Result<Self> {
        let listener =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for the origin")?;
        listener.set_nonblocking(true).context("the origin's listener")?;
        let addr = listener.local_addr().context("the origin's listener")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = serve(listener, body) => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("origin".into()).spawn(serve)?;
        Ok(Self { addr, stop: Some(stop), thread: Some(thread) })
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

async fn serve(listener: TcpListener, body: usize) {
    let body = Bytes::from(vec![b'w'; body]);
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // Latency is measured here: an answer never waits for a full segment.
                let _ = stream.set_nodelay(true);
                let body = body.clone();
                let service = service_fn(move |_| {
                    let response = Response::builder()
                        .header(header::CONTENT_TYPE, "text/plain")
                        .body(Full::new(body.clone()));
                    async move { response }
                });
                open.spawn(async move {
                    // Whoever calls counts what fails.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = open.join_next() => {}
        }
    }
}
