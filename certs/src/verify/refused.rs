//! Why a peer is refused: one reason per rule, each with a metric label and words for an operator, carried
//! through rustls and recovered from its errors.
//!
//! rustls chooses the TLS alert by its own kind of error. Where it has a kind that says what we mean
//! (expired, unknown issuer, revoked, unreadable, wrong purpose), that kind is used, so that the peer sees
//! the right alert; the others travel as `CertificateError::Other` and the peer sees `certificate_unknown`.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::UnixTime;
use rustls::{CertificateError, OtherError};
use weft_policy::identity::{BadIdentity, SpiffeId};

use super::system_time;

/// The rule that a peer's certificate breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefused {
    /// The peer presented none.
    #[error("the peer presented no certificate; is it outside the mesh?")]
    NoCertificate,
    /// Not X.509 in DER, or with contradictory parts.
    #[error("the peer's certificate is unreadable")]
    Malformed,
    /// More intermediates than anybody needs.
    #[error("the peer presented more intermediates than are looked at")]
    ChainTooLong,
    /// SPIFFE X509-SVID §4.1: a signing certificate does not authenticate.
    #[error("the peer presented a CA certificate as its own")]
    CaAsLeaf,
    /// No URI SAN; a DNS name is no identity.
    #[error("the peer's certificate has no SPIFFE ID; it was not issued by a mesh")]
    NoSpiffeId,
    /// SPIFFE X509-SVID §2: exactly one.
    #[error("the peer's certificate has more than one URI; which one it is cannot be told")]
    ManySpiffeIds,
    /// A URI that is no SPIFFE ID.
    #[error("the URI in the peer's certificate is not a SPIFFE ID: {0}")]
    BadSpiffeId(#[source] BadIdentity),
    /// SPIFFE X509-SVID §4.3.
    #[error(
        "the peer's certificate may not sign handshakes, or may sign certificates; a leaf does the first only"
    )]
    KeyUsage,
    /// SPIFFE X509-SVID §4.4.
    #[error("the peer's certificate is not for both clients and servers")]
    ExtendedKeyUsage,
    /// RFC 5280 §4.1.2.2: positive, at most 20 bytes. What is neither cannot be told apart on a deny list.
    #[error("the serial number of the peer's certificate is zero, negative or over 20 bytes")]
    SerialNumber,
    /// RSA under 2048 bits, or a curve that the mesh does not verify.
    #[error("the key in the peer's certificate is too weak, or of a kind that the mesh does not use")]
    WeakKey,
    /// There is no bundle for the domain that the peer claims.
    #[error(
        "there is no trust bundle for the trust domain of {presented}; federate with it, or correct its name"
    )]
    UnknownTrustDomain {
        /// Who the peer claims to be.
        presented: SpiffeId,
    },
    /// No path to a root of the domain that the peer claims.
    #[error("the peer's certificate does not lead to a root of the trust domain that it claims")]
    Untrusted,
    /// Nobody vouches for it but itself.
    #[error("the peer's certificate is signed by itself; it was not issued by a mesh")]
    SelfSigned,
    /// No path, and nothing beside the leaf that could be one.
    #[error("the peer sent its certificate without the intermediate that signed it")]
    ChainIncomplete,
    /// The issuer is found and has not signed this.
    #[error("a signature in the peer's certificate chain is wrong: it was altered, or never issued")]
    BadSignature,
    /// Signed with SHA-1, MD5, RSA under 2048 bits, or what nobody knows.
    #[error("the peer's certificate chain is signed with an algorithm that the mesh does not accept")]
    WeakAlgorithm,
    /// An end-entity certificate has signed another one.
    #[error("an issuer in the peer's certificate chain is not a CA")]
    IssuerNotCa,
    /// RFC 5280 §4.2.1.3: a CA whose key may be used for other things only.
    #[error("an issuer in the peer's certificate chain may not sign certificates")]
    IssuerMayNotSign,
    /// RFC 5280 §4.2.1.9: more CAs below a CA than it allows.
    #[error("the peer's certificate chain has more CAs than one of them allows below itself")]
    PathLength,
    /// RFC 5280 §4.2.1.10. Names of URIs cannot be constrained with the path validation that we use, so such a CA is
    /// refused, whatever it constrains.
    #[error("a CA of the peer constrains names, and this name is outside or cannot be judged: {0}")]
    NameConstraint(#[source] webpki::Error),
    /// RFC 5280 §4.2: what is critical and not understood is refused.
    #[error("the peer's certificate chain has a critical extension that nobody here understands")]
    CriticalExtension,
    /// There is a path, and it breaks another rule of RFC 5280.
    #[error("the peer's certificate chain is not valid: {0}")]
    Path(#[source] webpki::Error),
    /// Its time is over.
    #[error("the peer's certificate has expired: its proxy no longer renews, or our clock is fast")]
    Expired {
        /// When it expired, if the path validation told.
        not_after: Option<SystemTime>,
    },
    /// Its time has not come.
    #[error("the peer's certificate is not valid yet: its issuer's clock is fast, or ours is slow")]
    NotYetValid {
        /// When it begins, if the path validation told.
        not_before: Option<SystemTime>,
    },
    /// Serial number or identity is on the domain's deny list.
    #[error("the peer's certificate or identity is on the deny list of its trust domain")]
    Denied,
    /// A good certificate of somebody else.
    #[error("the peer proved to be {presented}, expected {expected}")]
    WrongIdentity {
        /// Who was expected.
        expected: String,
        /// Who it is.
        presented: SpiffeId,
    },
    /// The control plane's identity, presented by somebody who connects: it only ever accepts.
    #[error("the peer presented the control plane's identity, and the control plane calls nobody")]
    ReservedIdentity,
    /// The certificate is good, and the handshake is not signed with its key.
    #[error("the peer did not prove that it holds the key of its certificate; somebody presents another's")]
    KeyNotProven,
    /// No certificate that the peer presented has the pinned hash.
    #[error(
        "the server did not present the root that the join token pins; is it another mesh's control plane?"
    )]
    RootNotPinned,
}

