//! What is encoded once and sent to many: the patches and the frames of the newest revision.
//!
//! A change concerns hundreds of proxies that hold the same: they are owed the same patch and, but for the nonce,
//! the same bytes. What one stream has worked out the others take from here. Only the newest revision is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;
use weft_proto::{patch, shared, v1};

use super::transaction::Transaction;
use crate::compile::table::{Compiled, Id, Table};

/// Patches and frames of one revision.
#[derive(Debug, Default)]
pub struct Frames(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    revision: u64,
    /// By set, and the version that is held. `None`: the whole is no longer than the patch.
    patches: HashMap<(Id, u64), Option<Arc<v1::EndpointPatch>>>,
    updates: HashMap<Transaction, Arc<[shared::Update]>>,
}

impl Frames {
    /// The most patches, and the most transactions, that are kept.
    const MOST: usize = 4096;

    /// What changed in a set of endpoints since version `held`. `None` if that is too long ago, or if the whole is
    /// no longer: one replaced pod costs some ninety bytes however large the set.
    #[must_use]
    pub fn patch(
        &self,
        id: &Id,
        held: u64,
        current: &Compiled,
        table: &Table,
    ) -> Option<Arc<v1::EndpointPatch>> {
        let make = || {
            let (before, now) = (table.endpoints_at(id, held)?, current.endpoints.as_ref()?);
            let patch = patch::diff(before, held, now, current.version);
            (patch.encoded_len() < current.body.len()).then(|| Arc::new(patch))
        };
        current.endpoints.as_ref()?;
        self.kept(table, |kept| &mut kept.patches, (id.clone(), held), make)
    }

    /// The frames of a transaction, without nonces.
    #[must_use]
    pub fn updates(&self, transaction: Transaction, table: &Table, namespace: &str) -> Arc<[shared::Update]> {
        let encode = |transaction: &Transaction| {
            let patch = |id: &Id, held, current: &Compiled| self.patch(id, held, current, table);
            transaction.updates(table, namespace, patch).into_iter().map(shared::Update::new).collect()
        };
        // An answer to somebody's question is nobody else's, and a whole mesh is too large to keep.
        if !transaction.is_shared() {
            return encode(&transaction);
        }
        if let Some(found) = self.lock().updates.get(&transaction) {
            return Arc::clone(found);
        }
        let encoded: Arc<[_]> = encode(&transaction);
        self.kept(table, |kept| &mut kept.updates, transaction, || Arc::clone(&encoded))
    }

    fn kept<K: Eq + std::hash::Hash, V: Clone>(
        &self,
        table: &Table,
        of: impl Fn(&mut Kept) -> &mut HashMap<K, V>,
        key: K,
        make: impl FnOnce() -> V,
    ) -> V {
        let mut kept = self.lock();
        if table.revision > kept.revision {
            *kept = Kept { revision: table.revision, ..Kept::default() };
        }
        if table.revision < kept.revision {
            // A stream that still reads an older table is on its own.
            drop(kept);
            return make();
        }
        let values = of(&mut kept);
        if let Some(found) = values.get(&key) {
            return found.clone();
        }
        // Made while others wait: they want the same.
        let value = make();
        if values.len() < Self::MOST {
            values.insert(key, value.clone());
        }
        value
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use weft_policy::endpoint::EndpointSet;
    use weft_policy::object::ServicePort;
    use weft_proto::shared::Frame;
    use weft_proto::{encode, version};

    use super::super::transaction::Line;
    use super::*;
    use crate::compile::table::Forms;

    fn set(table: &mut Table, id: &Id, pods: u16) -> u64 {
        let endpoint = |pod: u16| weft_policy::endpoint::Endpoint {
            name: format!("shop/p-{pod}").into(),
            addr: ([10, 0, 0, 1], 1000 + pod).into(),
            target_port: 8080,
            identity: None,
            zone: None,
            weight: 1,
            health: Default::default(),
        };
        let of = ServicePort::new("shop", "api", 80);
        let set = EndpointSet::new(of, (0..pods).map(endpoint).collect());
        let body = encode::bytes(&encode::endpoints(&set));
        let version = version::of(&body);
        let endpoints = Some(Arc::new(set));
        table.set(
            id,
            Forms::common(Compiled { version, body, requires: Vec::new(), links: Vec::new(), endpoints }),
        );
        version
    }

    #[test]
    fn streams_that_hold_the_same_are_sent_the_same_bytes_and_an_older_table_is_not_mixed_in() {
        let id = Id::new(v1::Type::Endpoints, "shop/api:80");
        let mut table = Table::default();
        let first = set(&mut table, &id, 20);
        let second = set(&mut table, &id, 21);
        table.revision = 2;
        let frames = Frames::default();
        let transaction = |version| Transaction {
            revision: 2,
            lines: vec![Line::Patch(id.clone(), first, version)],
            ..Transaction::default()
        };
        let [a, b] = [(); 2].map(|()| frames.updates(transaction(second), &table, "shop"));
        assert!(Arc::ptr_eq(&a, &b), "encoded once");
        assert!(a[0].len() < 150, "a patch");
        let older = table.clone();
        let third = set(&mut table, &id, 22);
        table.revision = 3;
        let _newest = frames.updates(Transaction { revision: 3, ..transaction(third) }, &table, "shop");
        let again = frames.updates(transaction(second), &older, "shop");
        let bytes = |update: &shared::Update| -> Frame { update.with_nonce(1) };
        assert_eq!(bytes(&again[0]), bytes(&a[0]), "what it was at that revision");
    }
}
