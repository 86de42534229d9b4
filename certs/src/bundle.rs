//! Whom we trust: for each trust domain its own roots, and who of that domain is denied all the same.
//!
//! A peer is judged by the roots of the domain that it claims, never by the union of all: otherwise any
//! federated domain could mint our identities (SPIFFE X509-SVID §5; rcgen cannot write URI name constraints
//! and webpki refuses them, so nothing else would keep domains apart). A domain that we have no bundle for,
//! or whose bundle is empty, has no trusted peers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use weft_policy::identity::{SpiffeId, TrustDomain};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::authority::{Serial, certificate_pem};
use crate::verify::judged::Judged;

/// The roots of one trust domain and its deny list.
#[derive(Clone)]
pub struct TrustBundle {
    domain: TrustDomain,
    sequence: u64,
    roots: Vec<CertificateDer<'static>>,
    /// The same roots, in the same order, as webpki reads them.
    anchors: Vec<TrustAnchor<'static>>,
    /// How many CAs each of them allows below itself, in the same order.
    depths: Vec<Option<u32>>,
    denied: DenyList,
}

impl TrustBundle {
    /// More roots than any rotation needs; a bundle beyond it is a mistake.
    pub const MAX_ROOTS: usize = 32;

    /// A bundle of these roots. None at all is allowed, and distrusts the whole domain.
    ///
    /// `sequence` grows with every change of the bundle (SPIFFE Trust Domain and Bundle §4.1).
    ///
    /// # Errors
    /// [`BadBundle`] if a root is not a certificate of a CA, or there are too many.
    pub fn new(
        domain: TrustDomain,
        sequence: u64,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
        denied: DenyList,
    ) -> Result<Self, BadBundle> {
        let (roots_so_far, anchors, depths) = (Vec::new(), Vec::new(), Vec::new());
        let mut bundle = Self { domain, sequence, roots: roots_so_far, anchors, depths, denied };
        for (index, root) in roots.into_iter().enumerate() {
            if bundle.roots.contains(&root) {
                continue;
            }
            if bundle.roots.len() >= Self::MAX_ROOTS {
                return Err(BadBundle::TooMany);
            }
            let (anchor, depth) = anchor(&root).ok_or(BadBundle::NotACa { index })?;
            bundle.anchors.push(anchor);
            bundle.depths.push(depth);
            bundle.roots.push(root);
        }
        Ok(bundle)
    }

    /// A bundle of the certificates in `pem`.
    ///
    /// # Errors
    /// [`BadBundle::Pem`] if a block is damaged, otherwise as [`new`](Self::new).
    pub fn from_pem(
        domain: TrustDomain,
        sequence: u64,
        pem: &str,
        denied: DenyList,
    ) -> Result<Self, BadBundle> {
        let roots: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| BadBundle::Pem(error.to_string()))?;
        Self::new(domain, sequence, roots, denied)
    }

    /// The roots as PEM, in their order.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.roots.iter().map(certificate_pem).collect()
    }

    /// Whose roots these are.
    #[must_use]
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// Which version of the bundle this is.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The roots, in DER.
    #[must_use]
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// Who is denied although their certificates are good.
    #[must_use]
    pub fn denied(&self) -> &DenyList {
        &self.denied
    }

    /// The anchors and depths follow from the roots.
    fn says_the_same_as(&self, other: &Self) -> bool {
        let Self { domain, sequence, roots, anchors: _, depths: _, denied } = self;
        domain.as_str() == other.domain.as_str()
            && (*sequence, roots, denied) == (other.sequence, &other.roots, &other.denied)
    }

    /// The roots, and how many CAs each of them allows below itself.
    pub(crate) fn anchors(&self) -> (&[TrustAnchor<'static>], &[Option<u32>]) {
        (&self.anchors, &self.depths)
    }
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustBundle")
            .field("domain", &self.domain.as_str())
            .field("sequence", &self.sequence)
            .field("roots", &self.roots.iter().map(RootHash::of).collect::<Vec<_>>())
            .field("denied", &self.denied)
            .finish()
    }
}

/// Certificates and identities that are refused before they expire. It belongs to one trust domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DenyList {
    /// Serial numbers, of leaves or of intermediates.
    pub serials: BTreeSet<Serial>,
    /// Everybody who proves to be one of these.
    pub identities: BTreeSet<SpiffeId>,
}

/// The bundles of every trust domain that we know: one immutable value, which remembers whom it has accepted.
#[derive(Clone, Debug, Default)]
pub struct TrustBundles {
    by_domain: BTreeMap<Box<str>, Arc<TrustBundle>>,
    /// Of this value only: a clone, which is what changes are made to, starts without.
    judged: Judged,
}

impl TrustBundles {
    /// These bundles, with `bundle` in place of its domain's earlier one.
    #[must_use]
    pub fn with(self, bundle: TrustBundle) -> Self {
        let mut by_domain = self.by_domain;
        by_domain.insert(bundle.domain.as_str().into(), Arc::new(bundle));
        Self { by_domain, judged: Judged::default() }
    }

    /// These bundles without that of `domain`: its peers are strangers from now on.
    #[must_use]
    pub fn without(self, domain: &TrustDomain) -> Self {
        let mut by_domain = self.by_domain;
        by_domain.remove(domain.as_str());
        Self { by_domain, judged: Judged::default() }
    }

