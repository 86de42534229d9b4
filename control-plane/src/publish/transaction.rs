//! What one transaction says, by name and version; and its updates, cut so that each fits into a message.
//!
//! A version is a hash of the body, so names and versions say everything: two proxies that are owed the same lines
//! are owed the same bytes.

use std::sync::Arc;

use prost::Message;
use weft_proto::v1;
use weft_proto::v1::tombstone::Why;

use super::interest::Root;
use crate::compile::table::{Compiled, Id, Table};

/// Changes that a proxy swaps in at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// The revision of the table it was read from.
    pub revision: u64,
    /// What it says.
    pub lines: Vec<Line>,
    /// Selectors that name nothing and never will.
    pub refused: Vec<(i32, String)>,
    /// What has now been answered in full.
    pub synced: Vec<Root>,
}

/// One thing that a transaction says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Line {
    /// This is what the resource is now.
    Put(Id, u64),
    /// The set of endpoints at the first version becomes that at the second.
    Patch(Id, u64, u64),
    /// This is no more, or nowhere.
    Gone(Id, Why),
}

impl Transaction {
    /// The most bytes of resources in one update; gRPC clients accept messages of 4 MiB.
    pub const CHUNK: usize = 1 << 20;

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.refused.is_empty() && self.synced.is_empty()
    }

    /// Whether others may be owed the same.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.synced.is_empty() && self.refused.is_empty() && self.lines.len() <= SHARED_LINES
    }

    /// The updates: what is new in the order of types, then what is gone in the reverse order. Without nonces. `patch`
    /// makes the patch from a version of a set to what it is now, if that is worth it.
    #[must_use]
    pub fn updates(
        &self,
        table: &Table,
        namespace: &str,
        patch: impl Fn(&Id, u64, &Compiled) -> Option<Arc<v1::EndpointPatch>>,
    ) -> Vec<v1::Update> {
        let mut chunks = Chunks::new(self.revision, table.cause_unix_micros);
        let mut new: Vec<_> = self.lines.iter().filter_map(|line| line.news(table, namespace)).collect();
        new.sort_by_key(|(id, ..)| *id);
        for (id, held, compiled) in new {
            match held.and_then(|held| patch(id, held, compiled)) {
                Some(patch) => chunks.room(patch.encoded_len()).patch.push(v1::EndpointPatch::clone(&patch)),
                None => {
                    let resource = resource(id, compiled);
                    chunks.room(resource.encoded_len()).put.push(resource);
                }
            }
        }
        let mut gone: Vec<_> = self.lines.iter().filter_map(Line::gone).collect();
        gone.sort_by(|(a, _), (b, _)| b.cmp(a));
        for (id, why) in gone {
            chunks.bury(id.kind.into(), &id.name, why);
        }
        for (kind, name) in &self.refused {
            chunks.bury(*kind, name, Why::NotFound);
            let refused = v1::Selector { r#type: *kind, name: name.clone(), with_deps: false };
            chunks.room(refused.encoded_len()).synced.push(refused);
        }
        for root in &self.synced {
            let selector = root.to_selector();
            chunks.room(selector.encoded_len()).synced.push(selector);
        }
        chunks.finish()
    }
}

impl Line {
    fn news<'t>(&'t self, table: &'t Table, namespace: &str) -> Option<(&'t Id, Option<u64>, &'t Compiled)> {
        match self {
            Self::Put(id, _) => Some((id, None, table.resource(id, namespace)?)),
            Self::Patch(id, held, _) => Some((id, Some(*held), table.resource(id, namespace)?)),
            Self::Gone(..) => None,
        }
    }

    fn gone(&self) -> Option<(&Id, Why)> {
        match self {
            Self::Gone(id, why) => Some((id, *why)),
            Self::Put(..) | Self::Patch(..) => None,
        }
    }
}

/// A resource as it is sent: the body is shared, not copied.
#[must_use]
pub fn resource(id: &Id, compiled: &Compiled) -> v1::Resource {
    v1::Resource {
        r#type: id.kind.into(),
        name: id.name.as_ref().to_owned(),
        version: compiled.version,
        body: compiled.body.clone(),
        requires: compiled.requires.clone(),
    }
}

/// Updates of one transaction, each of which fits into a message.
struct Chunks {
    blank: v1::Update,
    full: Vec<v1::Update>,
    last: v1::Update,
    bytes: usize,
}

impl Chunks {
    fn new(revision: u64, cause_unix_micros: u64) -> Self {
        let blank = v1::Update { revision, cause_unix_micros, more: true, ..v1::Update::default() };
        Self { full: Vec::new(), last: blank.clone(), blank, bytes: 0 }
    }

    /// An update with room for so many bytes more.
    fn room(&mut self, bytes: usize) -> &mut v1::Update {
        if self.bytes > 0 && self.bytes + bytes > Transaction::CHUNK {
            self.full.push(std::mem::replace(&mut self.last, self.blank.clone()));
            self.bytes = 0;
        }
        self.bytes += bytes;
        &mut self.last
    }

    fn bury(&mut self, kind: i32, name: &str, why: Why) {
        let tombstone = v1::Tombstone { r#type: kind, name: name.to_owned(), why: why.into() };
        self.room(tombstone.encoded_len()).gone.push(tombstone);
    }

    fn finish(mut self) -> Vec<v1::Update> {
        self.last.more = false;
        self.full.push(self.last);
        self.full
    }
}

/// More than a change of one object touches.
const SHARED_LINES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::table::Forms;

    #[test]
    fn a_large_transaction_is_cut_and_only_its_last_update_ends_it() {
        let mut table = Table::default();
        let ids = [(v1::Type::Routes, "a/a"), (v1::Type::Service, "a/a"), (v1::Type::Endpoints, "b/b:1")];
        let ids = ids.map(|(kind, name)| Id::new(kind, name));
        for id in &ids {
            let body = vec![0; Transaction::CHUNK / 2].into();
            let compiled =
                Compiled { version: 1, body, requires: Vec::new(), links: Vec::new(), endpoints: None };
            table.set(id, Forms::common(compiled));
        }
        let mut lines: Vec<_> = ids.into_iter().map(|id| Line::Put(id, 1)).collect();
        for (kind, name) in [(v1::Type::Endpoints, "c/c:1"), (v1::Type::Routes, "c/c")] {
            lines.push(Line::Gone(Id::new(kind, name), Why::NotFound));
        }
        let transaction = Transaction { revision: 7, lines, ..Transaction::default() };
        let updates = transaction.updates(&table, "shop", |_, _, _| None);
        let told: Vec<_> = updates.iter().flat_map(|u| u.put.iter().map(|r| r.name.as_str())).collect();
        assert_eq!(told, ["b/b:1", "a/a", "a/a"], "in the order in which they are applied");
        assert_eq!(updates[0].put[0].r#type(), v1::Type::Endpoints);
        assert!(updates.len() > 1 && updates.iter().all(|update| update.encoded_len() < 4 << 20));
        let (end, rest) = updates.split_last().unwrap();
        assert!(!end.more && rest.iter().all(|update| update.more && update.revision == 7));
        assert_eq!(
            end.gone.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(),
            ["c/c", "c/c:1"],
            "in reverse"
        );
    }
}
