//! The mesh's authority: a root that signs intermediates, an intermediate that signs leaves.
//!
//! The root (10 years) is needed once a year, so its key may live elsewhere; the intermediate (1 year,
//! renewed at half of it) signs every day. A leaf is built from what the control plane has proven about a
//! caller: of the caller's request only the public key is used ([`csr`](self)).
//!
//! An `Authority` never changes: renewing gives a new one, which the control plane writes down before it uses
//! it. Reading and writing files is the control plane's; this module gives and takes PEM.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use weft_policy::identity::{SpiffeId, TrustDomain};

mod csr;
mod front;
mod lifetime;
mod serial;
mod stored;
mod validity;

pub use csr::MAX_CSR_BYTES;
pub use front::Front;
pub use lifetime::Lifetime;
pub use serial::{BadSerial, NoRandomness, Serial};
pub(crate) use stored::certificate_pem;
pub use stored::{AuthorityError, AuthorityPem};
use validity::{SaneTime, Validity};

/// Signs leaves for one trust domain. Shared between threads by `Arc`; signing takes `&self`.
pub struct Authority {
    domain: TrustDomain,
    root: Ca,
    /// Absent where the root's key is kept offline: then the intermediate cannot be renewed here.
    root_key: Option<Arc<KeyPair>>,
    intermediate: Ca,
    /// The intermediate's name and key, as rcgen wants them.
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The life of a root.
    pub const ROOT_LIFE: Duration = Duration::from_secs(10 * YEAR);
    /// The life of an intermediate; it is renewed at half of it.
    pub const INTERMEDIATE_LIFE: Duration = Duration::from_secs(YEAR);
    /// How far certificates are dated back, for peers whose clocks are slow.
    pub const BACKDATE: Duration = Duration::from_secs(5 * 60);

    /// A new root and its first intermediate.
    ///
    /// # Errors
    /// [`AuthorityError::Clock`] if `now` is absurd, [`AuthorityError::Crypto`] if signing fails.
    pub fn mint(domain: &TrustDomain, now: SystemTime) -> Result<Self, AuthorityError> {
        let now = SaneTime::try_from(now).map_err(|_| AuthorityError::Clock)?;
        let key = KeyPair::generate().map_err(AuthorityError::Crypto)?;
        let validity = Validity::starting(now, Self::ROOT_LIFE);
        // Two CAs below a root are never needed: leaf <- intermediate <- root.
        let params = ca_params(domain, "weft root", BasicConstraints::Constrained(1), validity)?;
        let root = params.self_signed(&key).map_err(AuthorityError::Crypto)?;
        let root = Ca { der: root.der().clone(), validity };
        Self::with_new_intermediate(domain.clone(), root, Arc::new(key), now)
    }

    /// Whether the intermediate has lived half of its life at `now`.
    #[must_use]
    pub fn intermediate_is_due(&self, now: SystemTime) -> bool {
        now >= self.intermediate.validity.middle()
    }

    /// This authority with a new intermediate under the same root, if the present one is
    /// [due](Self::intermediate_is_due). Leaves of the old one stay valid: they carry it in their chains.
    ///
    /// # Errors
    /// [`AuthorityError::NoRootKey`] if the root's key is kept elsewhere, [`AuthorityError::RootExpiring`] if
    /// the root itself must be rotated first.
    pub fn renew_intermediate(&self, now: SystemTime) -> Result<Option<Self>, AuthorityError> {
        if !self.intermediate_is_due(now) {
            return Ok(None);
        }
        let key = self.root_key.clone().ok_or(AuthorityError::NoRootKey)?;
        let now = SaneTime::try_from(now).map_err(|_| AuthorityError::Clock)?;
        Self::with_new_intermediate(self.domain.clone(), self.root.clone(), key, now).map(Some)
    }

    /// A leaf for `identity` and the key in `csr_der`, beginning 5 minutes before `now`.
    ///
    /// The caller has already proven that whoever sent the request *is* `identity`. The leaf never outlives
    /// its issuers.
    ///
    /// # Errors
    /// See [`IssueError`]; [`IssueError::is_callers_fault`] tells a bad request from a trouble of our own.
    /// The reserved identity of the control plane is refused here: see [`issue_control_plane`].
    ///
    /// [`issue_control_plane`]: Self::issue_control_plane
    pub fn issue(
        &self,
        csr_der: &[u8],
        identity: &SpiffeId,
        lifetime: Lifetime,
        now: SystemTime,
    ) -> Result<Issued, IssueError> {
        if identity.as_workload().is_none() {
            return Err(IssueError::NotAWorkload { identity: identity.clone() });
        }
        self.sign(csr_der, identity, lifetime, now)
    }

