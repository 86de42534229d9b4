//! A transaction on its way: read as it comes, so that nothing is left to fail when it becomes visible.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use weft_policy::endpoint::EndpointSet;

use super::{Absent, Alias, Asked, Held, Key, MAX_BYTES, MAX_CHANGES, Progress, Refused, Rejected, Value};
use crate::field::unknown;
use crate::v1::tombstone::Why;
use crate::{decode, patch, v1};

/// What has come of one or more transactions.
#[derive(Debug, Default)]
pub(super) struct Staging {
    /// What will happen to each resource: the last word on it.
    pub(super) changes: BTreeMap<Key, Change>,
    /// Aliases that lead nowhere; `None`: that is no longer said of them.
    pub(super) aliases: BTreeMap<Alias, Option<Absent>>,
    pub(super) rejected: Vec<v1::Rejection>,
    pub(super) resync: Vec<v1::Selector>,
    pub(super) synced: Vec<v1::Selector>,
    pub(super) not_understood: Vec<Rejected>,
    pub(super) revision: u64,
    /// Of the last update.
    pub(super) nonce: u64,
    /// Whether the last update ended a transaction.
    pub(super) complete: bool,
    bytes: usize,
}

/// What will happen to a resource.
#[derive(Debug)]
pub(super) enum Change {
    Put {
        version: u64,
        value: Value,
    },
    /// It was named, and what is held stays, if anything is.
    Keep,
    Gone,
}

impl Staging {
    /// Reads an update beside what is held. Puts come before patches, and both before what is gone.
    pub(super) fn take(&mut self, update: v1::Update, held: &Held) -> Result<Progress, Refused> {
        let changes = update.put.len() + update.patch.len() + update.gone.len() + update.synced.len();
        let bytes = self.bytes.saturating_add(update.encoded_len());
        if self.size() + changes > MAX_CHANGES || bytes > MAX_BYTES {
            return Err(Refused::TooLarge);
        }
        self.bytes = bytes;
        self.revision = update.revision;
        self.nonce = update.nonce;
        self.complete = !update.more;

        for resource in update.put {
            if let Err(rejected) = self.put(&resource, held) {
                self.reject(resource.r#type, resource.name, resource.version, rejected);
            }
        }
        for patch in update.patch {
            self.patch(patch, held);
        }
        for tombstone in update.gone {
            if let Err(rejected) = self.bury(&tombstone) {
                self.reject(tombstone.r#type, tombstone.name, 0, rejected);
            }
        }
        self.synced.extend(update.synced);
        Ok(if self.complete { Progress::Complete } else { Progress::More })
    }

    fn put(&mut self, resource: &v1::Resource, held: &Held) -> Result<(), Rejected> {
        let kind =
            v1::Type::try_from(resource.r#type).map_err(|_| unknown("resource type", resource.r#type))?;
        let key = Key::parse(kind, &resource.name).map_err(Rejected::because)?;
        // Equal versions are equal bytes, which have been read before.
        if held.versions.get(&key) == Some(&resource.version) {
            self.changes.insert(key, Change::Keep);
            return Ok(());
        }
        // Should it not be readable, what is held stays, and is not to be swept away.
        self.changes.entry(key.clone()).or_insert(Change::Keep);
        let decoded = decode::resource(resource)?;
        match &decoded.value {
            Value::Inbound(enforced) if enforced.workload() != held.workload => {
                return Err(Rejected::because(format!("is for another workload than {}", held.workload)));
            }
            Value::Trust(trust) => {
                let newest = match self.changes.get(&key) {
                    Some(Change::Put { value: Value::Trust(staged), .. }) => Some(staged),
                    _ => held.trust.get(&trust.domain),
                };
                if let Some(newer) = newest.filter(|newest| newest.sequence > trust.sequence) {
                    let (old, new) = (trust.sequence, newer.sequence);
                    return Err(Rejected::because(format!("is {old}, older than {new} which is held"))
                        .under("sequence"));
                }
            }
            _ => {}
        }
        let name = resource.name.as_str();
        self.not_understood.extend(decoded.not_understood.into_iter().map(|rejected| rejected.under(name)));
        self.changes.insert(key, Change::Put { version: resource.version, value: decoded.value });
        Ok(())
    }

    fn patch(&mut self, patch: v1::EndpointPatch, held: &Held) {
        let Ok(Key::Endpoints(of)) = Key::parse(v1::Type::Endpoints, &patch.name) else {
            let rejected = Rejected::because("is not the name of a set of endpoints");
            return self.reject(v1::Type::Endpoints.into(), patch.name, patch.version, rejected);
        };
        let key = Key::Endpoints(of);
        let next = self.base(&key, held).and_then(|(set, version)| patch::apply(set, version, &patch).ok());
        match next {
            Some(set) => {
                let value = Value::Endpoints(set.into());
                self.changes.insert(key, Change::Put { version: patch.version, value });
            }
            // Not a rejection: the whole set may well be fine.
            None => {
                self.changes.entry(key).or_insert(Change::Keep);
                let kind = v1::Type::Endpoints.into();
                self.resync.push(v1::Selector { r#type: kind, name: patch.name, with_deps: false });
            }
        }
    }

    /// What a patch is for: what is staged, or else what is held.
    fn base<'h>(&'h self, key: &Key, held: &'h Held) -> Option<(&'h EndpointSet, u64)> {
        match self.changes.get(key) {
            Some(Change::Put { version, value: Value::Endpoints(set) }) => Some((set, *version)),
            Some(Change::Put { .. } | Change::Gone) => None,
            Some(Change::Keep) | None => {
                let Key::Endpoints(of) = key else { return None };
                Some((held.snapshot.endpoints.get(of).map(Arc::as_ref)?, *held.versions.get(key)?))
            }
        }
    }

    fn bury(&mut self, tombstone: &v1::Tombstone) -> Result<(), Rejected> {
        let kind =
            v1::Type::try_from(tombstone.r#type).map_err(|_| unknown("resource type", tombstone.r#type))?;
        match Asked::parse(kind, &tombstone.name).map_err(Rejected::because)? {
            Asked::Key(key) => drop(self.changes.insert(key, Change::Gone)),
            Asked::Alias(alias) => {
                let why = match Why::try_from(tombstone.why) {
                    Ok(Why::NotFound) => Some(Absent::NotFound),
                    Ok(Why::Forbidden) => Some(Absent::Forbidden),
                    Ok(Why::Unspecified) => None,
                    // A reason of tomorrow is no permission to pass the mesh by.
                    Err(_) => Some(Absent::Forbidden),
                };
                self.aliases.insert(alias, why);
            }
        }
        Ok(())
    }

    fn reject(&mut self, kind: i32, name: String, version: u64, rejected: Rejected) {
        let Rejected { path, detail } = rejected;
        self.rejected.push(v1::Rejection { r#type: kind, name, version, path, detail });
    }

    fn size(&self) -> usize {
        self.changes.len()
            + self.aliases.len()
            + self.rejected.len()
            + self.resync.len()
            + self.synced.len()
            + self.not_understood.len()
    }
}
