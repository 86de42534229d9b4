//! Where the writer of the world meets the streams: who waits for what, and the table they read.
//!
//! One lock over the table, the interests and the mailboxes. Publishing swaps the table and fills all mailboxes
//! under it, and a stream takes its mailbox together with the table, so no stream ever reads a table without
//! knowing everything that changed in it: a transaction is never torn. The lock is held for as long as it takes
//! to copy pointers.
//!
//! Invariant: only streams that are interested in something that changed are woken.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::frames::Frames;
use super::interest::Moved;
use crate::compile::table::{Id, Table};

/// The meeting place.
#[derive(Debug)]
pub struct Hub {
    state: Mutex<State>,
    frames: Frames,
    /// The newest revision that is published, for those who wait for one.
    revision: watch::Sender<u64>,
}

/// One stream's place in the hub. Dropping it leaves.
#[derive(Debug)]
pub struct Place {
    hub: Arc<Hub>,
    number: u64,
    wake: Arc<Notify>,
}

/// What a stream finds in its mailbox.
#[derive(Debug)]
pub struct Mail {
    /// The newest table.
    pub table: Arc<Table>,
    /// Everything of interest that has changed since the last time.
    pub changed: BTreeSet<Id>,
    /// The revision of the first of these changes.
    pub since: u64,
}

#[derive(Debug, Default)]
struct State {
    table: Arc<Table>,
    next: u64,
    boxes: BTreeMap<u64, Mailbox>,
    interested: HashMap<Id, BTreeSet<u64>>,
}

#[derive(Debug)]
struct Mailbox {
    wake: Arc<Notify>,
    interests: HashSet<Id>,
    changed: BTreeSet<Id>,
    since: u64,
    /// The first revision of what the stream has taken and not yet taken down.
    in_hand: Option<u64>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { state: Mutex::default(), frames: Frames::default(), revision: watch::Sender::new(0) }
    }
}

impl Hub {
    /// The newest table.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.lock().table)
    }

    /// Puts a table in place of the last, and tells those who are interested in what changed. Returns how many
    /// streams were woken.
    pub fn publish(&self, table: Table, changed: &BTreeSet<Id>) -> usize {
        let revision = table.revision;
        let mut state = self.lock();
        state.table = Arc::new(table);
        let mut woken = BTreeSet::new();
        for id in changed {
            let State { interested, boxes, .. } = &mut *state;
            for number in interested.get(id).into_iter().flatten() {
                if let Some(mailbox) = boxes.get_mut(number) {
                    mailbox.put(id, revision);
                    woken.insert(*number);
                }
            }
        }
        for number in &woken {
            if let Some(mailbox) = state.boxes.get(number) {
                mailbox.wake.notify_one();
            }
        }
        drop(state);
        self.revision.send_replace(revision);
        woken.len()
    }

    /// What is encoded once for all streams.
    #[must_use]
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// A place for a new stream.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Place {
        let wake = Arc::new(Notify::new());
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        let since = state.table.revision;
        let mailbox = Mailbox {
            wake: Arc::clone(&wake),
            interests: HashSet::new(),
            changed: BTreeSet::new(),
            since,
            in_hand: None,
        };
        state.boxes.insert(number, mailbox);
        drop(state);
        Place { hub: Arc::clone(self), number, wake }
    }

    /// The streams that have mail which they have not taken down yet.
    #[must_use]
    pub fn unsettled(&self) -> BTreeSet<u64> {
        let state = self.lock();
        let unsettled = state.boxes.iter().filter(|(_, mailbox)| mailbox.oldest().is_some());
        unsettled.map(|(number, _)| *number).collect()
    }

    /// The revision of the oldest mail of any of them.
    #[must_use]
    pub fn unsettled_since(&self) -> Option<u64> {
        self.lock().boxes.values().filter_map(Mailbox::oldest).min()
    }

    /// How many streams there are.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.lock().boxes.len()
    }

    /// Follows the revision that is published.
    #[must_use]
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What a panicking holder leaves is still a table and some mailboxes: better stale than nobody served.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until there is mail.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Empties the mailbox.
    #[must_use]
    pub fn take(&self) -> Mail {
        let mut state = self.hub.lock();
        let table = Arc::clone(&state.table);
        let mailbox = state.boxes.get_mut(&self.number).expect("a place has its mailbox until it is dropped");
        let (changed, since) = (std::mem::take(&mut mailbox.changed), mailbox.since);
        if !changed.is_empty() {
            mailbox.in_hand = Some(mailbox.in_hand.map_or(since, |at| at.min(since)));
        }
        Mail { table, changed, since }
    }

    /// Says that everything that was taken has been taken down where status is answered from.
    pub fn settled(&self) {
        if let Some(mailbox) = self.hub.lock().boxes.get_mut(&self.number) {
            mailbox.in_hand = None;
        }
    }

    /// Which stream this is.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Changes what this stream is interested in, as seen in a table of `revision`. What has come since is put
    /// into the mailbox.
    pub fn follow(&self, moved: &Moved, revision: u64) {
        if moved.gained.is_empty() && moved.lost.is_empty() {
            return;
        }
        let mut state = self.hub.lock();
        let State { table, boxes, interested, .. } = &mut *state;
        let mailbox = boxes.get_mut(&self.number).expect("a place has its mailbox until it is dropped");
        for id in &moved.lost {
            mailbox.interests.remove(id);
            withdraw(interested, id, self.number);
        }
        for id in &moved.gained {
            mailbox.interests.insert(id.clone());
            interested.entry(id.clone()).or_default().insert(self.number);
        }
        if table.revision != revision {
            moved.gained.iter().for_each(|id| mailbox.put(id, table.revision));
            mailbox.wake.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        let State { boxes, interested, .. } = &mut *state;
        for id in boxes.remove(&self.number).into_iter().flat_map(|mailbox| mailbox.interests) {
            withdraw(interested, &id, self.number);
        }
    }
}

