//! Workloads that nobody declared: each registers itself over its own stream, within what its join token permits.
//!
//! The token fixed the workload's namespace, name and identity. Its address, ports, labels, zone and weight are its
//! own to say ([`claim`]); labels select within its namespace, so nobody enters another's Services. What was said
//! is journaled, so that a restarted control plane starts with everybody it knew; who is there and well is not:
//! that is [`roll`]'s, and the first stream tells it anew.
//!
//! Invariant: an endpoint leaves service because its proxy said so, because an operator did, or because it was
//! gone for long while others were not. Never because the control plane was.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use weft_manifests::object::Object;
use weft_manifests::set;
use weft_policy::endpoint::Health;
use weft_policy::identity::SpiffeId;
use weft_policy::moment::Moment;
use weft_policy::object::{Kind, ObjectRef};
use weft_proto::v1;

pub mod claim;
pub mod roll;

pub use claim::BadClaim;
pub use roll::{Patience, Session};

use crate::journal::record::{BadName, Change, Denied, Name, Registered};
use crate::journal::state::State;
use crate::journal::{JournalError, Ledger};
use roll::Roll;

/// Everybody who has registered. All methods but [`changes`](Self::changes) return soon; those that write wait for
/// the disk, and say so.
#[derive(Debug)]
pub struct Registry {
    ledger: Arc<Ledger>,
    roll: Mutex<Roll>,
    /// Held while something is written and then put on the roll, so that both see the same order.
    order: Mutex<()>,
    changed: Mutex<BTreeSet<Name>>,
    wake: Notify,
}

