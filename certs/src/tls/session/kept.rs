//! The client's half: tickets that servers gave us, filed under the far end that each is good for.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::time_provider::TimeProvider;

use super::LIFETIME;
use crate::bounded::Bounded;
use crate::bundle::{TrustBundles, TrustStore};

/// The tickets of all far ends, while trust is what it was.
pub(super) struct Kept {
    trust: Arc<TrustStore>,
    under: Arc<TrustBundles>,
    time: Arc<dyn TimeProvider>,
    tickets: Mutex<Tickets>,
}

type Tickets = Bounded<FarEnd, VecDeque<Ticket>, MAX_FAR_ENDS>;

struct Ticket {
    session: Tls13ClientSessionValue,
    /// In seconds since 1970.
    given: u64,
}

/// The number of a configuration, which says who is expected and what is spoken, and where.
type FarEnd = (u64, SocketAddr);

impl Kept {
    pub(super) fn new(trust: Arc<TrustStore>, under: Arc<TrustBundles>, time: Arc<dyn TimeProvider>) -> Self {
        Self { trust, under, time, tickets: Mutex::default() }
    }

    fn put(&self, far_end: FarEnd, session: Tls13ClientSessionValue) {
        let Some(given) = self.time.current_time().map(|now| now.as_secs()) else { return };
        let ticket = Ticket { session, given };
        let mut tickets = self.lock();
        let Some(held) = tickets.get(&far_end).map(VecDeque::len) else {
            tickets.insert(far_end, [ticket].into());
            return;
        };
        // All are counted only for one that has its few.
        let is_full = held >= MAX_TICKETS
            || held >= FEW && tickets.values().map(VecDeque::len).sum::<usize>() >= MAX_IN_ALL;
        if let Some(held) = tickets.get_mut(&far_end) {
            if is_full {
                held.pop_front();
            }
            held.push_back(ticket);
        }
    }

    /// The youngest, for one use: RFC 8446 §C.4. A store that trust has left behind has none, and how long one is good is
    /// not left to whoever gave it.
    fn take(&self, far_end: FarEnd) -> Option<Tls13ClientSessionValue> {
        if !self.trust.is_current(&self.under) {
            return None;
        }
        let now = self.time.current_time()?.as_secs();
        let mut tickets = self.lock();
        let held = tickets.get_mut(&far_end)?;
        let youngest = held.pop_back();
        if held.is_empty() {
            tickets.remove(&far_end);
        }
        let Ticket { session, given } = youngest?;
        (now.checked_sub(given)? < u64::from(LIFETIME)).then_some(session)
    }

    fn lock(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize) {
        let tickets = self.lock();
        (tickets.len(), tickets.values().map(VecDeque::len).sum())
    }
}

/// What one connection sees of them: those of its own far end. The server name, by which rustls asks, is the same for
/// all of ours and says nothing.
pub(super) struct Place {
    kept: Arc<Kept>,
    far_end: FarEnd,
}

impl Place {
    pub(super) fn new(kept: Arc<Kept>, number: u64, addr: SocketAddr) -> Self {
        Self { kept, far_end: (number, addr) }
    }
}

impl ClientSessionStore for Place {
    /// Not remembered: all of ours take the first group, and a stranger shall not talk us into another.
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.kept.put(self.far_end, ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept.take(self.far_end)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("far_end", &self.far_end).finish_non_exhaustive()
    }
}

/// For each far end: every connection that is opened at the same time needs one of its own.
pub(super) const MAX_TICKETS: usize = 32;
/// For each far end where there are enough in all. A session is a little over 1 KB, the far end's certificates, so all of
/// them are 2 MB at most.
pub(super) const FEW: usize = 4;
pub(super) const MAX_IN_ALL: usize = 1024;
pub(super) const MAX_FAR_ENDS: usize = 256;
