//! One proxy's side of publishing, without a socket: what it asked for, what it holds, what it has not confirmed.
//!
//! It keeps names that may be out of date, never messages: however fast the world changes, a slow proxy costs
//! its interest and gets the newest version of each. At most [`Session::WINDOW`] transactions are on the way;
//! security resources go first, in a transaction of their own, and may exceed the window by a few.
//!
//! Invariants: every transaction is read from one table; a version that this proxy has rejected is not sent to it
//! again; nothing is sent that its certified identity may not see.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weft_proto::shared::Frame;
use weft_proto::v1;
use weft_proto::v1::tombstone::Why;

use super::frames::Frames;
use super::interest::{Interest, Moved, Root, TooMuch, Viewer};
use super::transaction::{Line, Transaction};
use crate::compile::table::{Compiled, Id, Table};

mod ledger;
mod resume;

use ledger::{Digests, Ledger, Sent};
pub use resume::Remembered;

/// What is known about one attached proxy.
#[derive(Debug)]
pub struct Session {
    viewer: Viewer,
    interest: Interest,
    held: Ledger,
    /// What the proxy does without because it rejected it.
    outstanding: BTreeMap<Id, v1::Rejection>,
    /// Every rejection on this stream, newest last: no version is offered twice.
    rejected: BTreeMap<Id, VecDeque<v1::Rejection>>,
    /// Names that the proxy was told lead nowhere.
    absent: BTreeSet<Id>,
    /// What may differ from what the proxy holds.
    dirty: BTreeSet<Id>,
    /// Roots that have not been answered in full.
    unsynced: BTreeSet<Root>,
    /// Selectors that name nothing and never will.
    refused: Vec<(i32, String)>,
    /// The revision of the first change in `dirty`.
    dirty_since: Option<u64>,
    on_the_way: VecDeque<OnTheWay>,
    last_nonce: u64,
    /// The last transaction that is acknowledged, and what all up to it amount to; `None` before the first.
    taken: Option<(u64, Digests)>,
    applied: u64,
    /// Types of which the proxy has yet to say what it holds.
    detail_awaited: BTreeSet<v1::Type>,
    /// Whether the proxy has said what it is interested in.
    stated: bool,
}

/// A transaction that is not acknowledged.
#[derive(Debug)]
struct OnTheWay {
    nonce: u64,
    revision: u64,
    /// The revision of the first change in it.
    since: u64,
    put: Vec<(Id, u64)>,
    /// What the proxy holds once it has taken it.
    amounts_to: Digests,
    /// When the change was seen; `None` for an answer to a question.
    cause: Option<u64>,
}

/// Which of the two lanes a resource travels in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Security,
    Everything,
}

impl Session {
    /// How many transactions may be on the way.
    pub const WINDOW: usize = 8;
    /// How many more if they are about security.
    pub const SECURITY_WINDOW: usize = Self::WINDOW + 4;

    /// A proxy that has just attached and holds nothing that we know of.
    #[must_use]
    pub fn new(viewer: Viewer) -> Self {
        Self {
            viewer,
            interest: Interest::default(),
            held: Ledger::default(),
            outstanding: BTreeMap::new(),
            rejected: BTreeMap::new(),
            absent: BTreeSet::new(),
            dirty: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            refused: Vec::new(),
            dirty_since: None,
            on_the_way: VecDeque::new(),
            last_nonce: 0,
            taken: None,
            applied: 0,
            detail_awaited: BTreeSet::new(),
            stated: false,
        }
    }

    /// Takes what the proxy asks for and what it takes back. The first statement is the whole of its interest:
    /// what it holds besides is taken away.
    ///
    /// # Errors
    /// [`TooMuch`] if it asks for more than a proxy may.
    pub fn state(&mut self, add: Vec<Root>, drop: &[Root], table: &Table) -> Result<Moved, TooMuch> {
        let mut moved = Moved::default();
        for root in add {
            moved.then(self.interest.add(root.clone(), table, &self.viewer)?);
            self.unsynced.insert(root);
        }
        for root in drop {
            moved.then(self.interest.drop(root));
            self.unsynced.remove(root);
            self.absent.remove(&root.id);
        }
        self.mark(moved.gained.iter().chain(&moved.lost).cloned(), table.revision);
        if !self.stated {
            self.stated = true;
            let leftover: Vec<_> =
                self.held.iter().map(|(id, _)| id).filter(|id| !self.interest.reaches(id)).cloned().collect();
            self.mark(leftover, table.revision);
            self.detail_awaited.clear();
        }
        Ok(moved)
    }

