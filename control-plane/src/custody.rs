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
use tokio::sync::watch;
use weft_certs::authority::{Authority, Serial};
use weft_certs::bundle::{DenyList, RootHash, TrustBundle, TrustBundles, TrustStore};
use weft_certs::rotation::{LiveProxy, Phase, RootRotation};
use weft_certs::tls::Tls;
use weft_policy::identity::{SpiffeId, TrustDomain};
use weft_proto::v1;

mod error;
mod files;
mod opening;
mod order;
mod place;
mod serving;

pub use error::CustodyError;
pub use order::{Denial, RotationStep, UnknownStep};
use serving::Serving;

use crate::journal::record::{Change, Denied};
use crate::journal::state::State;
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

struct Held {
    rotation: RootRotation,
    /// While a rotation is active: the authority that signed before. It goes on signing the control plane's own
    /// leaf, so that a proxy which missed the change can still connect and hear of it.
    before: Option<Arc<Authority>>,
    serving: Serving,
}

impl Custody {
    /// Opens the state directory at `dir` for `domain`.
    ///
    /// # Errors
    /// [`CustodyError`]; each says what to do. Nothing is ever minted to get around a missing part.
    pub fn open(dir: &Path, init: Init, domain: &TrustDomain, now: SystemTime) -> Result<Self, CustodyError> {
        let (disk, lock) = place::claim(dir, init)?;
        Self::open_on(Arc::new(disk), Some(lock), init, domain, now)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        lock: Option<File>,
        init: Init,
        domain: &TrustDomain,
        now: SystemTime,
    ) -> Result<Self, CustodyError> {
        let opening::Opened { ledger, rotation, before, epoch } = opening::open(&disk, init, domain, now)?;
        let bundle = rotation.bundle(ledger.read(deny_list)).map_err(CustodyError::Bundle)?;
        let trust = Arc::new(TrustStore::new(TrustBundles::default().with(bundle.clone())));
        let tls = Tls::new(Arc::clone(&trust));
        let serving = Serving::issue(before.as_ref().unwrap_or(rotation.signer()), now)?;
        Ok(Self {
            disk,
            ledger: Arc::new(ledger),
            domain: domain.clone(),
            epoch,
            signer: ArcSwap::new(Arc::clone(rotation.signer())),
            server: ArcSwap::new(serving.config(&tls)),
            trust,
            tls,
            published: watch::Sender::new(Arc::new(bundle)),
            held: Mutex::new(Held { rotation, before, serving }),
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
        let held = self.held();
        RootHash::of(held.before.as_ref().unwrap_or(held.rotation.signer()).root())
    }

    /// What falls due with time: a new intermediate at half of its life, a new leaf of our own. Once a minute is
    /// often enough. It waits for the disk.
    ///
    /// # Errors
    /// What failed; everything goes on as it was, and the next call tries again.
    pub fn tick(&self, now: SystemTime) -> Result<(), CustodyError> {
        let mut held = self.held();
        if let Some(rotation) = held.rotation.renew_intermediate(now).map_err(CustodyError::Authority)? {
            files::store_intermediate(&*self.disk, rotation.signer())?;
            tracing::info!(authority = ?rotation.signer(), "the intermediate was renewed");
            self.signer.store(Arc::clone(rotation.signer()));
            held.rotation = rotation;
        }
        if held.serving.is_due(now) {
            self.serve_anew(&mut held, now)?;
        }
        Ok(())
    }

    /// Takes a step of a root rotation. `live` is every proxy that has a stream, with the sequence number of the
    /// bundle it has acknowledged. It waits for the disk.
    ///
    /// # Errors
    /// [`CustodyError::Rotation`] if the step may not be taken (yet), otherwise what failed. Nothing has changed
    /// then.
    pub fn rotate(
        &self,
        step: RotationStep,
        live: &[LiveProxy<'_>],
        now: SystemTime,
    ) -> Result<Phase, CustodyError> {
        let mut held = self.held();
        let signed_before = Arc::clone(held.rotation.signer());
        let next = match step {
            RotationStep::Prepare => held.rotation.prepare(now)?,
            RotationStep::Activate => held.rotation.activate(live.iter().copied(), now)?,
            RotationStep::Retire => held.rotation.retire(now)?,
            RotationStep::Abort => held.rotation.abort()?,
        };
        let before = match step {
            RotationStep::Prepare => {
                files::store_next(&*self.disk, &next)?;
                None
            }
            RotationStep::Activate => Some(signed_before),
            RotationStep::Retire | RotationStep::Abort => None,
        };
        let unused = files::unused_after(&held.rotation, &next);
        self.put_into_effect(&mut held, next, Vec::new(), now)?;
        held.before = before;
        // The rotation holds already; should this fail, the old leaf serves until the next tick.
        if let Err(error) = self.serve_anew(&mut held, now) {
            tracing::error!(%error, "no new leaf for the control plane yet");
        }
        for root in unused {
            files::remove(&*self.disk, &root);
        }
        let phase = held.rotation.phase();
        tracing::info!(%step, %phase, sequence = held.rotation.sequence(), "the root rotation took a step");
        Ok(phase)
    }

    /// Where the root rotation stands, and the names of those of `live` that hold up its activation.
    #[must_use]
    pub fn rotation_status(&self, live: &[LiveProxy<'_>]) -> (Phase, Vec<String>) {
        let phase = self.held().rotation.phase();
        let published = self.ledger.read(|state| state.trust.as_ref().map_or(0, |trust| trust.published));
        let lags = |proxy: &&LiveProxy<'_>| proxy.acknowledged.is_none_or(|sequence| sequence < published);
        let waiting_for = match phase {
            Phase::Prepared => live.iter().filter(lags).map(|proxy| proxy.name.to_owned()).collect(),
            Phase::Stable | Phase::Active => Vec::new(),
        };
        (phase, waiting_for)
    }

    /// The roots that are trusted, for `meshctl status`: which, until when, and what each is for.
    #[must_use]
    pub fn roots(&self) -> Vec<v1::TrustRoot> {
        let held = self.held();
        let signer = held.rotation.signer();
        let signing = RootHash::of(signer.root());
        let until = |root: RootHash| {
            [Some(signer), held.before.as_ref()]
                .into_iter()
                .flatten()
                .find(|authority| RootHash::of(authority.root()) == root)
                .map_or(0, |authority| unix(authority.root_not_after()))
        };
        let other = match held.rotation.phase() {
            Phase::Stable | Phase::Prepared => "next",
            Phase::Active => "old",
        };
        let line = |root: RootHash| v1::TrustRoot {
            sha256: root.to_string(),
            not_after_unix: until(root),
            phase: if root == signing { "signing" } else { other }.to_owned(),
        };
        self.bundle().roots().iter().map(|root| line(RootHash::of(root))).collect()
    }

    /// Refuses somebody from now on, whatever their certificate says. It waits for the disk.
    ///
    /// # Errors
    /// [`CustodyError::CannotDeny`] for the control plane and for strangers, otherwise what failed.
    pub fn deny(&self, denial: &Denial, now: SystemTime) -> Result<(), CustodyError> {
        if let Denial::Identity(id) = denial
            && (id.is_control_plane() || id.trust_domain() != self.domain.as_str())
        {
            return Err(CustodyError::CannotDeny { identity: id.clone() });
        }
        let record = denial.record();
        let (already, full) =
            self.ledger.read(|state| (state.denied.contains(&record), state.denied.len() >= MAX_DENIED));
        if already {
            return Ok(());
        }
        if full {
            return Err(CustodyError::TooManyDenied { limit: MAX_DENIED });
        }
        self.republish(Change::Denied(record), now)?;
        tracing::warn!(?denial, "denied");
        Ok(())
    }

    /// Takes a denial back.
    ///
    /// # Errors
    /// What failed; the denial holds then.
    pub fn allow(&self, denial: &Denial, now: SystemTime) -> Result<(), CustodyError> {
        self.republish(Change::Allowed(denial.record()), now)?;
        tracing::warn!(?denial, "no longer denied");
        Ok(())
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

    fn republish(&self, change: Change, now: SystemTime) -> Result<(), CustodyError> {
        let mut held = self.held();
        let next = held.rotation.republished();
        self.put_into_effect(&mut held, next, vec![change], now)
    }

    /// Journals a step together with `changes`, then lets everybody see it.
    fn put_into_effect(
        &self,
        held: &mut Held,
        next: RootRotation,
        mut changes: Vec<Change>,
        now: SystemTime,
    ) -> Result<(), CustodyError> {
        let next = if next.sequence() == held.rotation.sequence() { next } else { self.dated(&next, now)? };
        changes.push(Change::Trust(files::record_of(&next, &self.domain)));
        // Checked before it is written: what is written has to load again.
        let bundle = next.bundle(self.ledger.read(deny_list)).map_err(CustodyError::Bundle)?;
        drop(bundle);
        self.ledger.commit(|_| Ok::<_, CustodyError>((changes, ())))?;
        let bundle = next.bundle(self.ledger.read(deny_list)).map_err(CustodyError::Bundle)?;
        self.signer.store(Arc::clone(next.signer()));
        held.rotation = next;
        if let Err(stale) = self.trust.update(&bundle) {
            tracing::error!(%stale, "a defect: the bundle's sequence went backwards");
        }
        self.published.send_replace(Arc::new(bundle));
        Ok(())
    }

    /// The same with a sequence number that is at least the time of day: a state directory restored from a
    /// backup then still goes on above what proxies have seen.
    fn dated(&self, rotation: &RootRotation, now: SystemTime) -> Result<RootRotation, CustodyError> {
        let mut pem = rotation.to_pem();
        let sequence = pem.sequence.max(unix(now));
        if let weft_certs::rotation::RotationStepPem::Prepared { published, .. } = &mut pem.step
            && *published == pem.sequence
        {
            *published = sequence;
        }
        pem.sequence = sequence;
        RootRotation::from_pem(&self.domain, &pem).map_err(CustodyError::Ca)
    }

    fn serve_anew(&self, held: &mut Held, now: SystemTime) -> Result<(), CustodyError> {
        held.serving = Serving::issue(held.before.as_ref().unwrap_or(held.rotation.signer()), now)?;
        self.server.store(held.serving.config(&self.tls));
        Ok(())
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

/// A bundle as it crosses the wire: lists sorted, so that equal bundles are equal bytes.
#[must_use]
pub fn trust_on_the_wire(bundle: &TrustBundle) -> v1::Trust {
    let mut anchor_der: Vec<Vec<u8>> = bundle.roots().iter().map(|root| root.to_vec()).collect();
    anchor_der.sort_unstable();
    v1::Trust {
        trust_domain: bundle.domain().to_string(),
        sequence: bundle.sequence(),
        anchor_der,
        denied_serial: bundle.denied().serials.iter().map(|serial| serial.as_bytes().to_vec()).collect(),
        denied_identity: bundle.denied().identities.iter().map(ToString::to_string).collect(),
    }
}

/// What was recorded was valid; should a later rule find fault with an identity, its denial has no object left.
fn deny_list(state: &State) -> DenyList {
    let mut list = DenyList::default();
    for Denied { identity, serial } in &state.denied {
        if !serial.is_empty() {
            list.serials.insert(Serial::from_bytes(serial));
        }
        list.identities.extend(identity.parse::<SpiffeId>());
    }
    list
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
