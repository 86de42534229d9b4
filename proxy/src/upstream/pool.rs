//! HTTP connections of one worker that are open and can take a request.
//!
//! HTTP/2: one connection per far end carries many requests; another is opened when it is full. HTTP/1.1: idle
//! ones wait, the youngest is taken first, so that the others may grow old and be closed. The certificate's
//! generation is part of the key: after a renewal new requests use new connections, old ones run out.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use weft_certs::tls::Hop;
use weft_policy::identity::SpiffeId;

use super::connect::{self, ConnectError};
use super::h1::Connection;
use super::h2::{Channel, Lane};
use crate::gate::Wire;
use crate::keyed::Keyed;
use crate::message::Http;
use crate::shared::Shared;

/// Open connections of one worker.
pub(crate) struct Pool {
    h1: RefCell<Keyed<Far, Vec<Idle>>>,
    /// How many of HTTP/1.1 are idle, and how many may be: each is a descriptor that somebody else could use, and of a
    /// service with ten thousand endpoints nearly every one is left with some.
    idle: Cell<usize>,
    most_idle: usize,
    h2: RefCell<Keyed<Far, Lanes>>,
}

/// A far end: where, who, what is spoken, and as whom we came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Far {
    addr: SocketAddr,
    identity: Option<SpiffeId>,
    generation: u64,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// HTTP/2 connections to one far end.
#[derive(Default)]
struct Lanes {
    open: Vec<Channel>,
    /// Somebody is opening one: wait for that.
    opening: Option<Rc<Notify>>,
    used: Option<Instant>,
}

/// Where a request finds room among the HTTP/2 connections to one far end.
enum Place {
    /// On this one.
    Free(Lane),
    /// On one that is being opened.
    Opening(Rc<Notify>),
    /// On none.
    Nowhere,
}

/// A connection that can take one request now.
pub(crate) enum Sender {
    /// Goes back to the pool when the response has ended.
    H1 {
        /// The connection.
        connection: Connection,
        /// Where it goes back to.
        far: Far,
        /// It has carried a request before: the far end may be closing it just now.
        reused: bool,
    },
    /// Shared.
    H2(Lane),
}

impl Far {
    /// The far end at `addr`. With an identity it is a sidecar and spoken to over mTLS.
    pub(crate) fn new(shared: &Shared, addr: SocketAddr, identity: Option<&SpiffeId>) -> Self {
        let generation = identity.map_or(0, |_| shared.identity.generation().number());
        Self { addr, identity: identity.cloned(), generation }
    }
}

impl Pool {
    /// An empty one, to keep so many idle connections.
    pub(crate) fn keeping(most_idle: usize) -> Self {
        Self { h1: RefCell::default(), idle: Cell::new(0), most_idle, h2: RefCell::default() }
    }

