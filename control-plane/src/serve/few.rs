//! Listeners for a few who ask now and then, over HTTP: an orchestrator, a scraper, an API server.
//!
//! So many connections, and the next one waits for a place: whoever may reach these ports has no reason to take them all.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Serves each connection until it is dropped. `cannot` is said, with the reason, where one cannot be accepted.
pub(crate) async fn serve<F>(listener: TcpListener, cannot: &'static str, serve_one: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("slots is never closed");
            (listener.accept().await, slot)
        };
        tokio::select! {
            (accepted, slot) = next => match accepted {
                Ok((socket, _)) => {
                    let serving = serve_one(socket);
                    open.spawn(async move {
                        serving.await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "{cannot}");
                    sleep(BREATHER).await;
                }
            },
            Some(_) = open.join_next() => {}
        }
    }
}

/// Every API server has one or two, for all of its reviews; a scraper has one.
const CONNECTIONS: usize = 64;
/// How long to let others free descriptors.
const BREATHER: Duration = Duration::from_millis(50);