impl PeerRefused {
    /// A short name for metrics and logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::Malformed => "malformed",
            Self::ChainTooLong => "chain_too_long",
            Self::CaAsLeaf => "ca_as_leaf",
            Self::NoSpiffeId => "no_spiffe_id",
            Self::ManySpiffeIds => "many_spiffe_ids",
            Self::BadSpiffeId(_) => "bad_spiffe_id",
            Self::KeyUsage => "key_usage",
            Self::ExtendedKeyUsage => "extended_key_usage",
            Self::UnknownTrustDomain { .. } => "unknown_trust_domain",
            Self::Untrusted => "untrusted",
            Self::SerialNumber => "serial_number",
            Self::WeakKey => "weak_key",
            Self::SelfSigned => "self_signed",
            Self::ChainIncomplete => "chain_incomplete",
            Self::BadSignature => "bad_signature",
            Self::WeakAlgorithm => "weak_algorithm",
            Self::IssuerNotCa => "issuer_not_ca",
            Self::IssuerMayNotSign => "issuer_may_not_sign",
            Self::PathLength => "path_length",
            Self::NameConstraint(_) => "name_constraint",
            Self::CriticalExtension => "critical_extension",
            Self::ReservedIdentity => "reserved_identity",
            Self::KeyNotProven => "key_not_proven",
            Self::Path(_) => "bad_path",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Denied => "denied",
            Self::WrongIdentity { .. } => "wrong_identity",
            Self::RootNotPinned => "root_not_pinned",
        }
    }

    /// The refusal inside an error of rustls. `None` if the handshake failed for another reason.
    #[must_use]
    pub fn of_handshake(error: &rustls::Error) -> Option<Self> {
        let error = match error {
            rustls::Error::NoCertificatesPresented => return Some(Self::NoCertificate),
            rustls::Error::InvalidCertificate(error) => error,
            _ => return None,
        };
        match error {
            CertificateError::BadEncoding => Some(Self::Malformed),
            CertificateError::InvalidPurpose => Some(Self::ExtendedKeyUsage),
            CertificateError::UnknownIssuer => Some(Self::Untrusted),
            CertificateError::Revoked => Some(Self::Denied),
            CertificateError::UnhandledCriticalExtension => Some(Self::CriticalExtension),
            // Our own judgement uses none of these: they are what rustls says of the handshake's signature.
            CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                Some(Self::KeyNotProven)
            }
            CertificateError::Expired => Some(Self::Expired { not_after: None }),
            CertificateError::ExpiredContext { not_after, .. } => {
                Some(Self::Expired { not_after: Some(system_time(not_after.as_secs())) })
            }
            CertificateError::NotValidYet => Some(Self::NotYetValid { not_before: None }),
            CertificateError::NotValidYetContext { not_before, .. } => {
                Some(Self::NotYetValid { not_before: Some(system_time(not_before.as_secs())) })
            }
            CertificateError::Other(OtherError(other)) => other.downcast_ref::<Self>().cloned(),
            _ => None,
        }
    }

    /// As [`of_handshake`](Self::of_handshake), for the `io::Error` that an asynchronous handshake ends with.
    #[must_use]
    pub fn of_io(error: &std::io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<rustls::Error>().and_then(Self::of_handshake)
    }

    /// What path validation says, in our words.
    pub(super) fn of_path(error: webpki::Error) -> Self {
        use webpki::Error as Path;
        match error {
            Path::BadDer | Path::BadDerTime | Path::TrailingData(_) => Self::Malformed,
            Path::CertExpired { not_after, .. } => {
                Self::Expired { not_after: Some(system_time(not_after.as_secs())) }
            }
            Path::CertNotValidYet { not_before, .. } => {
                Self::NotYetValid { not_before: Some(system_time(not_before.as_secs())) }
            }
            Path::UnknownIssuer => Self::Untrusted,
            Path::InvalidSignatureForPublicKey => Self::BadSignature,
            Path::UnsupportedSignatureAlgorithmContext(_)
            | Path::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
            | Path::SignatureAlgorithmMismatch => Self::WeakAlgorithm,
            Path::CaUsedAsEndEntity => Self::CaAsLeaf,
            Path::EndEntityUsedAsCa => Self::IssuerNotCa,
            Path::PathLenConstraintViolated => Self::PathLength,
            Path::MaximumPathDepthExceeded => Self::ChainTooLong,
            Path::UnsupportedCriticalExtension => Self::CriticalExtension,
            constraint @ (Path::NameConstraintViolation
            | Path::MalformedNameConstraint
            | Path::UnsupportedNameType
            | Path::InvalidNetworkMaskConstraint
            | Path::MaximumNameConstraintComparisonsExceeded) => Self::NameConstraint(constraint),
            Path::RequiredEkuNotFoundContext(_) => Self::ExtendedKeyUsage,
            other => Self::Path(other),
        }
    }

    /// For rustls, which derives the alert from the kind.
    pub(crate) fn into_rustls(self, now: UnixTime) -> rustls::Error {
        let unix = |time: SystemTime| {
            UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
        };
        let error = match self {
            Self::NoCertificate => return rustls::Error::NoCertificatesPresented,
            Self::Malformed => CertificateError::BadEncoding,
            Self::ExtendedKeyUsage => CertificateError::InvalidPurpose,
            Self::Untrusted => CertificateError::UnknownIssuer,
            Self::Denied => CertificateError::Revoked,
            Self::CriticalExtension => CertificateError::UnhandledCriticalExtension,
            Self::Expired { not_after: None } => CertificateError::Expired,
            Self::Expired { not_after: Some(at) } => {
                CertificateError::ExpiredContext { time: now, not_after: unix(at) }
            }
            Self::NotYetValid { not_before: None } => CertificateError::NotValidYet,
            Self::NotYetValid { not_before: Some(at) } => {
                CertificateError::NotValidYetContext { time: now, not_before: unix(at) }
            }
            other => CertificateError::Other(OtherError(Arc::new(other))),
        };
        rustls::Error::InvalidCertificate(error)
    }
}