    /// The control plane's own leaf, with the reserved identity of this trust domain.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub fn issue_control_plane(&self, csr_der: &[u8], now: SystemTime) -> Result<Issued, IssueError> {
        self.sign(csr_der, &SpiffeId::control_plane(&self.domain), Lifetime::Default, now)
    }

    /// The trust domain it signs for.
    #[must_use]
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// The root's certificate, for bundles and for the control plane's own chain.
    #[must_use]
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root.der
    }

    /// When the root expires.
    #[must_use]
    pub fn root_not_after(&self) -> SystemTime {
        self.root.validity.not_after()
    }

    /// When the intermediate expires.
    #[must_use]
    pub fn intermediate_not_after(&self) -> SystemTime {
        self.intermediate.validity.not_after()
    }

    fn with_new_intermediate(
        domain: TrustDomain,
        root: Ca,
        root_key: Arc<KeyPair>,
        now: SaneTime,
    ) -> Result<Self, AuthorityError> {
        let validity = Validity::starting(now, Self::INTERMEDIATE_LIFE).ending_by(root.validity);
        if !validity.lasts(now, Lifetime::MAX) {
            return Err(AuthorityError::RootExpiring);
        }
        let key = KeyPair::generate().map_err(AuthorityError::Crypto)?;
        let params = ca_params(&domain, "weft intermediate", BasicConstraints::Constrained(0), validity)?;
        let signer = Issuer::from_ca_cert_der(&root.der, &*root_key).map_err(AuthorityError::Crypto)?;
        let intermediate = params.signed_by(&key, &signer).map_err(AuthorityError::Crypto)?;
        let intermediate = Ca { der: intermediate.der().clone(), validity };
        let issuer = Issuer::from_ca_cert_der(&intermediate.der, key).map_err(AuthorityError::Crypto)?;
        Ok(Self { domain, root, root_key: Some(root_key), intermediate, issuer })
    }

    fn sign(
        &self,
        csr_der: &[u8],
        identity: &SpiffeId,
        lifetime: Lifetime,
        now: SystemTime,
    ) -> Result<Issued, IssueError> {
        if identity.trust_domain() != self.domain.as_str() {
            return Err(IssueError::OtherTrustDomain {
                identity: identity.clone(),
                domain: self.domain.clone(),
            });
        }
        let now = SaneTime::try_from(now).map_err(|_| IssueError::Clock)?;
        let issuers = self.intermediate.validity.ending_by(self.root.validity);
        if !issuers.lasts(now, Lifetime::MIN) {
            return Err(IssueError::IssuerExpiring { not_after: issuers.not_after() });
        }
        let public_key = csr::public_key(csr_der, identity)?;

        let (granted, held_to_policy) = lifetime.granted();
        let wanted = Validity::starting(now, granted);
        let validity = wanted.ending_by(issuers);
        let serial = Serial::random()?;
        let leaf = leaf_params(identity, &serial, validity)?
            .signed_by(&public_key, &self.issuer)
            .map_err(IssueError::Signing)?;
        Ok(Issued {
            chain_der: vec![leaf.der().to_vec(), self.intermediate.der.to_vec()],
            not_before: validity.not_before(),
            not_after: validity.not_after(),
            renew_after: validity.middle(),
            serial,
            clamped: held_to_policy || validity != wanted,
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("domain", &self.domain.as_str())
            .field("root", &self.root.validity)
            .field("root_key", &if self.root_key.is_some() { "held" } else { "elsewhere" })
            .field("intermediate", &self.intermediate.validity)
            .finish()
    }
}

/// A leaf and what its holder needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Leaf, then intermediate, each in DER. The root is not among them.
    pub chain_der: Vec<Vec<u8>>,
    /// From when the leaf is valid: 5 minutes before it was signed.
    pub not_before: SystemTime,
    /// Until when.
    pub not_after: SystemTime,
    /// Half of the leaf's life; the holder adds its own jitter.
    pub renew_after: SystemTime,
    /// The leaf's serial number, for the audit log and for deny lists.
    pub serial: Serial,
    /// Whether the leaf lives shorter or longer than was asked.
    pub clamped: bool,
}

