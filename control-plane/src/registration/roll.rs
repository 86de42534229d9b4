//! Who is there: a pure state machine over streams that begin and end, and over time.
//!
//! A lost stream makes a workload unconfirmed at once: clients prefer others and still have it when nobody else is
//! left. It is removed after ten minutes, and with these exceptions, each of which takes a failure of the
//! network, or of the control plane itself, for what it is:
//!
//! - Nothing is removed in the first minute after a start.
//! - Of workloads that were lost together nothing is removed if they are more than a third of all (of four or more).
//! - A workload that has not been seen since the start is removed only when another in its namespace with the same
//!   labels is there: every Service that loses the one has the other.
//!
//! After a day without a stream its certificate has expired, and all exceptions end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use weft_policy::endpoint::Health;
use weft_policy::moment::Moment;

use crate::journal::record::{Name, Registered};

/// How long is waited for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Without a stream, before a workload is removed.
    pub expiry: Duration,
    /// After a start, before anything is removed.
    pub after_start: Duration,
    /// Streams lost within so long of each other are lost together.
    pub together: Duration,
    /// Without a stream, before a workload is removed whatever else.
    pub at_most: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            expiry: Duration::from_secs(10 * 60),
            after_start: Duration::from_secs(60),
            together: Duration::from_secs(60),
            at_most: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// A stream of a registered workload.
#[derive(Clone, Debug)]
pub struct Session {
    workload: Name,
    number: u64,
    entry: watch::Receiver<()>,
}

impl Session {
    /// Whose.
    #[must_use]
    pub fn workload(&self) -> &Name {
        &self.workload
    }

    /// Waits until the workload is on the roll no more. Nobody else has to have heard of it: one that is forgotten before
    /// the world was told that it exists is no news to the world.
    pub async fn removed(&mut self) {
        while self.entry.changed().await.is_ok() {}
    }
}

/// What the end of a stream means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The workload is unconfirmed.
    Unconfirmed,
    /// It had said that it was going: it is gone, and to be removed.
    Gone,
    /// Nothing: a later stream speaks for it.
    WasReplaced,
}

/// Everybody.
#[derive(Debug)]
pub(super) struct Roll {
    patience: Patience,
    started: Moment,
    sessions: u64,
    entries: BTreeMap<Name, Entry>,
}

#[derive(Debug)]
struct Entry {
    said: Registered,
    application: Health,
    presence: Presence,
    /// Nothing is ever said with it: that it is gone is what its streams wait for.
    streams: watch::Sender<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Attached {
        session: u64,
    },
    Lost {
        since: Moment,
    },
    /// Lost since the start, because it was known before.
    Restored,
}

impl Roll {
    pub(super) fn restored(known: Vec<Registered>, patience: Patience, started: Moment) -> Self {
        let entry = |said: Registered| Entry {
            said,
            application: Health::Healthy,
            presence: Presence::Restored,
            streams: watch::Sender::new(()),
        };
        let entries = known.into_iter().map(|said| (said.workload.clone(), entry(said))).collect();
        Self { patience, started, sessions: 0, entries }
    }

    pub(super) fn attach(&mut self, said: Registered) -> Session {
        self.sessions += 1;
        let session = self.sessions;
        let workload = said.workload.clone();
        let presence = Presence::Attached { session };
        // Who comes by the name of another's is another.
        let before = self.entries.remove(&workload).filter(|was| was.said.identity == said.identity);
        // Its health is what it was until it says otherwise. One that is new where it is, or has said that it was going,
        // is a process that has been told nothing yet: nobody calls it before it has said that it is well.
        let is_the_same = |was: &&Entry| {
            (&was.said.address, was.said.inbound_port) == (&said.address, said.inbound_port)
                && !was.said.going
        };
        let application =
            before.as_ref().filter(is_the_same).map_or(Health::Unconfirmed, |was| was.application);
        // A stream that it had before is of the same workload.
        let streams = before.map_or_else(|| watch::Sender::new(()), |was| was.streams);
        let entry = streams.subscribe();
        self.entries.insert(workload.clone(), Entry { said, application, presence, streams });
        Session { workload, number: session, entry }
    }

    pub(super) fn detach(&mut self, session: &Session, now: Moment) -> Lost {
        let Some(entry) = self.current(session) else { return Lost::WasReplaced };
        entry.presence = Presence::Lost { since: now };
        if entry.said.going { Lost::Gone } else { Lost::Unconfirmed }
    }

