//! What a proxy was sent last of each resource, and what it has to hold once it has taken that.
//!
//! A stream loses nothing, but programs do: a proxy that goes on with less than it was told would be wrong in silence
//! for as long as its stream lasts. So it says from time to time what it holds, in 16 bytes per type, and that is
//! compared with what the transactions up to its last acknowledgement amount to. Nothing has to be at rest for it.

use std::collections::{BTreeMap, BTreeSet};

use weft_proto::v1::{self, Type};
use weft_proto::version::Digest;

use crate::compile::table::Id;

/// The version a proxy was last sent, as far as it is known to have taken it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Version(u64),
    /// An earlier one, since it rejected the last or has lost count.
    Unknown,
}

/// All that a proxy holds of each type, in 16 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Digests(BTreeMap<Type, Digest>);

/// Everything that a proxy was sent.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent: BTreeMap<Id, Sent>,
    /// Of the versions in `sent`.
    digests: Digests,
    /// The last transaction during which nothing can be said of a type.
    doubtful: BTreeMap<Type, u64>,
    /// Types of which something unknown has been settled, in the transaction that is being made.
    settling: BTreeSet<Type>,
}

impl Ledger {
    pub(super) fn get(&self, id: &Id) -> Option<Sent> {
        self.sent.get(id).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Id, Sent)> {
        self.sent.iter().map(|(id, sent)| (id, *sent))
    }

    /// Notes that the proxy holds this version, or will.
    pub(super) fn put(&mut self, id: Id, version: u64) {
        *self.digests.of(id.kind) += Digest::of(id.kind, &id.name, version);
        self.replace(id, Some(Sent::Version(version)));
    }

    /// Notes that the proxy holds it no more, or soon will not; `false` if it never did.
    pub(super) fn take(&mut self, id: &Id) -> bool {
        self.sent.contains_key(id) && self.replace(id.clone(), None).is_some()
    }

    /// Notes that nobody can say which version the proxy holds, where it was sent one at all.
    pub(super) fn lose_count(&mut self, id: &Id) {
        if self.sent.contains_key(id) {
            self.replace(id.clone(), Some(Sent::Unknown));
        }
    }

    /// Notes that what was sent of a type may not have been taken, up to the transaction of this nonce.
    pub(super) fn doubt(&mut self, kind: Type, until: u64) {
        let doubtful = self.doubtful.entry(kind).or_default();
        *doubtful = until.max(*doubtful);
    }

    /// Ends a transaction: what the proxy holds once it has taken that one.
    pub(super) fn amounts_to(&mut self, nonce: u64) -> Digests {
        for kind in std::mem::take(&mut self.settling) {
            self.doubt(kind, nonce);
        }
        self.digests.clone()
    }

    /// The types of which a proxy that has taken everything up to `taken`, which amounts to `due`, holds something else.
    /// Of a type of which it has rejected something nothing is said: which version it kept is known to nobody else.
    pub(super) fn differing(&self, taken: u64, due: &Digests, holds: &[v1::Retained]) -> Vec<Type> {
        let told = |retained: &v1::Retained| {
            let kind = Type::try_from(retained.r#type).ok()?;
            Some((kind, Digest::from_bytes(&retained.digest)?))
        };
        let holds: BTreeMap<Type, Digest> = holds.iter().filter_map(told).collect();
        let unknown: BTreeSet<Type> =
            self.iter().filter(|(_, sent)| *sent == Sent::Unknown).map(|(id, _)| id.kind).collect();
        let kinds: BTreeSet<Type> = due.0.keys().chain(holds.keys()).copied().collect();
        let differs = |kind: &Type| {
            let holds = holds.get(kind).copied().unwrap_or_default();
            let due = due.0.get(kind).copied().unwrap_or_default();
            let is_known =
                !unknown.contains(kind) && self.doubtful.get(kind).is_none_or(|nonce| *nonce <= taken);
            is_known && holds != due
        };
        kinds.into_iter().filter(differs).collect()
    }

    fn replace(&mut self, id: Id, sent: Option<Sent>) -> Option<Sent> {
        let (kind, name) = (id.kind, id.name.clone());
        let before = match sent {
            Some(sent) => self.sent.insert(id, sent),
            None => self.sent.remove(&id),
        };
        match before {
            Some(Sent::Version(version)) => *self.digests.of(kind) -= Digest::of(kind, &name, version),
            Some(Sent::Unknown) => drop(self.settling.insert(kind)),
            None => {}
        }
        before
    }
}

impl Digests {
    fn of(&mut self, kind: Type) -> &mut Digest {
        self.0.entry(kind).or_default()
    }
}
