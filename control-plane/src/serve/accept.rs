//! Accepts connections and completes their handshakes, so many at a time, and gives gRPC those that succeed.
//!
//! Whoever is nobody yet costs us little and holds nobody up: of handshakes, and of callers without a certificate, there
//! is a bounded number, and when there are more the oldest goes. An honest one takes milliseconds, so the oldest of
//! hundreds is not honest or has given up; to wait for a place instead would let a flood lock everybody out. A failing
//! accept is a pause, never the end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use weft_certs::tls::{HandshakeFailed, Hop};

use super::connection::Connection;
use super::guests::Guests;

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
    failures: HandshakeFailures,
    accepted: mpsc::Sender<Result<Connection, std::convert::Infallible>>,
) {
    let guests = Guests::default();
    let mut handshakes = JoinSet::new();
    let mut queue = VecDeque::new();
    loop {
        tokio::select! {
            socket = listener.accept() => match socket {
                Ok((socket, addr)) => {
                    make_room(&mut queue, &failures);
                    let (config, accepted, failures) = (config(), accepted.clone(), failures.clone());
                    let guests = guests.clone();
                    queue.push_back(handshakes.spawn(async move {
                        let handshake = timeout(PATIENCE, handshake(socket, addr, config)).await;
                        match handshake.unwrap_or(Err(HandshakeFailed::TimedOut)) {
                            Ok(connection) => {
                                let connection = match connection.is_proven() {
                                    true => connection,
                                    false => connection.ending(guests.admit()),
                                };
                                // Whoever took connections has gone: we are shutting down.
                                let _gone = accepted.send(Ok(connection)).await;
                            }
                            Err(failed) => failures.count(addr, &failed),
                        }
                    }));
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

/// Ends the oldest handshake if there are as many as there may be.
fn make_room(queue: &mut VecDeque<AbortHandle>, failures: &HandshakeFailures) {
    if queue.len() < HANDSHAKES {
        return;
    }
    queue.retain(|handshake| !handshake.is_finished());
    if queue.len() >= HANDSHAKES
        && let Some(oldest) = queue.pop_front()
    {
        oldest.abort();
        failures.0.get_or_create(&Reason { reason: CROWDED_OUT }).inc();
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
    addr: SocketAddr,
    config: Arc<ServerConfig>,
) -> Result<Connection, HandshakeFailed> {
    // Small frames that somebody waits for; an error here only makes them later.
    let _late = socket.set_nodelay(true);
    let handshake = TlsAcceptor::from(config).accept(socket).await;
    let tls = handshake.map_err(|error| HandshakeFailed::of_io(&error))?;
    if Hop::negotiated(tls.get_ref().1.alpn_protocol()) != Some(Hop::ControlPlane) {
        return Err(HandshakeFailed::Protocol);
    }
    Ok(Connection::new(tls, addr)?)
}

/// Handshakes that came to nothing, by reason. Cloning shares the counts.
#[derive(Clone, Debug, Default)]
pub struct HandshakeFailures(Family<Reason, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl HandshakeFailures {
    /// Registers `weft_control_plane_tls_refused` with the server's metrics.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Handshakes that came to nothing, and why";
        registry.register("weft_control_plane_tls_refused", help, self.0.clone());
    }

    /// In our words only: what a stranger sends is repeated neither in a label nor in the log.
    fn count(&self, addr: SocketAddr, failed: &HandshakeFailed) {
        let reason = failed.label();
        self.0.get_or_create(&Reason { reason }).inc();
        tracing::info!(%addr, reason, "a handshake came to nothing");
    }
}

/// The reason of a handshake that was ended for a newer one.
const CROWDED_OUT: &str = "crowded_out";
