//! What has been judged already: the chains that one value of trust has accepted.
//!
//! A judgement follows from the chain, the role, the roots, the deny list and the time. The memory lives inside the
//! immutable value that holds roots and deny lists ([`TrustBundles`](crate::bundle::TrustBundles)), so another value
//! starts with an empty one and there is nothing to invalidate; chain and role are the key; and the time is checked at
//! every look, against the window in which every certificate of the path is valid. Outside of it nothing is known, and
//! the judgement is made anew.
//!
//! Refusals are not remembered: they are rare, and a stranger could have any number of them.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::{CertificateDer, UnixTime};

use super::{Peer, Role};
use crate::bounded::Bounded;

/// The memory of one value of trust.
#[derive(Default)]
pub(crate) struct Judged(Mutex<Bounded<Question, Accepted, MAX_JUDGED>>);

/// A chain in a role, by its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Question([u8; 32]);

/// Seconds since 1970, both included (RFC 5280 §4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) not_before: u64,
    pub(super) not_after: u64,
}

struct Accepted {
    peer: Peer,
    valid: Window,
}

impl Question {
    /// `None` for what is too long to be worth the hash: ours are about 1 KiB.
    pub(super) fn of(chain: &[CertificateDer<'_>], role: Role) -> Option<Self> {
        let length: usize = chain.iter().map(|certificate| certificate.len()).sum();
        if chain.is_empty() || length > MAX_CHAIN {
            return None;
        }
        let mut context = Context::new(&SHA256);
        context.update(match role {
            Role::Server => b"server",
            Role::Client => b"client",
        });
        for certificate in chain {
            // With its length in front: no other chain may be cut into the same bytes.
            context.update(&u64::try_from(certificate.len()).ok()?.to_be_bytes());
            context.update(certificate);
        }
        context.finish().as_ref().try_into().ok().map(Self)
    }
}

impl Window {
    /// While both are valid.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            not_before: self.not_before.max(other.not_before),
            not_after: self.not_after.min(other.not_after),
        }
    }

    fn holds(self, now: UnixTime) -> bool {
        (self.not_before..=self.not_after).contains(&now.as_secs())
    }
}

impl Judged {
    /// Who it is, if it has been accepted before and would be at `now`.
    pub(super) fn recall(&self, question: Question, now: UnixTime) -> Option<Peer> {
        let mut accepted = self.lock();
        let Accepted { peer, valid } = accepted.get(&question)?;
        if valid.holds(now) {
            return Some(peer.clone());
        }
        accepted.remove(&question);
        None
    }

    /// Remembers that `peer` was accepted, for as long as `valid` says.
    pub(super) fn remember(&self, question: Question, peer: &Peer, valid: Window) {
        self.lock().insert(question, Accepted { peer: peer.clone(), valid });
    }

    fn lock(&self) -> MutexGuard<'_, Bounded<Question, Accepted, MAX_JUDGED>> {
        // Every change is one insertion or one removal, so a map that somebody left in a panic is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}

impl Clone for Judged {
    /// Empty: a clone is made in order to be changed, and what holds of one value need not hold of another.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judged")
    }
}

/// As many chains are remembered: a few hundred bytes each.
const MAX_JUDGED: usize = 1024;
/// In bytes.
const MAX_CHAIN: usize = 16 * 1024;

#[cfg(test)]
mod tests;