impl Registry {
    /// Everybody whom the ledger knows, unconfirmed since `now`.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, patience: Patience, now: Moment) -> Self {
        let registered: Vec<Registered> = ledger.read(|state| state.registered.values().cloned().collect());
        let changed = registered.iter().map(|registered| registered.workload.clone()).collect();
        let roll = Mutex::new(Roll::restored(registered, patience, now));
        let wake = Notify::new();
        wake.notify_one();
        Self { ledger, roll, order: Mutex::default(), changed: Mutex::new(changed), wake }
    }

    /// A proxy's stream has begun, and it registers its workload. `peer` is who its certificate says it is;
    /// `workload` and `claim` are what its `Hello` says. A later stream for the same workload takes over. It waits
    /// for the disk, if something new was said.
    ///
    /// # Errors
    /// [`RegistrationRefused`]; what was registered before stays.
    pub fn attach(
        &self,
        peer: &SpiffeId,
        workload: &str,
        claim: &v1::Registration,
    ) -> Result<Session, RegistrationRefused> {
        let workload: Name = workload.parse()?;
        let registered = claim::checked(&workload, peer, claim)?;
        let order = self.order();
        self.ledger.commit(|state| {
            permit(state, &registered)?;
            let is_known = state.registered.get(&workload) == Some(&registered);
            let said = (!is_known).then(|| Change::Registered(registered.clone()));
            Ok::<_, RegistrationRefused>((said.into_iter().collect(), ()))
        })?;
        let session = self.roll().attach(registered);
        drop(order);
        self.touch([workload]);
        Ok(session)
    }

    /// As [`attach`](Self::attach), for a stream that says nothing of its workload: it is what it said last. `None` if it
    /// never said anything. It waits for the disk, if it had said that it was going.
    ///
    /// # Errors
    /// [`RegistrationRefused`]; what was registered before stays.
    pub fn attach_as_before(
        &self,
        peer: &SpiffeId,
        workload: &str,
    ) -> Result<Option<Session>, RegistrationRefused> {
        let workload: Name = workload.parse()?;
        let order = self.order();
        let before = self.ledger.commit(|state| {
            let Some(before) = state.registered.get(&workload) else { return Ok((Vec::new(), None)) };
            if before.identity != peer.as_str() {
                return Err(RegistrationRefused::NotPermitted);
            }
            permit(state, before)?;
            let back = Registered { going: false, ..before.clone() };
            let said = before.going.then(|| Change::Registered(back.clone()));
            Ok::<_, RegistrationRefused>((said.into_iter().collect(), Some(back)))
        })?;
        let session = before.map(|before| self.roll().attach(before));
        drop(order);
        self.touch([workload]);
        Ok(session)
    }

    /// Whether a workload is registered, as this identity.
    #[must_use]
    pub fn is_of(&self, workload: &str, id: &SpiffeId) -> bool {
        let Ok(workload) = workload.parse::<Name>() else { return false };
        self.roll().look(&workload).is_some_and(|(said, _)| said.identity == id.as_str())
    }

    /// What a proxy reports of its application and of itself. A workload that is going leaves service at once. It
    /// waits for the disk when it is going.
    pub fn report(&self, session: &Session, report: &v1::Report) {
        let health = match (report.application(), report.phase()) {
            (v1::Health::Unhealthy, _) => Health::Unhealthy,
            (v1::Health::Draining, _) => Health::Draining,
            (v1::Health::Unconfirmed, _) | (_, v1::report::Phase::Starting) => Health::Unconfirmed,
            (v1::Health::Healthy, _) => Health::Healthy,
        };
        if report.phase() == v1::report::Phase::Going {
            let order = self.order();
            let going = self.roll().going(session);
            self.touch([session.workload().clone()]);
            // It is out of service already; written down, it stays out after a restart.
            if let Some(going) = going {
                self.write_or_tell(vec![Change::Registered(going)]);
            }
            drop(order);
        } else if self.roll().application(session, health) {
            self.touch([session.workload().clone()]);
        }
    }

    /// A proxy's stream has ended. A workload that said it was going is gone; any other is unconfirmed. It waits
    /// for the disk if it is gone.
    pub fn detach(&self, session: &Session, now: Moment) {
        let order = self.order();
        let lost = self.roll().detach(session, now);
        if lost == roll::Lost::Gone {
            self.remove(&[session.workload().clone()]);
        }
        drop(order);
        if lost != roll::Lost::WasReplaced {
            self.touch([session.workload().clone()]);
        }
    }

    /// Removes whoever has been gone for too long, and whoever has been denied. Call it every few seconds. It waits
    /// for the disk.
    pub fn tick(&self, now: Moment) {
        let order = self.order();
        let denied: BTreeSet<String> =
            self.ledger.read(|state| state.denied.iter().map(|denied| denied.identity.clone()).collect());
        let mut due = self.roll().due(now);
        due.extend(self.roll().of_identities(&denied));
        for due in due.chunks(REMOVED_AT_ONCE) {
            self.remove(due);
        }
        drop(order);
    }

    /// Forgets a workload altogether: it can neither register nor renew until it has a new token. Says whether there was
    /// anything to forget. It waits for the disk.
    ///
    /// # Errors
    /// If it cannot be written; nothing is forgotten then.
    pub fn forget(&self, workload: &Name) -> Result<bool, JournalError> {
        let order = self.order();
        let gone = [Change::GrantGone(workload.clone()), Change::RegistrationGone(workload.clone())];
        let known = self.ledger.commit(|state| {
            let known = state.grants.contains_key(workload) || state.registered.contains_key(workload);
            Ok::<_, JournalError>((if known { gone.to_vec() } else { Vec::new() }, known))
        })?;
        self.roll().remove(workload);
        drop(order);
        self.touch([workload.clone()]);
        Ok(known)
    }

    /// Waits until somebody's registration or health differs from what was told last, and tells it: an `Upsert` and
    /// a `Health`, or a `Delete`. The first call tells everybody. For one caller; changes in between are merged.
    pub async fn changes(&self) -> Vec<set::Change> {
        loop {
            let changed = std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner));
            if !changed.is_empty() {
                let roll = self.roll();
                return changed.iter().flat_map(|workload| told(&roll, workload)).collect();
            }
            self.wake.notified().await;
        }
    }

    /// How many are registered, and how many of those have no stream: for metrics.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        self.roll().count()
    }

    fn remove(&self, workloads: &[Name]) {
        if workloads.is_empty() {
            return;
        }
        if self.write_or_tell(workloads.iter().cloned().map(Change::RegistrationGone).collect()) {
            let mut roll = self.roll();
            workloads.iter().for_each(|workload| roll.remove(workload));
            drop(roll);
            self.touch(workloads.iter().cloned());
        }
    }

    fn write_or_tell(&self, changes: Vec<Change>) -> bool {
        let written = self.ledger.commit(|_| Ok::<_, JournalError>((changes, ())));
        if let Err(error) = &written {
            tracing::error!(%error, "a change of registrations could not be written yet");
        }
        written.is_ok()
    }

    fn touch(&self, workloads: impl IntoIterator<Item = Name>) {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).extend(workloads);
        self.wake.notify_one();
    }

    /// Nothing that holds these locks can panic halfway through a change.
    fn roll(&self) -> MutexGuard<'_, Roll> {
        self.roll.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a workload is not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationRefused {
    /// Its name.
    #[error(transparent)]
    Name(#[from] BadName),
    /// What it says of itself.
    #[error(transparent)]
    Claim(#[from] BadClaim),
    /// It is somebody else.
    #[error(
        "this certificate may not register that workload: a join token is made for one workload; create one for it \
         with `meshctl token create`"
    )]
    NotPermitted,
    /// It is on the deny list.
    #[error("this identity is denied")]
    Denied,
    /// Everybody's bound.
    #[error("{MAX_REGISTERED} workloads are registered, which is the limit; forget some that are gone")]
    TooMany,
    /// It could not be written down.
    #[error("the control plane cannot record a registration right now; its log says why")]
    Journal(#[from] JournalError),
}

impl RegistrationRefused {
    /// How a stream that is refused for this reason ends.
    #[must_use]
    pub fn code(&self) -> tonic::Code {
        match self {
            Self::Name(_) | Self::Claim(_) => tonic::Code::InvalidArgument,
            Self::NotPermitted | Self::Denied => tonic::Code::PermissionDenied,
            Self::TooMany => tonic::Code::ResourceExhausted,
            Self::Journal(_) => tonic::Code::Unavailable,
        }
    }

    /// A short name, for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Claim(_) => "claim",
            Self::NotPermitted => "not_permitted",
            Self::Denied => "denied",
            Self::TooMany => "too_many",
            Self::Journal(_) => "journal",
        }
    }
}