    /// Answers a selector that cannot be read: nothing is there, and nothing will be.
    pub fn refuse(&mut self, selector: v1::Selector) {
        if self.refused.len() < MAX_REFUSED {
            self.refused.push((selector.r#type, selector.name));
        }
    }

    /// Notes that something has changed at `revision`.
    pub fn mark(&mut self, ids: impl IntoIterator<Item = Id>, revision: u64) {
        let before = self.dirty.len();
        self.dirty.extend(ids);
        if self.dirty.len() > before {
            self.dirty_since = Some(self.dirty_since.map_or(revision, |since| since.min(revision)));
        }
    }

    /// Follows the changes to where the roots lead now.
    pub fn follow(&mut self, table: &Table) -> Moved {
        let moved = self.interest.follow(&self.dirty, table, &self.viewer);
        self.mark(moved.gained.iter().chain(&moved.lost).cloned(), table.revision);
        moved
    }

    /// The next transaction, unless there is nothing to say or too much is on the way. The caller has let the
    /// session [`follow`](Self::follow) the table.
    pub fn next(&mut self, table: &Table, frames: &Frames) -> Option<Vec<Frame>> {
        let lane = match self.on_the_way.len() {
            _ if !self.stated => return None,
            _ if self.dirty.iter().any(Id::is_security) => Lane::Security,
            _ => Lane::Everything,
        };
        let window = if lane == Lane::Security { Self::SECURITY_WINDOW } else { Self::WINDOW };
        if self.on_the_way.len() >= window {
            return None;
        }
        let due: Vec<Id> = match lane {
            Lane::Security => self.dirty.extract_if(.., |id| id.is_security()).collect(),
            Lane::Everything => std::mem::take(&mut self.dirty).into_iter().collect(),
        };
        let since = self.dirty_since.unwrap_or(table.revision);
        if self.dirty.is_empty() {
            self.dirty_since = None;
        }
        let mut transaction = Transaction { revision: table.revision, ..Transaction::default() };
        for id in &due {
            transaction.lines.extend(self.say(id, table));
        }
        let security_only = lane == Lane::Security;
        let answered = |root: &Root| !security_only || root.id.is_security();
        transaction.synced = self.unsynced.extract_if(.., |root| answered(root)).collect();
        if !security_only {
            transaction.refused = std::mem::take(&mut self.refused);
        }
        if transaction.is_empty() {
            // Nothing of the first lane was news: the second may still have some.
            return if security_only { self.next(table, frames) } else { None };
        }
        let put = transaction.lines.iter().filter_map(|line| match line {
            Line::Put(id, version) | Line::Patch(id, _, version) => Some((id.clone(), *version)),
            Line::Gone(..) => None,
        });
        let put = put.collect();
        let cause = transaction.synced.is_empty().then_some(table.cause_unix_micros);
        let updates = frames.updates(transaction, table, &self.viewer.namespace);
        let said = updates.iter().map(|update| {
            self.last_nonce += 1;
            update.with_nonce(self.last_nonce)
        });
        let said = said.collect();
        let (nonce, revision) = (self.last_nonce, table.revision);
        let amounts_to = self.held.amounts_to(nonce);
        self.on_the_way.push_back(OnTheWay { nonce, revision, since, put, amounts_to, cause });
        Some(said)
    }

    /// Takes an acknowledgement: of this transaction and all before it. Returns when the newest change in them was
    /// seen, in microseconds since 1970; `None` if nothing was on the way.
    pub fn acknowledge(&mut self, ack: v1::Ack) -> Option<u64> {
        let mut confirmed = Vec::new();
        let mut cause = None;
        while let Some(first) = self.on_the_way.front()
            && first.nonce <= ack.nonce
        {
            let first = self.on_the_way.pop_front().expect("it has a front");
            self.applied = self.applied.max(first.revision);
            cause = first.cause;
            confirmed.extend(first.put);
            self.taken = Some((first.nonce, first.amounts_to));
        }
        let told: BTreeMap<Id, v1::Rejection> = ack.rejected.into_iter().filter_map(keyed).collect();
        for id in told.keys() {
            self.held.doubt(id.kind, self.last_nonce);
        }
        for (id, version) in confirmed {
            match told.get(&id) {
                Some(rejection) if rejection.version == version => {
                    if self.held.get(&id) == Some(Sent::Version(version)) {
                        self.held.lose_count(&id);
                    }
                    if self.rejected.len() >= MAX_REJECTED {
                        self.rejected.retain(|id, _| self.interest.reaches(id));
                    }
                    let before = self.rejected.entry(id.clone()).or_default();
                    if before.len() >= MAX_REJECTIONS {
                        before.pop_front();
                    }
                    before.push_back(rejection.clone());
                    self.outstanding.insert(id, rejection.clone());
                }
                _ => {
                    self.outstanding.remove(&id);
                }
            }
        }
        cause
    }

    /// Sends these in full, whatever the proxy was sent before. What it has rejected stays rejected.
    pub fn resync(&mut self, names: &[v1::Selector], revision: u64) {
        let roots = names.iter().filter_map(|selector| Root::read(selector).ok());
        let lost: Vec<_> = roots.map(|root| root.id).filter(|id| self.interest.reaches(id)).collect();
        for id in &lost {
            self.held.lose_count(id);
            self.held.doubt(id.kind, self.last_nonce);
        }
        self.mark(lost, revision);
    }

    /// The types of which the proxy, by what it says, holds something else than it was told and has acknowledged.
    #[must_use]
    pub fn differing(&self, holds: &[v1::Retained]) -> Vec<v1::Type> {
        let taken = self.taken.as_ref();
        taken.map_or_else(Vec::new, |(nonce, due)| self.held.differing(*nonce, due, holds))
    }

    /// What ought to have been said by now, and nobody has marked: a change that went unheard on its way here. To be
    /// asked after [`follow`](Self::follow) with the same table; what it returns is to be [marked](Self::mark).
    #[must_use]
    pub fn unheard(&self, table: &Table) -> BTreeSet<Id> {
        if !self.stated {
            return BTreeSet::new();
        }
        let is_known = |id: &Id| {
            let may_have = self.interest.reaches(id) && self.viewer.may_see(id);
            match (table.resource(id, &self.viewer.namespace).filter(|_| may_have), self.held.get(id)) {
                (None, held) => held.is_none(),
                (Some(now), Some(Sent::Version(held))) if held == now.version => true,
                (Some(now), _) => self.has_rejected(id, now.version).is_some(),
            }
        };
        let concerned = self.interest.reached().chain(self.held.iter().map(|(id, _)| id));
        let wrong = concerned.filter(|id| !is_known(id)).chain(self.interest.astray(table, &self.viewer));
        wrong.filter(|id| !self.dirty.contains(id)).cloned().collect()
    }

    /// What it has rejected and not since replaced.
    #[must_use]
    pub fn rejected(&self) -> Vec<v1::Rejection> {
        self.outstanding.values().cloned().collect()
    }

    /// The newest revision that it has acknowledged.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// How many resources it holds.
    #[must_use]
    pub fn holds(&self) -> usize {
        self.held.len()
    }

    /// The revision of the oldest change that it has not confirmed; `None`: it is current.
    #[must_use]
    pub fn behind_since(&self) -> Option<u64> {
        if !self.stated {
            return Some(0);
        }
        let on_the_way = self.on_the_way.iter().map(|transaction| transaction.since);
        on_the_way.chain(self.dirty_since).min()
    }

    /// Everything it is interested in.
    pub fn interests(&self) -> impl Iterator<Item = &Id> {
        self.interest.reached()
    }

    /// What has to be said about one resource or alias.
    fn say(&mut self, id: &Id, table: &Table) -> Option<Line> {
        let namespace = &self.viewer.namespace;
        let gone = |why| Some(Line::Gone(id.clone(), why));
        if !self.interest.reaches(id) {
            self.absent.remove(id);
            self.outstanding.remove(id);
            if !self.held.take(id) {
                return None;
            }
            let exists = table.resource(id, namespace).is_some();
            return gone(if exists { Why::Unspecified } else { Why::NotFound });
        }
        if !self.viewer.may_see(id) {
            return if self.absent.insert(id.clone()) { gone(Why::Forbidden) } else { None };
        }
        if let Some(compiled) = table.resource(id, namespace) {
            return self.offer(id, compiled);
        }
        if table.alias(id, namespace).is_some() {
            self.absent.remove(id);
            return None;
        }
        let was_held = self.held.take(id);
        if was_held || (self.interest.asks_for(id) && !self.absent.contains(id)) {
            self.absent.insert(id.clone());
            self.outstanding.remove(id);
            return gone(Why::NotFound);
        }
        None
    }

    /// What has to be said about a resource that is there and may be seen.
    fn offer(&mut self, id: &Id, compiled: &Compiled) -> Option<Line> {
        let version = compiled.version;
        self.absent.remove(id);
        let held = self.held.get(id);
        if held == Some(Sent::Version(version)) {
            return None;
        }
        if let Some(rejection) = self.has_rejected(id, version).cloned() {
            self.outstanding.insert(id.clone(), rejection);
            return None;
        }
        self.held.put(id.clone(), version);
        Some(match held {
            Some(Sent::Version(held)) if compiled.endpoints.is_some() => {
                Line::Patch(id.clone(), held, version)
            }
            _ => Line::Put(id.clone(), version),
        })
    }

    /// What the proxy has said against this version, if it has.
    fn has_rejected(&self, id: &Id, version: u64) -> Option<&v1::Rejection> {
        self.rejected.get(id).into_iter().flatten().find(|rejection| rejection.version == version)
    }
}

fn keyed(mut rejection: v1::Rejection) -> Option<(Id, v1::Rejection)> {
    let kind = v1::Type::try_from(rejection.r#type).ok()?;
    // Shown to operators, and written by a stranger: cut to what a line can bear.
    for text in [&mut rejection.path, &mut rejection.detail] {
        *text = text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
    }
    Some((Id::new(kind, rejection.name.as_str()), rejection))
}

const MAX_TEXT: usize = 500;
/// Rejected versions of one resource that are remembered. More of them alternate only in an attack on oneself.
const MAX_REJECTIONS: usize = 16;
/// Resources of which rejections are remembered although nobody asks for them any more.
const MAX_REJECTED: usize = 10_000;
/// Answers that wait for room in the window.
const MAX_REFUSED: usize = 1000;

#[cfg(test)]
mod tests;
