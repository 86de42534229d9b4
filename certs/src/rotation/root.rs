//! Replaces the root while everybody keeps talking: publish before use, use before removal.
//!
//! ```text
//!  Stable ──prepare──▶ Prepared ──activate──▶ Active ──retire──▶ Stable (with the next root)
//!                         │ abort
//!                         └──────▶ Stable (as before)
//! ```
//!
//! - *Prepared*: a next root exists and is in the bundle; the old one still signs.
//! - *Active*: the next one signs; the old one stays in the bundle for the leaves that it signed.
//! - *Retired*: the old root leaves the bundle, and the rotation is over.
//!
//! The next root signs only when all live proxies have acknowledged a bundle that holds it, and the old one
//! leaves only when every leaf it signed has expired. A proxy that was away all that time enrols again.
//!
//! A value never changes: each step gives a new one, which the control plane writes down before it acts on
//! it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use weft_policy::identity::TrustDomain;

use crate::authority::{Authority, AuthorityError, AuthorityPem, Lifetime, certificate_pem};
use crate::bundle::{BadBundle, DenyList, TrustBundle};

/// The authority of a trust domain and where the replacement of its root has got to.
#[derive(Clone, Debug)]
pub struct RootRotation {
    /// Signs.
    signer: Arc<Authority>,
    step: Step,
    /// The sequence number of the bundle of the moment.
    sequence: u64,
}

/// The name of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// One root; no rotation under way.
    Stable,
    /// The next root is published and does not sign.
    Prepared,
    /// The next root signs; the old one is still trusted.
    Active,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stable => "stable",
            Self::Prepared => "prepared",
            Self::Active => "active",
        })
    }
}

/// A proxy that has a stream to a control plane right now.
#[derive(Clone, Copy, Debug)]
pub struct LiveProxy<'p> {
    /// Its name, for the operator.
    pub name: &'p str,
    /// The sequence number of the newest bundle that it has acknowledged.
    pub acknowledged: Option<u64>,
}

impl RootRotation {
    /// No rotation under way. `sequence` is that of the bundle of the moment; 1 for a new authority.
    #[must_use]
    pub fn stable(signer: Authority, sequence: u64) -> Self {
        Self { signer: Arc::new(signer), step: Step::Stable, sequence }
    }

    /// The authority that signs leaves now.
    #[must_use]
    pub fn signer(&self) -> &Arc<Authority> {
        &self.signer
    }

