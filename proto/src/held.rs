//! What a proxy holds: updates in, snapshots out. The client's end of the config stream without the stream.
//!
//! A transaction is staged update by update and made visible whole, by [`Held::commit`], or not at all. A resource
//! that cannot be read keeps its last good version and is named in the acknowledgement; the others go ahead.
//! `Inbound` has no other fallback than that: where there is no last good version, there is no inbound policy,
//! and the proxy denies.
//!
//! Invariants: a snapshot is always the result of whole transactions; the same resources give the same snapshot
//! in whatever order they came; only versions that were taken over count in a digest; within an epoch the
//! revision never falls. Committing costs what changed, and one reference per resource for the map.

mod claims;
mod kept;
mod staging;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_policy::health::HealthCheck;
use weft_policy::identity::TrustDomain;
use weft_policy::snapshot::{Absent, Alias, Service, Snapshot};

use crate::encode;
use crate::field::Rejected;
use crate::name::{Asked, Key, WorkloadName};
use crate::trust::Trust;
use crate::v1;
use crate::value::{Enforced, Value};
use crate::version::Digest;

use claims::Claims;
pub use kept::{Kept, NotKept};
use staging::{Change, Staging};

/// What one proxy has been told.
#[derive(Debug)]
pub struct Held {
    workload: WorkloadName,
    /// Of everything that was taken over.
    versions: BTreeMap<Key, u64>,
    /// As of the last commit.
    snapshot: Snapshot,
    trust: BTreeMap<TrustDomain, Arc<Trust>>,
    enforced: Option<Arc<Enforced>>,
    claims: Claims,
    staging: Staging,
    seen: Option<v1::Seen>,
    /// What was held when the control plane began to tell everything anew, and has not been told again.
    stale: BTreeSet<Key>,
}

/// Whether a transaction is all here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// More of it follows.
    More,
    /// [`Held::commit`] it.
    Complete,
}

/// A transaction that has become visible.
#[derive(Debug)]
#[must_use]
pub struct Committed {
    /// What now holds.
    pub snapshot: Snapshot,
    /// To be sent once the snapshot is in force. It stands for every update up to its nonce.
    pub ack: v1::Ack,
    /// To be sent too, unless empty: sets of endpoints of which a patch could not be applied.
    pub resync: Vec<v1::Selector>,
    /// What has come, changed or gone, in the order of types.
    pub changed: BTreeSet<Key>,
    /// What was asked for and has now been answered in full.
    pub synced: Vec<v1::Selector>,
    /// What is in force and denies, because this build does not understand it. For the log.
    pub not_understood: Vec<Rejected>,
}

impl Held {
    /// A proxy of this workload that has been told nothing: it denies its application's callers.
    #[must_use]
    pub fn new(workload: WorkloadName) -> Self {
        Self {
            workload,
            versions: BTreeMap::new(),
            snapshot: Snapshot::default(),
            trust: BTreeMap::new(),
            enforced: None,
            claims: Claims::default(),
            staging: Staging::default(),
            seen: None,
            stale: BTreeSet::new(),
        }
    }

    /// The newest state of the control plane that was seen, for `Hello.seen`.
    #[must_use]
    pub const fn seen(&self) -> Option<&v1::Seen> {
        self.seen.as_ref()
    }

    /// What is held, in 16 bytes per type, for `Hello.retained`. Types of which nothing is held are left out.
    #[must_use]
    pub fn retained(&self) -> Vec<v1::Retained> {
        let mut digests: BTreeMap<v1::Type, Digest> = BTreeMap::new();
        for (key, version) in &self.versions {
            *digests.entry(key.kind()).or_default() += Digest::of(key.kind(), &key.to_string(), *version);
        }
        let retained = |(kind, digest): (v1::Type, Digest)| v1::Retained {
            r#type: kind.into(),
            digest: digest.to_bytes().into(),
            held: Vec::new(),
        };
        digests.into_iter().map(retained).collect()
    }