    /// The registration with its end noted, if this is news.
    pub(super) fn going(&mut self, session: &Session) -> Option<Registered> {
        let entry = self.current(session).filter(|entry| !entry.said.going)?;
        entry.said.going = true;
        Some(entry.said.clone())
    }

    /// Notes an application's health; whether it differs.
    pub(super) fn application(&mut self, session: &Session, health: Health) -> bool {
        let Some(entry) = self.current(session) else { return false };
        std::mem::replace(&mut entry.application, health) != health
    }

    pub(super) fn remove(&mut self, workload: &Name) {
        self.entries.remove(workload);
    }

    pub(super) fn look(&self, workload: &Name) -> Option<(&Registered, Health)> {
        self.entries.get(workload).map(|entry| (&entry.said, entry.health()))
    }

    pub(super) fn of_identities<'a>(
        &'a self,
        denied: &'a BTreeSet<String>,
    ) -> impl Iterator<Item = Name> + 'a {
        self.entries
            .values()
            .filter(|entry| denied.contains(&entry.said.identity))
            .map(|entry| entry.said.workload.clone())
    }

    pub(super) fn count(&self) -> (usize, usize) {
        (self.entries.len(), self.entries.values().filter(|entry| !entry.is_attached()).count())
    }

    /// Whom to remove now.
    pub(super) fn due(&self, now: Moment) -> Vec<Name> {
        let Patience { expiry, after_start, at_most, .. } = self.patience;
        let settled = now.since(self.started) >= after_start;
        let all = self.entries.values().filter(|entry| !entry.said.going).count();
        let lost = self.lost_in_order();
        let here: BTreeSet<(&str, &BTreeMap<String, String>)> = self
            .entries
            .values()
            .filter(|entry| entry.is_attached() && !entry.said.going)
            .map(|entry| (entry.said.workload.namespace.as_str(), &entry.said.labels))
            .collect();
        let is_due = |entry: &Entry| {
            let Some(since) = self.lost_since(entry) else { return false };
            let gone_for = now.since(since);
            if entry.said.going {
                return true; // it said so, and has been out of service since
            }
            if !settled || gone_for < expiry {
                return false;
            }
            if gone_for >= at_most {
                return true;
            }
            let another = || here.contains(&(entry.said.workload.namespace.as_str(), &entry.said.labels));
            !self.is_frozen(since, &lost, all) && (entry.presence != Presence::Restored || another())
        };
        self.entries.values().filter(|entry| is_due(entry)).map(|entry| entry.said.workload.clone()).collect()
    }

    /// The moments at which those who are lost were lost, in order.
    fn lost_in_order(&self) -> Vec<Moment> {
        let mut lost: Vec<Moment> = self
            .entries
            .values()
            .filter(|entry| !entry.said.going)
            .filter_map(|entry| self.lost_since(entry))
            .collect();
        lost.sort_unstable();
        lost
    }

    /// Whether too many of `all` vanished around `since` for it to be their own doing.
    fn is_frozen(&self, since: Moment, lost: &[Moment], all: usize) -> bool {
        let within = self.patience.together;
        let from = lost.partition_point(|other| since.since(*other) > within);
        let to = lost.partition_point(|other| *other <= since + within);
        let vanished = to.saturating_sub(from);
        all >= FEWEST_TO_FREEZE && vanished.saturating_mul(3) > all
    }

    fn lost_since(&self, entry: &Entry) -> Option<Moment> {
        match entry.presence {
            Presence::Attached { .. } => None,
            Presence::Lost { since } => Some(since),
            Presence::Restored => Some(self.started),
        }
    }

    fn current(&mut self, session: &Session) -> Option<&mut Entry> {
        let is_current = |entry: &Entry| entry.presence == Presence::Attached { session: session.number };
        self.entries.get_mut(&session.workload).filter(|entry| is_current(entry))
    }
}

impl Entry {
    fn is_attached(&self) -> bool {
        matches!(self.presence, Presence::Attached { .. })
    }

    /// [`Health`] is ordered from better to worse.
    fn health(&self) -> Health {
        if self.said.going {
            Health::Draining
        } else if self.is_attached() {
            self.application
        } else {
            self.application.max(Health::Unconfirmed)
        }
    }
}

/// Below, one that dies is more than a third.
const FEWEST_TO_FREEZE: usize = 4;

#[cfg(test)]
mod tests;