fn permit(state: &State, registered: &Registered) -> Result<(), RegistrationRefused> {
    let granted = state.grants.get(&registered.workload);
    if granted.is_none_or(|grant| grant.identity != registered.identity) {
        return Err(RegistrationRefused::NotPermitted);
    }
    if state.denied.contains(&Denied { identity: registered.identity.clone(), serial: Vec::new() }) {
        return Err(RegistrationRefused::Denied);
    }
    if state.registered.len() >= MAX_REGISTERED && !state.registered.contains_key(&registered.workload) {
        return Err(RegistrationRefused::TooMany);
    }
    Ok(())
}

fn told(roll: &Roll, workload: &Name) -> [set::Change; 2] {
    let key = ObjectRef::new(Kind::Workload, &workload.namespace, &workload.name);
    let found = roll.look(workload).and_then(|(said, health)| Some((claim::to_workload(said)?, health)));
    let Some((object, health)) = found else {
        return [
            set::Change::Delete(key.clone()),
            set::Change::Health { workload: key, health: Health::Healthy },
        ];
    };
    [set::Change::Upsert(Object::Workload(Arc::new(object))), set::Change::Health { workload: key, health }]
}

const MAX_REGISTERED: usize = 100_000;
/// Keeps an entry well below the largest record.
const REMOVED_AT_ONCE: usize = 64;

#[cfg(test)]
mod tests;