    /// What is held of one type by name and version, where the control plane needs the detail.
    #[must_use]
    pub fn detail(&self, kind: v1::Type) -> v1::Retained {
        let of_kind = self.versions.iter().filter(|(key, _)| key.kind() == kind);
        let (mut digest, mut held) = (Digest::EMPTY, Vec::new());
        for (key, version) in of_kind {
            let name = key.to_string();
            digest += Digest::of(kind, &name, *version);
            held.push(v1::Held { name, version: *version });
        }
        v1::Retained { r#type: kind.into(), digest: digest.to_bytes().into(), held }
    }

    /// Takes the first frame of a new stream. What an earlier stream left half told is forgotten.
    ///
    /// # Errors
    /// [`Refused::Backwards`] if this replica is behind what the proxy has seen: try another one.
    pub fn welcome(&mut self, welcome: &v1::Welcome) -> Result<(), Refused> {
        self.abandon();
        let now = welcome.now.clone().unwrap_or_default();
        // Hashes have no order, so a replica that lags would look like news. Revisions have one, within an epoch.
        if let Some(seen) = self.seen.as_ref().filter(|seen| seen.epoch == now.epoch)
            && now.revision < seen.revision
        {
            return Err(Refused::Backwards { held: seen.revision, offered: now.revision });
        }
        self.seen = Some(now);
        for resume in &welcome.resume {
            if resume.verdict == i32::from(v1::resume::Verdict::Full) {
                self.stale.extend(
                    self.versions.keys().filter(|key| i32::from(key.kind()) == resume.r#type).cloned(),
                );
            }
        }
        Ok(())
    }

    /// Reads an update and keeps it back until its transaction is complete. Transactions that are not committed
    /// one by one become visible together.
    ///
    /// # Errors
    /// Nothing of the update was kept: the stream is to be given up, and what holds goes on holding.
    pub fn stage(&mut self, update: v1::Update) -> Result<Progress, Refused> {
        let seen = self.seen.as_ref().map_or(0, |seen| seen.revision).max(self.staging.revision);
        if update.revision < seen {
            return Err(Refused::Backwards { held: seen, offered: update.revision });
        }
        let mut staging = std::mem::take(&mut self.staging);
        let progress = staging.take(update, self);
        self.staging = staging;
        progress
    }

    /// Forgets what is staged: the stream was lost in the middle of a transaction.
    pub fn abandon(&mut self) {
        self.staging = Staging::default();
    }

    /// Makes what is staged visible. `None` unless it is one or more whole transactions.
    pub fn commit(&mut self) -> Option<Committed> {
        if !self.staging.complete {
            return None;
        }
        let staging = std::mem::take(&mut self.staging);
        let mut changed = BTreeSet::new();
        let mut gone = Vec::new();
        // Keys sort by type in the order of puts: TRUST, INBOUND, ENDPOINTS, SERVICE, ROUTES.
        for (key, change) in staging.changes {
            self.stale.remove(&key);
            match change {
                Change::Put { version, value } => {
                    self.put(value);
                    self.versions.insert(key.clone(), version);
                    changed.insert(key);
                }
                Change::Gone => gone.push(key),
                Change::Keep => {}
            }
        }
        for key in gone.into_iter().rev() {
            if self.take(&key) {
                changed.insert(key);
            }
        }
        for (alias, absent) in staging.aliases {
            match absent {
                Some(why) => self.snapshot.absent.insert(alias, why),
                None => self.snapshot.absent.remove(&alias),
            };
        }
        self.snapshot.revision = staging.revision;
        match &mut self.seen {
            Some(seen) => seen.revision = seen.revision.max(staging.revision),
            None => self.seen = Some(v1::Seen { epoch: Vec::new(), revision: staging.revision }),
        }
        Some(Committed {
            snapshot: self.snapshot.clone(),
            ack: v1::Ack {
                nonce: staging.nonce,
                rejected: staging.rejected,
                apply_micros: 0,
                revision: staging.revision,
            },
            resync: staging.resync,
            changed,
            synced: staging.synced,
            not_understood: staging.not_understood,
        })
    }

    /// An update that is a transaction by itself, made visible at once.
    fn take_whole(&mut self, update: v1::Update) -> Result<Committed, Refused> {
        let _complete = self.stage(v1::Update { more: false, ..update })?;
        Ok(self.commit().expect("a transaction without more is complete"))
    }

    /// Takes away what was held before the control plane told everything anew and is not part of that: to be
    /// called when all that was asked for is synced. `None`: there was nothing to take away.
    #[must_use]
    pub fn sweep(&mut self) -> Option<Snapshot> {
        let stale = std::mem::take(&mut self.stale);
        let swept = stale.iter().rev().filter(|key| self.take(key)).count();
        (swept > 0).then(|| self.snapshot.clone())
    }

    /// Forgets that an alias leads nowhere, because nobody asks for it any more.
    pub fn forget(&mut self, alias: &Alias) {
        self.snapshot.absent.remove(alias);
    }

    /// What holds, as of the last commit.
    #[must_use]
    pub const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Whom to believe about identities of a trust domain. `None`: nobody.
    #[must_use]
    pub fn trust(&self, domain: &TrustDomain) -> Option<&Arc<Trust>> {
        self.trust.get(domain)
    }

    /// How the application is asked whether it is well.
    #[must_use]
    pub fn health_checks(&self) -> &[HealthCheck] {
        self.enforced.as_ref().map_or(&[], |enforced| &enforced.health)
    }

    /// Everything that is held, as it was told. `None` where this build could not tell all of it in the same bytes.
    fn told(&self) -> Option<Vec<v1::Resource>> {
        let again = |(key, version): (&Key, &u64)| {
            let resource = encode::resource(&self.value(key)?);
            (resource.version == *version).then_some(resource)
        };
        self.versions.iter().map(again).collect()
    }

    fn value(&self, key: &Key) -> Option<Value> {
        let Snapshot { endpoints, services, routes, .. } = &self.snapshot;
        match key {
            Key::Trust(domain) => self.trust.get(domain).cloned().map(Value::Trust),
            Key::Inbound(_) => self.enforced.clone().map(Value::Inbound),
            Key::Endpoints(of) => endpoints.get(of).cloned().map(Value::Endpoints),
            Key::Service(name) => services.get(name).cloned().map(Value::Service),
            Key::Routes(name) => routes.get(name).cloned().map(Value::Routes),
        }
    }

    /// How many resources are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.versions.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    fn put(&mut self, value: Value) {
        match value {
            Value::Trust(trust) => drop(self.trust.insert(trust.domain.clone(), trust)),
            Value::Inbound(enforced) => {
                self.snapshot.inbound = Some(Arc::clone(&enforced.inbound));
                self.enforced = Some(enforced);
            }
            Value::Endpoints(set) => drop(self.snapshot.endpoints.insert(set.of.clone(), set)),
            Value::Service(service) => self.put_service(service),
            Value::Routes(routes) => drop(self.snapshot.routes.insert(routes.service.clone(), routes)),
        }
    }

    fn put_service(&mut self, service: Arc<Service>) {
        if let Some(old) = self.snapshot.services.get(&service.name) {
            self.claims.withdraw(old, &mut self.snapshot.hosts, &mut self.snapshot.vips);
        }
        self.claims.make(&service, &mut self.snapshot.hosts, &mut self.snapshot.vips);
        if !self.snapshot.absent.is_empty() {
            for host in &service.hosts {
                self.snapshot.absent.remove(&Alias::Host(Arc::clone(host)));
            }
            for vip in &service.vips {
                self.snapshot.absent.remove(&Alias::Ip(*vip));
            }
        }
        self.snapshot.services.insert(service.name.clone(), service);
    }

    /// Takes a resource away; `false` if it was not held.
    fn take(&mut self, key: &Key) -> bool {
        if self.versions.remove(key).is_none() {
            return false;
        }
        match key {
            Key::Trust(domain) => drop(self.trust.remove(domain)),
            Key::Inbound(_) => {
                self.snapshot.inbound = None;
                self.enforced = None;
            }
            Key::Endpoints(of) => drop(self.snapshot.endpoints.remove(of)),
            Key::Service(name) => {
                if let Some(service) = self.snapshot.services.remove(name) {
                    self.claims.withdraw(&service, &mut self.snapshot.hosts, &mut self.snapshot.vips);
                }
            }
            Key::Routes(name) => drop(self.snapshot.routes.remove(name)),
        }
        true
    }
}

/// The snapshot of one answer that is complete in itself: what `meshctl explain` decides with. What of it cannot
/// be read is in the acknowledgement's rejections, as a proxy would report it.
///
/// # Errors
/// If the answer is too large to be one.
pub fn assemble(workload: WorkloadName, answer: v1::Update) -> Result<Committed, Refused> {
    Held::new(workload).take_whole(answer)
}

/// Why a stream is given up. What holds goes on holding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The replica is behind.
    #[error(
        "this control plane replica is at revision {offered}, behind {held} which this proxy has seen; \
         trying another one"
    )]
    Backwards {
        /// Seen before.
        held: u64,
        /// Seen now.
        offered: u64,
    },
    /// A transaction without end.
    #[error(
        "a transaction of more than {MAX_CHANGES} changes or {MAX_BYTES} bytes: this is not a control plane"
    )]
    TooLarge,
}

/// The most that one transaction may change.
const MAX_CHANGES: usize = 200_000;
/// The most bytes of one transaction.
const MAX_BYTES: usize = 256 << 20;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
