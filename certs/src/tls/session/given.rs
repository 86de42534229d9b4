//! The server's half: sessions that callers may resume, each known by a random number that is all its ticket says.
//!
//! They are kept here and not sealed into the ticket. So each is good for one use and then gone, with its keys; and a
//! ticket is 32 bytes where a sealed one would carry the caller's certificates back and forth.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::server::StoresServerSessions;
use rustls::time_provider::TimeProvider;

use super::{LIFETIME, Tls};
use crate::bounded::Bounded;
use crate::bundle::{TrustBundles, TrustStore};

/// The sessions given out, while trust is what it was.
pub(super) struct Given {
    trust: Arc<TrustStore>,
    under: Arc<TrustBundles>,
    /// Until when our own leaf is valid, in seconds since 1970: nobody could make a session with us later.
    until: u64,
    time: Arc<dyn TimeProvider>,
    sessions: Mutex<Sessions>,
}

type Sessions = Bounded<Vec<u8>, Session, MAX_GIVEN>;

struct Session {
    /// As rustls writes it: keys, and the caller's certificates.
    encoded: Vec<u8>,
    /// In seconds since 1970.
    given: u64,
}

impl Given {
    /// None yet. `until`: when our own leaf expires.
    pub(super) fn new(tls: &Tls, under: Arc<TrustBundles>, until: SystemTime) -> Self {
        let until = until.duration_since(UNIX_EPOCH).map_or(0, |until| until.as_secs());
        let (trust, time) = (Arc::clone(tls.trust()), Arc::clone(&tls.time));
        Self { trust, under, until, time, sessions: Mutex::default() }
    }

    /// The time, if sessions may be given out and resumed at it.
    fn now(&self) -> Option<u64> {
        let now = self.time.current_time()?.as_secs();
        (now < self.until && self.trust.is_current(&self.under)).then_some(now)
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }
}

impl StoresServerSessions for Given {
    /// False, and no ticket is sent, where it could not be resumed.
    fn put(&self, ticket: Vec<u8>, encoded: Vec<u8>) -> bool {
        let Some(given) = self.now() else { return false };
        self.lock().insert(ticket, Session { encoded, given });
        true
    }

    /// Only TLS 1.2 asks so.
    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// The ticket says a day, which is rustls' to choose; this is where the hour is held.
    fn take(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let Session { encoded, given } = self.lock().remove(ticket)?;
        // One from the future: the clock was put back, and nobody knows how old it is.
        let age = self.now()?.checked_sub(given)?;
        (age < u64::from(LIFETIME)).then_some(encoded)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given")
    }
}

/// A little over 1 KB each.
pub(super) const MAX_GIVEN: usize = 1024;