    /// A connection to `far` that speaks `http`: an open one, or a new one.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub(crate) async fn checkout(
        &self,
        shared: &Shared,
        far: Far,
        http: Http,
    ) -> Result<Sender, ConnectError> {
        match http {
            Http::H1 => self.checkout_h1(shared, far).await,
            Http::H2 => self.checkout_h2(shared, far).await,
        }
    }

    /// A new HTTP/1.1 connection that nobody else will use: for an upgrade.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub(crate) async fn open_h1(&self, shared: &Shared, far: Far) -> Result<Sender, ConnectError> {
        let connection = Connection::new(self.dial(shared, &far, Hop::Http1).await?);
        Ok(Sender::H1 { connection, far, reused: false })
    }

    async fn checkout_h1(&self, shared: &Shared, far: Far) -> Result<Sender, ConnectError> {
        loop {
            let idle = self.h1.borrow_mut().get_mut(&far).and_then(Vec::pop);
            let Some(Idle { mut connection, .. }) = idle else { break };
            self.idle.set(self.idle.get().saturating_sub(1));
            if connection.is_quiet() {
                return Ok(Sender::H1 { connection, far, reused: true });
            }
        }
        Box::pin(self.open_h1(shared, far)).await
    }

    async fn checkout_h2(&self, shared: &Shared, far: Far) -> Result<Sender, ConnectError> {
        loop {
            let waiting = match self.lane(&far) {
                Place::Free(lane) => return Ok(Sender::H2(lane)),
                Place::Opening(opening) => opening,
                // What is rarely done is boxed, or every request would carry the room for a TLS handshake.
                Place::Nowhere => return Box::pin(self.open_h2(shared, far)).await,
            };
            waiting.notified().await;
        }
    }

    /// Where a request to `far` finds room. Nowhere: then the caller is the one who opens a connection.
    fn lane(&self, far: &Far) -> Place {
        let mut lanes = self.h2.borrow_mut();
        let lane = match lanes.get_mut(far) {
            Some(lane) => lane,
            None => lanes.entry(far.clone()).or_default(),
        };
        lane.used = Some(Instant::now());
        lane.open.retain_mut(|channel| !channel.is_closed());
        if let Some(channel) = lane.open.iter().find(|channel| channel.has_room()) {
            return Place::Free(channel.place());
        }
        match &lane.opening {
            Some(opening) => Place::Opening(Rc::clone(opening)),
            None => {
                lane.opening = Some(Rc::new(Notify::new()));
                Place::Nowhere
            }
        }
    }

    async fn open_h2(&self, shared: &Shared, far: Far) -> Result<Sender, ConnectError> {
        // Whatever happens to us, those who wait must be woken.
        let _opening = Opening { pool: self, far: &far };
        let addr = far.addr;
        let channel = Channel::open(self.dial(shared, &far, Hop::Http2).await?)
            .await
            .map_err(|source| ConnectError::Http { addr, source: source.into() })?;
        let lane = channel.place();
        self.h2.borrow_mut().entry(far.clone()).or_default().open.push(channel);
        Ok(Sender::H2(lane))
    }

    /// Takes a connection back whose response has ended; closes it where there are enough.
    pub(crate) fn give_back(&self, connection: Connection, far: Far) {
        let mut h1 = self.h1.borrow_mut();
        let idle = h1.entry(far).or_default();
        if idle.len() < MAX_IDLE && self.idle.get() < self.most_idle {
            idle.push(Idle { connection, since: Instant::now() });
            self.idle.set(self.idle.get() + 1);
        }
    }

    /// Opens a connection to `far`; to a sidecar it is a `hop`. Where there is no descriptor for it, half of the idle
    /// connections make room: whoever asks now comes before whoever might ask again.
    async fn dial(&self, shared: &Shared, far: &Far, hop: Hop) -> Result<Wire, ConnectError> {
        match open(shared, far, hop).await {
            Err(error) if error.is_want_of_descriptors() && self.let_go() => open(shared, far, hop).await,
            done => done,
        }
    }

    /// Closes what is idle to every other far end. Says whether there was anything.
    fn let_go(&self) -> bool {
        let before = self.idle.get();
        let mut stays = false;
        // One that has nothing idle is left over until the next sweep; to close that would make no room.
        self.h1.borrow_mut().retain(|_, idle| {
            stays ^= !idle.is_empty();
            !idle.is_empty() && !stays
        });
        self.count_idle();
        self.idle.get() < before
    }

    fn count_idle(&self) {
        self.idle.set(self.h1.borrow().values().map(Vec::len).sum());
    }

    /// Closes what nobody has used for a while, and what a sidecar has left. Called every few seconds.
    pub(crate) fn sweep(&self) {
        self.h1.borrow_mut().retain(|_, idle| {
            idle.retain_mut(|idle| idle.connection.is_quiet() && idle.since.elapsed() < IDLE);
            !idle.is_empty()
        });
        self.count_idle();
        self.h2.borrow_mut().retain(|far, lanes| {
            lanes.open.retain_mut(|channel| !channel.is_closed());
            // An application is not asked whether it is there: gRPC's servers end a connection for PINGs beside a
            // stream that is silent (`too_many_pings`), and of one that has gone the kernel knows.
            if far.identity.is_some() {
                lanes.open.iter().for_each(Channel::doubt);
            }
            let idle = lanes.open.iter().all(Channel::is_idle);
            let old = lanes.used.is_none_or(|used| used.elapsed() >= IDLE);
            lanes.opening.is_some() || !(idle && old)
        });
    }

    /// Forgets every connection to sidecars: trust has changed, and each must be proven again. What is under
    /// way on them goes on.
    pub(crate) fn distrust(&self) {
        self.h1.borrow_mut().retain(|far, _| far.identity.is_none());
        self.count_idle();
        self.h2.borrow_mut().retain(|far, lane| far.identity.is_none() || lane.opening.is_some());
    }
}

/// Ends the wait of others when an attempt to open a connection has ended, however it did.
struct Opening<'p> {
    pool: &'p Pool,
    far: &'p Far,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut lanes = self.pool.h2.borrow_mut();
        if let Some(opening) = lanes.get_mut(self.far).and_then(|lane| lane.opening.take()) {
            opening.notify_waiters();
        }
    }
}

/// One try.
async fn open(shared: &Shared, far: &Far, hop: Hop) -> Result<Wire, ConnectError> {
    Ok(match &far.identity {
        Some(identity) => Box::new(connect::sidecar(shared, far.addr, identity, hop).await?),
        None => Box::new(connect::plain(far.addr).await?),
    })
}

/// Idle HTTP/1.1 connections kept per far end.
const MAX_IDLE: usize = 256;
/// Shorter than the idle limit of common servers, so that we close first and lose no race.
const IDLE: Duration = Duration::from_secs(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn far(port: u16) -> Far {
        Far { addr: ([127, 0, 0, 1], port).into(), identity: None, generation: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_connections_are_idle_than_there_are_descriptors_for() {
        let pool = Pool::keeping(3);
        let mut servers = Vec::new();
        let mut give_back = |to| {
            let (ours, theirs) = tokio::io::duplex(64);
            servers.push(theirs);
            pool.give_back(Connection::new(Box::new(ours)), to);
            pool.idle.get()
        };
        assert_eq!([1, 2, 3, 4, 1].map(|port| give_back(far(port))), [1, 2, 3, 3, 3]);
        // Room for somebody else, from every other far end.
        assert!(pool.let_go());
        assert_eq!(pool.idle.get(), 1);
        // Of what the servers have closed nothing is kept.
        servers.clear();
        pool.sweep();
        assert_eq!((pool.idle.get(), pool.h1.borrow().len()), (0, 0));
        assert!(!pool.let_go(), "there is nothing");
        // Wherever it stands among far ends to which nothing is idle, what is idle is found.
        for idle in 1..=8 {
            let pool = Pool::keeping(1);
            let _servers: Vec<_> = [idle, 11, 12, 13, 14, 15, 16, 17]
                .map(|port| {
                    let (ours, theirs) = tokio::io::duplex(64);
                    pool.give_back(Connection::new(Box::new(ours)), far(port));
                    theirs
                })
                .into();
            assert!(pool.let_go(), "of {idle}");
        }
        let (ours, _theirs) = tokio::io::duplex(64);
        pool.give_back(Connection::new(Box::new(ours)), far(1));
        tokio::time::advance(IDLE).await;
        pool.sweep();
        assert_eq!((pool.idle.get(), pool.h1.borrow().len()), (0, 0), "nobody has used it for a while");
    }
}