impl Mailbox {
    fn oldest(&self) -> Option<u64> {
        let waiting = (!self.changed.is_empty()).then_some(self.since);
        waiting.into_iter().chain(self.in_hand).min()
    }

    fn put(&mut self, id: &Id, revision: u64) {
        if self.changed.is_empty() {
            self.since = revision;
        }
        self.changed.insert(id.clone());
    }
}

fn withdraw(interested: &mut HashMap<Id, BTreeSet<u64>>, id: &Id, number: u64) {
    if let Some(streams) = interested.get_mut(id) {
        streams.remove(&number);
        if streams.is_empty() {
            interested.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_proto::v1::Type;

    use super::*;

    fn id(name: &str) -> Id {
        Id::new(Type::Service, name)
    }

    fn gained(names: &[&str]) -> Moved {
        Moved { gained: names.iter().map(|name| id(name)).collect(), ..Moved::default() }
    }

    fn lost(name: &str) -> Moved {
        Moved { lost: [id(name)].into(), ..Moved::default() }
    }

    fn table(revision: u64) -> Table {
        let mut table = Table::default();
        table.revision = revision;
        table
    }

    #[test]
    fn only_those_who_are_interested_are_woken_and_all_else_is_none_of_their_business() {
        let hub = Arc::new(Hub::default());
        let (a, b, c) = (hub.enter(), hub.enter(), hub.enter());
        a.follow(&gained(&["shop/api", "shop/web"]), 0);
        b.follow(&gained(&["shop/web"]), 0);
        let both = BTreeSet::from([id("shop/api"), id("shop/web"), id("shop/cart")]);
        assert_eq!(hub.publish(table(1), &BTreeSet::from([id("shop/api")])), 1);
        assert_eq!(hub.publish(table(2), &both), 2);
        let mail = a.take();
        assert_eq!((mail.table.revision, mail.since, mail.changed.len()), (2, 1, 2), "merged");
        assert_eq!(b.take().changed, BTreeSet::from([id("shop/web")]));
        assert!(c.take().changed.is_empty() && a.take().changed.is_empty());
        a.follow(&lost("shop/web"), 2);
        drop(b);
        assert_eq!(hub.publish(table(3), &both), 1);
        assert_eq!(a.take().changed, BTreeSet::from([id("shop/api")]));
        drop((a, c));
        assert_eq!((hub.publish(table(4), &both), hub.streams()), (0, 0));
        assert!(hub.lock().interested.is_empty(), "nothing is left of those who left");
    }

    #[test]
    fn what_changes_between_reading_a_table_and_asking_is_not_missed() {
        let hub = Arc::new(Hub::default());
        let place = hub.enter();
        let read = place.take().table.revision;
        hub.publish(table(1), &BTreeSet::from([id("shop/api")]));
        place.follow(&gained(&["shop/api"]), read);
        assert_eq!(place.take().changed, BTreeSet::from([id("shop/api")]));
    }

    #[test]
    fn a_stream_is_unsettled_from_the_change_until_what_it_took_is_taken_down() {
        let hub = Arc::new(Hub::default());
        let place = hub.enter();
        place.follow(&gained(&["shop/api"]), 0);
        hub.publish(table(5), &BTreeSet::from([id("shop/api")]));
        assert_eq!((hub.unsettled_since(), hub.unsettled().len()), (Some(5), 1));
        let _mail = place.take();
        assert_eq!((hub.unsettled_since(), hub.unsettled().len()), (Some(5), 1), "it has it in hand");
        place.settled();
        assert_eq!((hub.unsettled_since(), hub.unsettled().len()), (None, 0));
    }
}
