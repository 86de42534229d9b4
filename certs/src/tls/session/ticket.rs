//! The server's half: a ticket is the session itself, sealed under a key that nobody else has and that goes with the
//! [`Sessions`](super::Sessions) it was made for. The server keeps nothing, so callers cannot make it grow.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;

use super::{LIFETIME, Tls};
use crate::bundle::{TrustBundles, TrustStore};

/// Makes tickets and opens them, while trust is what it was.
#[derive(Debug)]
pub(super) struct Sealed {
    /// RFC 5077 §4, with keys of its own, changed every six hours.
    seal: Arc<dyn ProducesTickets>,
    trust: Arc<TrustStore>,
    under: Arc<TrustBundles>,
    /// Until when our own leaf is valid, in seconds since 1970: nobody could make a session with us later.
    until: u64,
    time: Arc<dyn TimeProvider>,
}

impl Sealed {
    /// `None` when the system gives no random numbers: then every handshake is a full one.
    pub(super) fn new(tls: &Tls, under: Arc<TrustBundles>, until: SystemTime) -> Option<Self> {
        let until = until.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let (trust, time) = (Arc::clone(tls.trust()), Arc::clone(&tls.time));
        Some(Self { seal: Ticketer::new().ok()?, trust, under, until, time })
    }

    /// The time, if sessions may be given out and resumed at it.
    fn now(&self) -> Option<u64> {
        let now = self.time.current_time()?.as_secs();
        (now < self.until && self.trust.is_current(&self.under)).then_some(now)
    }
}

impl ProducesTickets for Sealed {
    fn enabled(&self) -> bool {
        true
    }

    /// Never 0 where there is a ticket: rustls' client takes that for "without end".
    fn lifetime(&self) -> u32 {
        let left = self.now().map_or(0, |now| self.until - now);
        u32::try_from(left).unwrap_or(u32::MAX).clamp(1, LIFETIME)
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let mut dated = self.now()?.to_be_bytes().to_vec();
        dated.extend(session);
        self.seal.encrypt(&dated)
    }

    /// The lifetime above is a wish; this is where it is held.
    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let now = self.now()?;
        let mut dated = self.seal.decrypt(ticket)?;
        let issued = u64::from_be_bytes(*dated.first_chunk()?);
        // One from the future: the clock was put back, and nobody knows how old it is.
        let age = now.checked_sub(issued)?;
        (age < u64::from(LIFETIME)).then(|| dated.split_off(size_of::<u64>()))
    }
}
