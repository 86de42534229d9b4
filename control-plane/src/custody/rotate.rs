//! A root rotation, step by step: what `certs` decides, written down and then put into effect.

use std::sync::Arc;
use std::time::SystemTime;

use weft_certs::authority::Authority;
use weft_certs::bundle::RootHash;
use weft_certs::rotation::{LiveProxy, Phase, RootRotation, RotationStepPem};
use weft_proto::v1;

use super::serving::Serving;
use super::told::deny_list;
use super::{Custody, CustodyError, RotationStep, files, unix};
use crate::journal::record::Change;

/// What steps are taken on.
pub(super) struct Held {
    pub(super) rotation: RootRotation,
    /// While prepared: the authority that will sign. While active: the one that signed before.
    pub(super) other: Option<Arc<Authority>>,
    pub(super) serving: Serving,
}

impl Held {
    pub(super) fn new(
        rotation: RootRotation,
        other: Option<Arc<Authority>>,
        now: SystemTime,
    ) -> Result<Self, CustodyError> {
        let serving = serve_as_known(&rotation, other.as_ref(), now)?;
        Ok(Self { rotation, other, serving })
    }
}

impl Custody {
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
        let next = match step {
            RotationStep::Prepare => held.rotation.prepare(now)?,
            RotationStep::Activate => held.rotation.activate(live.iter().copied(), now)?,
            RotationStep::Retire => held.rotation.retire(now)?,
            RotationStep::Abort => held.rotation.abort()?,
        };
        let other = match step {
            RotationStep::Prepare => files::store_next(&*self.disk, &next)?,
            RotationStep::Activate => Some(Arc::clone(held.rotation.signer())),
            RotationStep::Retire | RotationStep::Abort => None,
        };
        let unused = files::unused_after(&held.rotation, &next);
        self.put_into_effect(&mut held, next, Vec::new(), now)?;
        held.other = other;
        // The rotation holds already; should this fail, the old leaf serves until the next tick.
        if let Err(error) = self.serve_anew(&mut held, now) {
            tracing::error!(%error, "no new leaf for the control plane yet");
        }
        let leaves_something = !unused.is_empty();
        for root in unused {
            files::remove(&*self.disk, &root);
        }
        if leaves_something && let Err(error) = self.bring_along(&held) {
            tracing::error!(%error, "the key of a root that is no longer in use is still kept; the next change removes it");
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
            [Some(signer), held.other.as_ref()]
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

    /// Journals a step together with `changes`, then lets everybody see it.
    pub(super) fn put_into_effect(
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
        if let RotationStepPem::Prepared { published, .. } = &mut pem.step
            && *published == pem.sequence
        {
            *published = sequence;
        }
        pem.sequence = sequence;
        RootRotation::from_pem(&self.domain, &pem).map_err(CustodyError::Ca)
    }

    pub(super) fn renew_intermediate(&self, held: &mut Held, now: SystemTime) -> Result<(), CustodyError> {
        let renewed = held.rotation.renew_intermediate(now).map_err(CustodyError::Authority)?;
        let Some(rotation) = renewed else { return Ok(()) };
        files::store_intermediate(&*self.disk, rotation.signer())?;
        self.bring_along(held)?;
        tracing::info!(authority = ?rotation.signer(), "the intermediate was renewed");
        self.signer.store(Arc::clone(rotation.signer()));
        held.rotation = rotation;
        Ok(())
    }

    /// Where the files in use are copies of what is kept elsewhere: brings changes of files alone there.
    fn bring_along(&self, held: &Held) -> Result<(), CustodyError> {
        if self.ledger.elsewhere().is_none() {
            return Ok(());
        }
        let same = Change::Trust(files::record_of(&held.rotation, &self.domain));
        self.ledger.commit(|_| Ok((vec![same], ())))
    }

    pub(super) fn serve_anew(&self, held: &mut Held, now: SystemTime) -> Result<(), CustodyError> {
        held.serving = serve_as_known(&held.rotation, held.other.as_ref(), now)?;
        self.server.store(held.serving.config(&self.tls));
        Ok(())
    }
}

/// The control plane's own leaf. While both roots are trusted it is one of the old root, so that a proxy which
/// missed the change can still connect and hear of it.
fn serve_as_known(
    rotation: &RootRotation,
    other: Option<&Arc<Authority>>,
    now: SystemTime,
) -> Result<Serving, CustodyError> {
    let before = other.filter(|_| rotation.phase() == Phase::Active);
    if let Some(before) = before {
        match Serving::issue(before, now) {
            Ok(serving) => return Ok(serving),
            Err(error) => tracing::warn!(%error, "the old root no longer signs for the control plane itself"),
        }
    }
    Serving::issue(rotation.signer(), now)
}
