//! Keeps what the mesh's trust hangs on: the authority's keys, the roots that proxies are told to trust, who is
//! denied, and the journal of all that. Everything else in the state directory can be told again; this cannot.
//!
//! ```text
//! <state>/            0700
//!   lock              held while a control plane runs
//!   epoch             16 random bytes: which state directory this is
//!   journal.000001    what has been decided, see `journal`
//!   ca/<root>-root.pem, -root-key.pem, -intermediate.pem      0600; the root's key may be taken elsewhere
//! ```
//!
//! Invariant: a root is minted by `--init` in a directory that has none, and by an operator's `prepare`; never
//! because something is missing. A directory that has lost its keys looks like an empty one, and a second root
//! would turn every proxy away from its peers.
//!
//! Every step is journaled before it takes effect, and takes effect as one swap that handshakes see next.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;
use weft_certs::authority::Authority;
use weft_certs::bundle::{RootHash, TrustBundle, TrustBundles, TrustStore};
use weft_certs::tls::Tls;
use weft_policy::identity::{SpiffeId, TrustDomain};

mod error;
mod files;
mod opening;
mod order;
mod place;
mod rotate;
mod serving;
mod shared;
mod told;

pub use error::CustodyError;
pub use order::{BadDenial, Denial, RotationStep, UnknownStep};
pub(crate) use place::claim;
use rotate::Held;
pub use shared::{BadKept, Kept, Safe};
use told::deny_list;
pub use told::trust_of;

use crate::journal::record::Change;
use crate::journal::{Disk, Ledger};

/// Whether a root may be minted if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// A directory without a root is an error.
    No,
    /// A directory without a root gets one; a directory with one keeps it.
    Yes,
}

/// The state directory, open.
pub struct Custody {
    disk: Arc<dyn Disk>,
    ledger: Arc<Ledger>,
    domain: TrustDomain,
    epoch: [u8; 16],
    /// What steps are taken on, one at a time.
    held: Mutex<Held>,
    signer: ArcSwap<Authority>,
    server: ArcSwap<ServerConfig>,
    trust: Arc<TrustStore>,
    tls: Tls,
    published: watch::Sender<Arc<TrustBundle>>,
    /// Keeps a second process out; `None` on a simulated disk.
    _lock: Option<File>,
}

impl Custody {
    /// Opens the state directory at `dir` for `domain`.
    ///
    /// # Errors
    /// [`CustodyError`]; each says what to do. Nothing is ever minted to get around a missing part.
    pub fn open(dir: &Path, init: Init, domain: &TrustDomain, now: SystemTime) -> Result<Self, CustodyError> {
        let (disk, lock) = claim(dir, init)?;
        Self::open_on(Arc::new(disk), Some(lock), init, domain, now)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        lock: Option<File>,
        init: Init,
        domain: &TrustDomain,
        now: SystemTime,
    ) -> Result<Self, CustodyError> {
        let opening::Opened { ledger, rotation, other, epoch } = opening::open(&disk, init, domain, now)?;
        let bundle = rotation.bundle(ledger.read(deny_list)).map_err(CustodyError::Bundle)?;
        let trust = Arc::new(TrustStore::new(TrustBundles::default().with(bundle.clone())));
        let tls = Tls::new(Arc::clone(&trust));
        let held = Held::new(rotation, other, now)?;
        Ok(Self {
            disk,
            ledger: Arc::new(ledger),
            domain: domain.clone(),
            epoch,
            signer: ArcSwap::new(Arc::clone(held.rotation.signer())),
            server: ArcSwap::new(held.serving.config(&tls)),
            trust,
            tls,
            published: watch::Sender::new(Arc::new(bundle)),
            held: Mutex::new(held),
            _lock: lock,
        })
    }

    /// The trust domain.
    #[must_use]
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// Which state directory this is: the epoch of every revision that is published from it.
    #[must_use]
    pub fn epoch(&self) -> [u8; 16] {
        self.epoch
    }

    /// The journal, for whoever else has something to remember.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Who signs leaves at the moment.
    #[must_use]
    pub fn signer(&self) -> Arc<Authority> {
        self.signer.load_full()
    }