/// Why there is no leaf.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// Over [`MAX_CSR_BYTES`].
    #[error("the signing request has {bytes} bytes; at most {MAX_CSR_BYTES} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not a PKCS#10 request in DER.
    #[error("the signing request is not PKCS#10 in DER; send what the proxy generates")]
    Malformed,
    /// The request is not signed by the key it carries.
    #[error("the signing request is not signed by its own key: the caller has not proven that it holds it")]
    BadSignature,
    /// RSA, another curve, or a point in an odd form.
    #[error("the signing request's key is none of P-256 (uncompressed), P-384 (uncompressed), Ed25519")]
    KeyType,
    /// The request asks for CA:TRUE or for a usage that only CAs have.
    #[error("the signing request asks for a CA certificate; workloads get leaves only")]
    WantsCa,
    /// The request names somebody else than the caller, or more than the caller.
    #[error("the signing request carries a name other than the one identity that the caller proved")]
    WantsOtherName,
    /// Only workloads have leaves on demand; the control plane's identity is reserved.
    #[error("{identity} is not of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
    NotAWorkload {
        /// Who was asked for.
        identity: SpiffeId,
    },
    /// What a front is to be known by.
    #[error("`{}` is no DNS name; set the name by which the API server calls", name.escape_debug())]
    NotADnsName {
        /// What was given.
        name: String,
    },
    /// This authority signs for one trust domain only.
    #[error("{identity} is outside this authority's trust domain {domain}")]
    OtherTrustDomain {
        /// Who was asked for.
        identity: SpiffeId,
        /// The authority's own.
        domain: TrustDomain,
    },
    /// The intermediate or the root has less than the shortest leaf's life left.
    #[error(
        "the authority's own certificate expires too soon (seconds since 1970: {}); renew the intermediate \
         or rotate the root, then ask again", seconds(*not_after)
    )]
    IssuerExpiring {
        /// When the first of them expires.
        not_after: SystemTime,
    },
    /// The clock is before 2020 or after 2200.
    #[error("the authority's clock is absurd; set it, then ask again")]
    Clock,
    /// The system's random generator failed.
    #[error("no serial number: {0}")]
    NoRandomness(#[from] NoRandomness),
    /// The cryptographic library failed.
    #[error("the authority could not sign")]
    Signing(#[source] rcgen::Error),
}

impl IssueError {
    /// Whether the request is to blame (and asking again in the same way is pointless).
    #[must_use]
    pub fn is_callers_fault(&self) -> bool {
        match self {
            Self::TooLarge { .. }
            | Self::Malformed
            | Self::BadSignature
            | Self::KeyType
            | Self::WantsCa
            | Self::WantsOtherName
            | Self::NotAWorkload { .. }
            | Self::OtherTrustDomain { .. } => true,
            Self::NotADnsName { .. }
            | Self::IssuerExpiring { .. }
            | Self::Clock
            | Self::NoRandomness(_)
            | Self::Signing(_) => false,
        }
    }

    /// A short name for metrics and the audit log.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "csr_too_large",
            Self::Malformed => "csr_malformed",
            Self::BadSignature => "csr_bad_signature",
            Self::KeyType => "csr_key_type",
            Self::WantsCa => "csr_wants_ca",
            Self::WantsOtherName => "csr_wants_other_name",
            Self::NotAWorkload { .. } => "not_a_workload",
            Self::NotADnsName { .. } => "not_a_dns_name",
            Self::OtherTrustDomain { .. } => "other_trust_domain",
            Self::IssuerExpiring { .. } => "issuer_expiring",
            Self::Clock => "clock",
            Self::NoRandomness(_) => "no_randomness",
            Self::Signing(_) => "signing_failed",
        }
    }
}

/// A CA certificate and when it holds.
#[derive(Clone)]
struct Ca {
    der: CertificateDer<'static>,
    validity: Validity,
}

/// SPIFFE X509-SVID §3–4: a signing certificate names its trust domain without a path and may only sign.
fn ca_params(
    domain: &TrustDomain,
    name: &str,
    depth: BasicConstraints,
    validity: Validity,
) -> Result<CertificateParams, AuthorityError> {
    let serial = Serial::random().map_err(AuthorityError::NoRandomness)?;
    let mut params = params(&serial, validity);
    // The serial in the name keeps an old and a new root apart while both are in a bundle.
    params.distinguished_name.push(DnType::CommonName, format!("{name} {serial}"));
    let uri = format!("spiffe://{domain}").try_into().map_err(AuthorityError::Crypto)?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.is_ca = IsCa::Ca(depth);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// SPIFFE X509-SVID §2 and §4: one URI, no subject (which makes the URI critical), may sign handshakes only.
fn leaf_params(
    identity: &SpiffeId,
    serial: &Serial,
    validity: Validity,
) -> Result<CertificateParams, IssueError> {
    let mut params = params(serial, validity);
    let uri = identity.as_str().try_into().map_err(IssueError::Signing)?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// What rcgen would otherwise choose badly: dates from 1975 to 4096, a name of its own, no key identifier and
/// a serial number that follows from the key.
fn params(serial: &Serial, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    params.not_before = validity.not_before().into();
    params.not_after = validity.not_after().into();
    params.use_authority_key_identifier_extension = true;
    params
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

const YEAR: u64 = 365 * 24 * 60 * 60;

#[cfg(test)]
mod tests;