    /// Where the rotation has got to.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.step {
            Step::Stable => Phase::Stable,
            Step::Prepared { .. } => Phase::Prepared,
            Step::Active { .. } => Phase::Active,
        }
    }

    /// The sequence number of the bundle of the moment.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What proxies are told to trust now: the root that signs, then the other one, if any.
    ///
    /// # Errors
    /// [`BadBundle`] if a root that was loaded cannot be one.
    pub fn bundle(&self, denied: DenyList) -> Result<TrustBundle, BadBundle> {
        let other = match &self.step {
            Step::Stable => None,
            Step::Prepared { next, .. } => Some(next.root().clone()),
            Step::Active { old_root, .. } => Some(old_root.clone()),
        };
        let roots = std::iter::once(self.signer.root().clone()).chain(other);
        TrustBundle::new(self.signer.domain().clone(), self.sequence, roots, denied)
    }

    /// The same with the next sequence number, for when the deny list has changed.
    #[must_use]
    pub fn republished(&self) -> Self {
        Self { sequence: self.sequence.saturating_add(1), ..self.clone() }
    }

    /// Mints the next root and publishes it.
    ///
    /// # Errors
    /// [`RotationRefused::WrongPhase`] unless stable, [`RotationRefused::Authority`] if minting fails.
    pub fn prepare(&self, now: SystemTime) -> Result<Self, RotationRefused> {
        let Step::Stable = &self.step else { return Err(self.wrong_phase("prepare", "stable")) };
        let next = Arc::new(Authority::mint(self.signer.domain(), now)?);
        let published = self.sequence.saturating_add(1);
        Ok(Self {
            signer: Arc::clone(&self.signer),
            step: Step::Prepared { next, published },
            sequence: published,
        })
    }

    /// Forgets the next root. Nothing was signed with it.
    ///
    /// # Errors
    /// [`RotationRefused::WrongPhase`] unless prepared: once the next root signs, the way is forward.
    pub fn abort(&self) -> Result<Self, RotationRefused> {
        let Step::Prepared { .. } = &self.step else { return Err(self.wrong_phase("abort", "prepared")) };
        Ok(Self {
            signer: Arc::clone(&self.signer),
            step: Step::Stable,
            sequence: self.sequence.saturating_add(1),
        })
    }

    /// Signs with the next root from now on. `live` is every proxy that has a stream to any replica.
    ///
    /// # Errors
    /// [`RotationRefused::WrongPhase`] unless prepared, [`RotationRefused::NotAcknowledged`] while a live
    /// proxy does not trust the next root yet: it would refuse the very leaves that its peers are about to
    /// get.
    pub fn activate<'p>(
        &self,
        live: impl IntoIterator<Item = LiveProxy<'p>>,
        now: SystemTime,
    ) -> Result<Self, RotationRefused> {
        let Step::Prepared { next, published } = &self.step else {
            return Err(self.wrong_phase("activate", "prepared"));
        };
        let lags = |proxy: &LiveProxy<'_>| proxy.acknowledged.is_none_or(|sequence| sequence < *published);
        let (mut laggards, mut named) = (0, Vec::new());
        for proxy in live.into_iter().filter(lags) {
            laggards += 1;
            if named.len() < NAMED_LAGGARDS {
                named.push(proxy.name.to_owned());
            }
        }
        if laggards > 0 {
            return Err(RotationRefused::NotAcknowledged { sequence: *published, laggards, named });
        }
        Ok(Self {
            signer: Arc::clone(next),
            step: Step::Active { old_root: self.signer.root().clone(), since: now },
            sequence: self.sequence,
        })
    }

    /// Removes the old root from the bundle.
    ///
    /// # Errors
    /// [`RotationRefused::WrongPhase`] unless active, [`RotationRefused::TooEarly`] while a leaf of the old
    /// root may live.
    pub fn retire(&self, now: SystemTime) -> Result<Self, RotationRefused> {
        let Some(earliest) = self.retire_from() else { return Err(self.wrong_phase("retire", "active")) };
        if let Ok(wait) = earliest.duration_since(now)
            && !wait.is_zero()
        {
            return Err(RotationRefused::TooEarly { wait });
        }
        Ok(Self {
            signer: Arc::clone(&self.signer),
            step: Step::Stable,
            sequence: self.sequence.saturating_add(1),
        })
    }

    /// From when the old root may be [retired](Self::retire). `None` unless active.
    #[must_use]
    pub fn retire_from(&self) -> Option<SystemTime> {
        match self.step {
            Step::Active { since, .. } => Some(since + Lifetime::MAX + CLOCK_SKEW),
            Step::Stable | Step::Prepared { .. } => None,
        }
    }

    /// This with a new intermediate for whoever signs, if the present one is due. The bundle stays the same.
    ///
    /// # Errors
    /// As [`Authority::renew_intermediate`].
    pub fn renew_intermediate(&self, now: SystemTime) -> Result<Option<Self>, AuthorityError> {
        let renewed = self.signer.renew_intermediate(now)?;
        Ok(renewed.map(|signer| Self { signer: Arc::new(signer), ..self.clone() }))
    }

    /// Everything that [`from_pem`](Self::from_pem) needs. It holds keys: keep it as secret as they are.
    #[must_use]
    pub fn to_pem(&self) -> RotationPem {
        let step = match &self.step {
            Step::Stable => RotationStepPem::Stable,
            Step::Prepared { next, published } => {
                RotationStepPem::Prepared { next: next.to_pem(), published: *published }
            }
            Step::Active { old_root, since } => RotationStepPem::Active {
                old_root: certificate_pem(old_root),
                since_seconds: since
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .map_or(0, |since| since.as_secs()),
            },
        };
        RotationPem { signer: self.signer.to_pem(), sequence: self.sequence, step }
    }

    /// The rotation of `domain` that was kept as `pem`.
    ///
    /// # Errors
    /// [`BadRotation`] if a part is missing or the parts do not belong together.
    pub fn from_pem(domain: &TrustDomain, pem: &RotationPem) -> Result<Self, BadRotation> {
        let signer = Authority::from_pem(domain, &pem.signer).map_err(BadRotation::Signer)?;
        let step = match &pem.step {
            RotationStepPem::Stable => Step::Stable,
            RotationStepPem::Prepared { next, published } => Step::Prepared {
                next: Arc::new(Authority::from_pem(domain, next).map_err(BadRotation::Next)?),
                published: *published,
            },
            RotationStepPem::Active { old_root, since_seconds } => Step::Active {
                old_root: CertificateDer::from_pem_slice(old_root.as_bytes())
                    .map_err(|error| BadRotation::OldRoot(error.to_string()))?,
                since: SystemTime::UNIX_EPOCH
                    .checked_add(Duration::from_secs(*since_seconds))
                    .filter(|_| *since_seconds <= LAST_SECOND)
                    .ok_or(BadRotation::Since)?,
            },
        };
        let rotation = Self { signer: Arc::new(signer), step, sequence: pem.sequence };
        rotation.bundle(DenyList::default()).map_err(BadRotation::Bundle)?;
        Ok(rotation)
    }

    fn wrong_phase(&self, wanted: &'static str, needed: &'static str) -> RotationRefused {
        RotationRefused::WrongPhase { wanted, needed, phase: self.phase() }
    }
}

