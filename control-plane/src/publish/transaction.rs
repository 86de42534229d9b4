//! What one transaction carries, cut into updates that fit into a message.

use prost::Message;
use weft_proto::v1;

use crate::compile::table::Id;

/// Changes that a proxy swaps in at once.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The revision of the table it was read from.
    pub revision: u64,
    /// When the newest change in it was seen.
    pub cause_unix_micros: u64,
    /// Whole resources.
    pub put: Vec<v1::Resource>,
    /// Changes to sets of endpoints that the proxy holds.
    pub patch: Vec<v1::EndpointPatch>,
    /// What is no more.
    pub gone: Vec<v1::Tombstone>,
    /// What has now been answered in full.
    pub synced: Vec<v1::Selector>,
}

impl Transaction {
    /// The most bytes of resources in one update; gRPC clients accept messages of 4 MiB.
    pub const CHUNK: usize = 1 << 20;

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.patch.is_empty() && self.gone.is_empty() && self.synced.is_empty()
    }

    /// Says that something is no more.
    pub fn bury(&mut self, id: &Id, why: v1::tombstone::Why) {
        let name = id.name.as_ref().to_owned();
        self.gone.push(v1::Tombstone { r#type: id.kind.into(), name, why: why.into() });
    }

    /// The updates: what is new in the order of types, then what is gone in the reverse order. `nonce` gives the
    /// next number.
    pub fn into_updates(mut self, mut nonce: impl FnMut() -> u64) -> Vec<v1::Update> {
        self.put.sort_by(|a, b| (a.r#type, &a.name).cmp(&(b.r#type, &b.name)));
        self.gone.sort_by(|a, b| (b.r#type, &b.name).cmp(&(a.r#type, &a.name)));
        let blank = || v1::Update { revision: self.revision, more: true, ..v1::Update::default() };
        let mut updates = Vec::new();
        let (mut update, mut bytes) = (blank(), 0);
        let mut room = |update: &mut v1::Update, wanted: usize| {
            if bytes > 0 && bytes + wanted > Self::CHUNK {
                updates.push(std::mem::replace(update, blank()));
                bytes = 0;
            }
            bytes += wanted;
        };
        for resource in self.put {
            room(&mut update, resource.encoded_len());
            update.put.push(resource);
        }
        for patch in self.patch {
            room(&mut update, patch.encoded_len());
            update.patch.push(patch);
        }
        for tombstone in self.gone {
            room(&mut update, tombstone.encoded_len());
            update.gone.push(tombstone);
        }
        for selector in self.synced {
            room(&mut update, selector.encoded_len());
            update.synced.push(selector);
        }
        update.more = false;
        updates.push(update);
        for update in &mut updates {
            update.cause_unix_micros = self.cause_unix_micros;
            update.nonce = nonce();
        }
        updates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_transaction_is_cut_and_only_its_last_update_ends_it() {
        let resource = |name: &str, kind: v1::Type| v1::Resource {
            r#type: kind.into(),
            name: name.to_owned(),
            body: vec![0; Transaction::CHUNK / 2].into(),
            ..v1::Resource::default()
        };
        let put = vec![
            resource("a/routes", v1::Type::Routes),
            resource("a/service", v1::Type::Service),
            resource("b:1", v1::Type::Endpoints),
        ];
        let mut transaction = Transaction { revision: 7, put, ..Transaction::default() };
        transaction.bury(&Id::new(v1::Type::Endpoints, "c:1"), v1::tombstone::Why::NotFound);
        transaction.bury(&Id::new(v1::Type::Routes, "c"), v1::tombstone::Why::NotFound);
        let mut last = 0;
        let updates = transaction.into_updates(|| {
            last += 1;
            last
        });
        let told: Vec<_> = updates.iter().flat_map(|u| u.put.iter().map(|r| r.name.as_str())).collect();
        assert_eq!(told, ["b:1", "a/service", "a/routes"], "in the order in which they are applied");
        assert!(updates.len() > 1 && updates.iter().all(|update| update.encoded_len() < 4 << 20));
        let (end, rest) = updates.split_last().unwrap();
        assert!(!end.more && rest.iter().all(|update| update.more && update.revision == 7));
        assert_eq!(end.gone.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["c", "c:1"], "in reverse");
        assert_eq!(
            updates.iter().map(|u| u.nonce).collect::<Vec<_>>(),
            (1..=updates.len() as u64).collect::<Vec<_>>()
        );
    }
}
