//! The mesh's identity in one place for several control planes: the authority's files, where a rotation stands, who is
//! denied. Each of them works on a copy in memory, signs with the same intermediate, and follows what becomes of the
//! place; only the one whose turn it is changes it, and nothing of a change holds before the place has taken it.
//!
//! What a control plane says of itself stays its own: its epoch, and so its revisions, begin with its process. Hashes of
//! contents are the same everywhere, so a proxy that comes over from another replica is told what differs and no more.
//!
//! Invariant: what is followed is the same mesh's, and newer. A place that is lost or overwritten is not believed: the
//! copy goes on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use prost::Message;
use weft_certs::bundle::RootHash;
use weft_policy::identity::TrustDomain;

use super::{Custody, CustodyError, Init, files, opening};
use crate::journal::record::{Change, Entry, Record};
use crate::journal::state::State;
use crate::journal::{Disk, Elsewhere, ElsewhereError, Ledger, Memory};

/// What is kept.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The files of the authorities, by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// A journal's entry: which of them signs, and who is denied.
    pub records: Vec<u8>,
}

/// Where it is kept.
pub trait Safe: Send + Sync + fmt::Debug {
    /// Whether changes may be made by us now.
    fn is_ours(&self) -> bool;

    /// Puts this in place of what it was last seen to hold. It waits for that.
    ///
    /// # Errors
    /// [`ElsewhereError`]; it holds what it held.
    fn put(&self, kept: &Kept) -> Result<(), ElsewhereError>;
}

/// Why what is kept cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKept {
    /// It cannot be read.
    #[error("what is kept of the mesh's identity is damaged, or was written by a newer version: {why}")]
    Damaged {
        /// In which way.
        why: String,
    },
    /// It says less than we know.
    #[error("what is kept (of sequence {kept}) is older than what is in force ({held})")]
    Older {
        /// The bundle's sequence number there.
        kept: u64,
        /// And here.
        held: u64,
    },
    /// Its roots are others.
    #[error(
        "what is kept is the identity of another mesh: no root of it is one that the proxies of this one trust"
    )]
    OtherMesh,
}

impl Kept {
    fn of(disk: &dyn Disk, state: &State) -> Result<Self, CustodyError> {
        let trust = state.trust.iter().cloned().map(Change::Trust);
        let denied = state.denied.iter().cloned().map(Change::Denied);
        let records = trust.chain(denied).map(Record::from).collect();
        Ok(Self { files: files::all(disk)?, records: Entry { records }.encode_to_vec() })
    }

    fn changes(&self) -> Result<Vec<Change>, BadKept> {
        let damaged = |why: String| BadKept::Damaged { why };
        let entry = Entry::decode(self.records.as_slice()).map_err(|error| damaged(error.to_string()))?;
        let change = |record: Record| match record.change {
            Some(change) if is_shared(&change) => Ok(change),
            _ => Err(damaged("it has a record that is not for this place".to_owned())),
        };
        entry.records.into_iter().map(change).collect()
    }
}

/// What is kept is keys: their names are enough.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.files.keys()).finish()
    }
}

impl Custody {
    /// On a copy of what is kept.
    ///
    /// # Errors
    /// [`CustodyError`]; nothing is minted in place of something that is missing.
    pub fn of(kept: &Kept, domain: &TrustDomain, now: SystemTime) -> Result<Self, CustodyError> {
        let disk: Arc<dyn Disk> = Arc::new(Memory::default());
        files::put_all(&*disk, &kept.files)?;
        opening::new_epoch(&*disk)?;
        drop(Ledger::create(Arc::clone(&disk), kept.changes()?)?);
        Self::open_on(disk, None, Init::No, domain, now)
    }

    /// With a new root, for a mesh that has none. Nobody may see it before it is kept.
    ///
    /// # Errors
    /// [`CustodyError`].
    pub fn minted(domain: &TrustDomain, now: SystemTime) -> Result<Self, CustodyError> {
        Self::open_on(Arc::new(Memory::default()), None, Init::Yes, domain, now)
    }

    /// From now on every change of what is shared has to be taken by that place first.
    pub fn keep_in(&self, safe: Arc<dyn Safe>) {
        self.ledger.share(Arc::new(Door { disk: Arc::clone(&self.disk), safe }));
    }

    /// Whether it is shared with other control planes.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.ledger.elsewhere().is_some()
    }

    /// What is to be kept, as it is now.
    ///
    /// # Errors
    /// If the copy cannot be read.
    pub fn kept(&self) -> Result<Kept, CustodyError> {
        let _no_step_is_half_taken = self.held();
        self.ledger.read(|state| Kept::of(&*self.disk, state))
    }

    /// Takes over what another control plane has made of it. Says whether that was anything new.
    ///
    /// # Errors
    /// [`CustodyError`]; everything goes on as it was.
    pub fn follow(&self, kept: &Kept, now: SystemTime) -> Result<bool, CustodyError> {
        let mut held = self.held();
        if self.ledger.read(|state| Kept::of(&*self.disk, state))? == *kept {
            return Ok(false);
        }
        // All of it is tried on the side first: what holds here goes on if it does not.
        let next = Self::of(kept, &self.domain, now)?;
        let (is, was) = (next.bundle(), self.bundle());
        if is.sequence() < was.sequence() {
            return Err(BadKept::Older { kept: is.sequence(), held: was.sequence() }.into());
        }
        let ours: Vec<RootHash> = was.roots().iter().map(|root| RootHash::of(root)).collect();
        if !is.roots().iter().any(|root| ours.contains(&RootHash::of(root))) {
            return Err(BadKept::OtherMesh.into());
        }
        let allowed = {
            let still = next.ledger.read(|state| state.denied.clone());
            self.ledger.read(|state| state.denied.difference(&still).cloned().map(Change::Allowed).collect())
        };
        let changes: Vec<Change> = [allowed, kept.changes()?].concat();
        files::put_all(&*self.disk, &kept.files)?;
        self.ledger.adopt(changes)?;
        let next = next.held.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.signer.store(Arc::clone(next.rotation.signer()));
        self.server.store(next.serving.config(&self.tls));
        *held = next;
        // Who signs comes first among the roots, and that changes without a new sequence number.
        if is.sequence() > was.sequence() || is.roots() != was.roots() {
            if let Err(stale) = self.trust.update(&is) {
                tracing::error!(%stale, "a defect: the bundle's sequence went backwards");
            }
            self.published.send_replace(is);
        }
        Ok(true)
    }
}

/// The way of a ledger's changes to a safe: with them go the files that they speak of.
#[derive(Debug)]
struct Door {
    disk: Arc<dyn Disk>,
    safe: Arc<dyn Safe>,
}

impl Elsewhere for Door {
    fn concerns(&self, change: &Change) -> bool {
        is_shared(change)
    }

    fn is_ours(&self) -> bool {
        self.safe.is_ours()
    }

    fn write(&self, next: &State) -> Result<(), ElsewhereError> {
        let kept =
            Kept::of(&*self.disk, next).map_err(|error| ElsewhereError::Failed { why: error.to_string() })?;
        self.safe.put(&kept)
    }
}

fn is_shared(change: &Change) -> bool {
    matches!(change, Change::Trust(_) | Change::Denied(_) | Change::Allowed(_))
}

#[cfg(test)]
mod tests;
