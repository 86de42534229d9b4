//! Accepts connections and completes their handshakes, so many at a time, and gives gRPC those that succeed.
//!
//! Whoever is nobody yet costs us little and holds nobody up: of handshakes, and of callers without a certificate, there
//! is a bounded number, and when there are more the oldest goes. An honest one takes milliseconds, so the oldest of
//! hundreds is not honest or has given up; to wait for a place for long would let a flood lock everybody out. But when a
//! fleet comes back at once, all of them are honest and the processor is what they wait for: one that was ended for the
//! next would come again, and cost the same again. So each is given a moment before it may go, and the next waits for that
//! long in the kernel. A failing accept is a pause, never the end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use weft_certs::tls::{HandshakeFailed, Hop};

use super::connection::Connection;
use super::guests::Guests;

/// How many handshakes there may be at once; each costs half a millisecond of a CPU.
const HANDSHAKES: usize = 512;
/// For how long one has its place even if it has not said a word.
const TO_BEGIN: Duration = Duration::from_millis(100);
/// For how long one has its place that has begun. As many as there are take no longer on one CPU.
const TO_FINISH: Duration = Duration::from_secs(1);
/// How soon it is looked again whether one may go.
const MOMENT: Duration = Duration::from_millis(10);
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
    let mut queue = Queue::default();
    loop {
        let has_room = queue.has_room(Instant::now());
        tokio::select! {
            socket = listener.accept(), if has_room => match socket {
                Ok((socket, addr)) => {
                    queue.make_room(&failures);
                    let (config, accepted, failures) = (config(), accepted.clone(), failures.clone());
                    let guests = guests.clone();
                    let begun = Arc::<AtomicBool>::default();
                    let begins = Arc::clone(&begun);
                    let handle = handshakes.spawn(async move {
                        let handshake = timeout(PATIENCE, handshake(socket, addr, config, &begins)).await;
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
                    });
                    queue.handshakes.push_back(Handshake { since: Instant::now(), begun, handle });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(BREATHER).await;
                }
            },
            Some(_) = handshakes.join_next() => {}
            () = sleep(MOMENT), if !has_room => {}
            () = accepted.closed() => return,
        }
    }
}

/// Handshakes that are under way, the oldest first.
#[derive(Debug, Default)]
struct Queue {
    handshakes: VecDeque<Handshake>,
    /// Which one goes for the next.
    next_to_go: Option<usize>,
}

#[derive(Debug)]
struct Handshake {
    since: Instant,
    /// Whether its client has said anything.
    begun: Arc<AtomicBool>,
    handle: AbortHandle,
}

impl Queue {
    /// Whether one more may come at `now`: there are not as many as there may be, or one of them has had its time.
    fn has_room(&mut self, now: Instant) -> bool {
        self.next_to_go = None;
        if self.handshakes.len() < HANDSHAKES {
            return true;
        }
        self.handshakes.retain(|handshake| !handshake.handle.is_finished());
        if self.handshakes.len() < HANDSHAKES {
            return true;
        }
        self.next_to_go = self.handshakes.iter().position(|handshake| handshake.has_had_its_time(now));
        self.next_to_go.is_some()
    }

    /// Ends the one whose place is needed, if there is one.
    fn make_room(&mut self, failures: &HandshakeFailures) {
        if let Some(gone) = self.next_to_go.take().and_then(|at| self.handshakes.remove(at)) {
            gone.handle.abort();
            failures.0.get_or_create(&Reason { reason: CROWDED_OUT }).inc();
        }
    }
}

impl Handshake {
    fn has_had_its_time(&self, now: Instant) -> bool {
        let time = if self.begun.load(Ordering::Relaxed) { TO_FINISH } else { TO_BEGIN };
        now.saturating_duration_since(self.since) >= time
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
    begun: &AtomicBool,
) -> Result<Connection, HandshakeFailed> {
    // What is wrong with it is found when it is read from.
    let _read_will_tell = socket.readable().await;
    begun.store(true, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(set: &mut JoinSet<()>, count: usize, since: Instant, begun: bool) -> Queue {
        let handshake = |_| Handshake {
            since,
            begun: Arc::new(AtomicBool::new(begun)),
            handle: set.spawn(std::future::pending()),
        };
        Queue { handshakes: (0..count).map(handshake).collect(), next_to_go: None }
    }

    #[tokio::test]
    async fn one_that_has_said_nothing_goes_soon_and_one_that_has_begun_is_given_a_moment() {
        let t0 = Instant::now();
        for (count, begun, after, room, fewer) in [
            (HANDSHAKES - 1, true, Duration::ZERO, true, 0),
            (HANDSHAKES, false, TO_BEGIN / 2, false, 0),
            (HANDSHAKES, false, TO_BEGIN, true, 1),
            (HANDSHAKES, true, TO_BEGIN, false, 0),
            (HANDSHAKES, true, TO_FINISH, true, 1),
        ] {
            let mut set = JoinSet::new();
            let mut queue = queue(&mut set, count, t0, begun);
            let case = format!("{count} that have begun: {begun}, after {after:?}");
            assert_eq!(queue.has_room(t0 + after), room, "{case}");
            queue.make_room(&HandshakeFailures::default());
            assert_eq!(count - queue.handshakes.len(), fewer, "{case}");
        }
    }

    #[tokio::test]
    async fn a_silent_one_goes_before_an_older_one_that_has_begun() {
        let t0 = Instant::now();
        let mut set = JoinSet::new();
        let mut queue = queue(&mut set, HANDSHAKES, t0, true);
        queue.handshakes[HANDSHAKES - 1].begun.store(false, Ordering::Relaxed);
        assert!(queue.has_room(t0 + TO_BEGIN));
        queue.make_room(&HandshakeFailures::default());
        assert!(queue.handshakes.iter().all(|left| left.begun.load(Ordering::Relaxed)));
    }
}