    /// The TLS configuration for the next connection: our own leaf with its root, clients with a good
    /// certificate or none.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.server.load_full()
    }

    /// What verifiers read. Owners of open connections look at their peers again when
    /// [`trust_changes`](Self::trust_changes) says so.
    #[must_use]
    pub fn trust_store(&self) -> &Arc<TrustStore> {
        &self.trust
    }

    /// The bundle that proxies are told to trust, now and whenever it changes.
    #[must_use]
    pub fn trust_changes(&self) -> watch::Receiver<Arc<TrustBundle>> {
        self.published.subscribe()
    }

    /// The same at this moment.
    #[must_use]
    pub fn bundle(&self) -> Arc<TrustBundle> {
        Arc::clone(&self.published.borrow())
    }

    /// The root that the control plane presents to whoever enrols: what a new join token pins.
    #[must_use]
    pub fn presented_root(&self) -> RootHash {
        self.held().serving.root()
    }

    /// What falls due with time: a new intermediate at half of its life, a new leaf of our own. Once a minute is
    /// often enough. It waits for the disk.
    ///
    /// # Errors
    /// What failed; everything goes on as it was, and the next call tries again.
    pub fn tick(&self, now: SystemTime) -> Result<(), CustodyError> {
        let mut held = self.held();
        // One of them failing does not keep the other from being done.
        let ours = self.ledger.elsewhere().is_none_or(|elsewhere| elsewhere.is_ours());
        let intermediate = if ours { self.renew_intermediate(&mut held, now) } else { Ok(()) };
        let own = if held.serving.is_due(now) { self.serve_anew(&mut held, now) } else { Ok(()) };
        intermediate.and(own)
    }

    /// Refuses somebody from now on, whatever their certificate says. Says whether that is new. It waits for the
    /// disk.
    ///
    /// # Errors
    /// [`CustodyError::CannotDeny`] for the control plane and for strangers, otherwise what failed.
    pub fn deny(&self, denial: &Denial, now: SystemTime) -> Result<bool, CustodyError> {
        if let Denial::Identity(id) = denial
            && (id.is_control_plane() || id.trust_domain() != self.domain.as_str())
        {
            return Err(CustodyError::CannotDeny { identity: id.clone() });
        }
        let record = denial.record();
        let (already, full) =
            self.ledger.read(|state| (state.denied.contains(&record), state.denied.len() >= MAX_DENIED));
        if already {
            return Ok(false);
        }
        if full {
            return Err(CustodyError::TooManyDenied { limit: MAX_DENIED });
        }
        self.republish(Change::Denied(record), now)?;
        tracing::warn!(?denial, "denied");
        Ok(true)
    }

    /// Takes a denial back. Says whether there was one. It waits for the disk.
    ///
    /// # Errors
    /// What failed; the denial holds then.
    pub fn allow(&self, denial: &Denial, now: SystemTime) -> Result<bool, CustodyError> {
        let record = denial.record();
        if !self.ledger.read(|state| state.denied.contains(&record)) {
            return Ok(false);
        }
        self.republish(Change::Allowed(record), now)?;
        tracing::warn!(?denial, "no longer denied");
        Ok(true)
    }

    /// Whether an identity is denied.
    #[must_use]
    pub fn denies(&self, id: &SpiffeId) -> bool {
        self.published.borrow().denied().identities.contains(id)
    }

    /// Sets a range of revisions aside, so that no revision is used twice in this epoch, whatever crashes: those
    /// up to the answer may be published. Call it again before going beyond. It waits for the disk.
    ///
    /// # Errors
    /// If it could not be written; nothing beyond the earlier range may be published then.
    pub fn reserve_revisions(&self, from: u64) -> Result<u64, CustodyError> {
        let until = from.saturating_add(REVISIONS_AT_ONCE);
        self.ledger.commit(|_| Ok((vec![Change::Revisions(until)], until)))
    }

    /// The last revision that an earlier process may have published. The next one is greater.
    #[must_use]
    pub fn last_revision(&self) -> u64 {
        self.ledger.read(|state| state.revisions)
    }

    /// The chain that the control plane presents now: leaf first, the root last.
    #[must_use]
    pub fn presented(&self) -> Vec<CertificateDer<'static>> {
        self.held().serving.chain().to_vec()
    }

    fn republish(&self, change: Change, now: SystemTime) -> Result<(), CustodyError> {
        let mut held = self.held();
        let next = held.rotation.republished();
        self.put_into_effect(&mut held, next, vec![change], now)
    }

    /// A panic leaves the last step that was complete.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Custody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Custody").field("domain", &self.domain.as_str()).finish_non_exhaustive()
    }
}

/// Seconds since 1970; 0 before.
pub(crate) fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Every proxy holds the list: more is a job for a new trust domain.
const MAX_DENIED: usize = 10_000;
/// A write per so many publications.
const REVISIONS_AT_ONCE: u64 = 1000;

#[cfg(test)]
mod tests;
