//! Accepts connections and completes their handshakes, so many at a time, and gives gRPC those that succeed.
//!
//! A client that stalls in its handshake holds one slot for a few seconds and nobody else up; a failing accept is
//! a pause, never the end.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use weft_certs::tls::Hop;

use super::connection::Connection;

/// How many handshakes there may be at once; each costs half a millisecond of a CPU.
const HANDSHAKES: usize = 256;
/// A client that takes longer is no client.
const PATIENCE: Duration = Duration::from_secs(10);
/// After an accept that failed: descriptors may have run out, and come back.
const BREATHER: Duration = Duration::from_millis(50);

/// Connections with completed handshakes. `config` gives the TLS configuration for each: certificates change
/// while it runs. Ends when the stream is dropped.
pub async fn accept(
    listener: TcpListener,
    config: impl Fn() -> Arc<ServerConfig>,
    accepted: mpsc::Sender<Result<Connection, std::convert::Infallible>>,
) {
    let slots = Arc::new(Semaphore::new(HANDSHAKES));
    let mut handshakes = JoinSet::new();
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("slots is never closed");
            (listener.accept().await, slot)
        };
        tokio::select! {
            (socket, slot) = next => match socket {
                Ok((socket, addr)) => {
                    let (config, accepted) = (config(), accepted.clone());
                    handshakes.spawn(async move {
                        match timeout(PATIENCE, handshake(socket, addr, config)).await {
                            Ok(Ok(connection)) => {
                                // Whoever took connections has gone: we are shutting down.
                                let _gone = accepted.send(Ok(connection)).await;
                            }
                            Ok(Err(problem)) => tracing::info!(%addr, problem, "a handshake failed"),
                            Err(_) => tracing::info!(%addr, "a handshake was too slow"),
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(BREATHER).await;
                }
            },
            Some(_) = handshakes.join_next() => {}
            () = accepted.closed() => return,
        }
    }
}

/// A queue of connections for gRPC, and where to put them.
#[must_use]
#[expect(clippy::type_complexity, reason = "tonic takes a stream of results")]
pub fn connections() -> (
    mpsc::Sender<Result<Connection, std::convert::Infallible>>,
    ReceiverStream<Result<Connection, std::convert::Infallible>>,
) {
    let (send, receive) = mpsc::channel(HANDSHAKES);
    (send, ReceiverStream::new(receive))
}

async fn handshake(
    socket: TcpStream,
    addr: std::net::SocketAddr,
    config: Arc<ServerConfig>,
) -> Result<Connection, String> {
    // Small frames that somebody waits for; an error here only makes them later.
    let _late = socket.set_nodelay(true);
    let tls = TlsAcceptor::from(config).accept(socket).await.map_err(|error| error.to_string())?;
    if Hop::negotiated(tls.get_ref().1.alpn_protocol()) != Some(Hop::ControlPlane) {
        return Err("the client does not speak h2".to_owned());
    }
    Connection::new(tls, addr).map_err(|refused| refused.to_string())
}