/// A [`RootRotation`] as text and numbers, for the control plane to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationPem {
    /// Who signs.
    pub signer: AuthorityPem,
    /// The sequence number of the bundle of the moment.
    pub sequence: u64,
    /// Where the rotation has got to.
    pub step: RotationStepPem,
}

/// What a step keeps besides the signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationStepPem {
    /// Nothing.
    Stable,
    /// The next authority, and the sequence number of the first bundle with its root.
    Prepared {
        /// The next authority.
        next: AuthorityPem,
        /// The first bundle that holds its root.
        published: u64,
    },
    /// The certificate of the old root (its key is gone), and since when the new one signs.
    Active {
        /// The old root's certificate.
        old_root: String,
        /// Seconds since 1970.
        since_seconds: u64,
    },
}

/// Why the rotation does not take a step.
#[derive(Debug, thiserror::Error)]
pub enum RotationRefused {
    /// The step does not follow from where the rotation is.
    #[error("cannot {wanted} the root: the rotation is {phase} and would have to be {needed}")]
    WrongPhase {
        /// The step asked for.
        wanted: &'static str,
        /// The phase it needs.
        needed: &'static str,
        /// The phase it is in.
        phase: Phase,
    },
    /// Some live proxy does not trust the next root yet.
    #[error(
        "{laggards} live proxies have not acknowledged bundle {sequence}, which holds the next root \
         (among them {}); wait for them, or stop them", named.join(", ")
    )]
    NotAcknowledged {
        /// The bundle to acknowledge.
        sequence: u64,
        /// How many have not.
        laggards: usize,
        /// The first few of them.
        named: Vec<String>,
    },
    /// Leaves of the old root may still be alive.
    #[error("leaves of the old root may live for another {} s; retire it then", wait.as_secs() + 1)]
    TooEarly {
        /// How much longer.
        wait: Duration,
    },
    /// No next root.
    #[error("the next root could not be made")]
    Authority(#[from] AuthorityError),
}

/// Why there is no rotation in what was kept.
#[derive(Debug, thiserror::Error)]
pub enum BadRotation {
    /// The authority that signs.
    #[error("the authority that signs cannot be loaded")]
    Signer(#[source] AuthorityError),
    /// The next authority.
    #[error("the next authority of the root rotation cannot be loaded")]
    Next(#[source] AuthorityError),
    /// The old root's certificate.
    #[error("the old root's certificate is not readable PEM ({0}); restore it from a backup")]
    OldRoot(String),
    /// Since when the new root signs.
    #[error("the time since which the new root signs makes no sense; restore the record from a backup")]
    Since,
    /// The roots make no bundle.
    #[error("the roots of the rotation make no trust bundle")]
    Bundle(#[source] BadBundle),
}

#[derive(Clone, Debug)]
enum Step {
    Stable,
    Prepared {
        next: Arc<Authority>,
        /// The first bundle that holds the next root.
        published: u64,
    },
    Active {
        old_root: CertificateDer<'static>,
        since: SystemTime,
    },
}

/// How far a proxy's clock may be behind ours when it judges the last leaf of the old root.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
const NAMED_LAGGARDS: usize = 5;
/// 9999-12-31, the last date of X.509.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests;