    /// The bundle of the trust domain of that name.
    #[must_use]
    pub fn of(&self, domain: &str) -> Option<&Arc<TrustBundle>> {
        self.by_domain.get(domain)
    }

    /// All bundles, ordered by domain.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TrustBundle>> {
        self.by_domain.values()
    }

    /// Whom this value has accepted so far.
    pub(crate) fn judged(&self) -> &Judged {
        &self.judged
    }
}

impl FromIterator<TrustBundle> for TrustBundles {
    fn from_iter<I: IntoIterator<Item = TrustBundle>>(bundles: I) -> Self {
        bundles.into_iter().fold(Self::default(), Self::with)
    }
}

/// Where verifiers read the bundles of the moment. A change is seen by the next handshake; connections that
/// are open are the owner's to check again ([`verify_peer`](crate::verify::verify_peer)).
///
/// Everything that was concluded from one value ends with it: what it has accepted, and the sessions that may be resumed
/// under it. So the same bundle said once more puts nothing new in place.
#[derive(Debug, Default)]
pub struct TrustStore(ArcSwap<TrustBundles>);

impl TrustStore {
    /// A store that trusts what `bundles` say.
    #[must_use]
    pub fn new(bundles: TrustBundles) -> Self {
        Self(ArcSwap::from_pointee(bundles))
    }

    /// The bundles of the moment.
    #[must_use]
    pub fn current(&self) -> Arc<TrustBundles> {
        self.0.load_full()
    }

    /// Puts all bundles in place of the earlier ones.
    pub fn replace(&self, bundles: TrustBundles) {
        self.0.store(Arc::new(bundles));
    }

    /// Whether these are still the bundles of the moment: that very value, not one that is equal to it.
    pub(crate) fn is_current(&self, bundles: &Arc<TrustBundles>) -> bool {
        Arc::ptr_eq(&self.0.load(), bundles)
    }

    /// Puts one bundle in place of its domain's earlier one, unless it is older: a late message must not
    /// bring a retired root back.
    ///
    /// # Errors
    /// [`StaleBundle`] if it is older; nothing has changed then.
    pub fn update(&self, bundle: &TrustBundle) -> Result<(), StaleBundle> {
        let mut stale = None;
        self.0.rcu(|bundles| {
            let held = bundles.of(bundle.domain.as_str());
            stale = held
                .filter(|held| held.sequence > bundle.sequence)
                .map(|held| StaleBundle { offered: bundle.sequence, held: held.sequence });
            if stale.is_some() || held.is_some_and(|held| held.says_the_same_as(bundle)) {
                Arc::clone(bundles)
            } else {
                Arc::new(TrustBundles::clone(bundles).with(bundle.clone()))
            }
        });
        stale.map_or(Ok(()), Err)
    }
}

/// SHA-256 of a certificate's DER: what a join token pins. Written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootHash([u8; 32]);

impl RootHash {
    /// The hash of this certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.as_ref());
        Self(digest.as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }

    /// The bytes of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for RootHash {
    /// The hash as a join token carries it.
    fn from(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for RootHash {
    type Err = BadRootHash;

    fn from_str(text: &str) -> Result<Self, BadRootHash> {
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(BadRootHash);
        }
        let mut hash = [0; 32];
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = nibble(*high).zip(nibble(*low)).map(|(high, low)| high << 4 | low).ok_or(BadRootHash)?;
        }
        Ok(Self(hash))
    }
}

/// Why there is no bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBundle {
    /// A damaged block.
    #[error("the trust bundle is not readable PEM ({0})")]
    Pem(String),
    /// Only a CA can be a root.
    #[error("certificate {index} of the trust bundle (counted from 0) is not that of a CA")]
    NotACa {
        /// Which, from 0.
        index: usize,
    },
    /// Over [`TrustBundle::MAX_ROOTS`].
    #[error("the trust bundle has more than {} roots; remove the retired ones", TrustBundle::MAX_ROOTS)]
    TooMany,
}

/// The bundle offered is older than the one held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the offered trust bundle (sequence {offered}) is older than the one in use ({held}); it is ignored")]
pub struct StaleBundle {
    /// Its sequence number.
    pub offered: u64,
    /// Ours.
    pub held: u64,
}

/// The text is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a root's hash is written as 64 hex digits (SHA-256 of the certificate in DER)")]
pub struct BadRootHash;

/// The certificate as a root, if it may be one: a CA, allowed to sign certificates. And how many CAs it allows below
/// itself (RFC 5280 §4.2.1.9): a trust anchor is a name and a key to webpki, and it leaves that to us.
///
/// Its dates are not looked at: what is in the bundle is trusted (RFC 5280 §6.1.1), and no leaf of ours
/// outlives its root.
pub(crate) fn anchor(certificate: &CertificateDer<'_>) -> Option<(TrustAnchor<'static>, Option<u32>)> {
    let (rest, parsed) = X509Certificate::from_der(certificate).ok()?;
    let may_sign = matches!(parsed.key_usage(), Ok(Some(usage)) if usage.value.key_cert_sign());
    if !rest.is_empty() || !parsed.is_ca() || !may_sign {
        return None;
    }
    let depth =
        parsed.basic_constraints().ok()?.and_then(|constraints| constraints.value.path_len_constraint);
    webpki::anchor_from_trusted_cert(certificate).ok().map(|anchor| (anchor.to_owned(), depth))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
