//! An authority as PEM, for the control plane to keep, and back, with everything checked: an authority whose
//! parts do not belong together would sign leaves that nobody accepts.

use std::fmt;
use std::sync::Arc;

use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use weft_policy::identity::TrustDomain;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::{Authority, Ca, NoRandomness, Validity};

/// An [`Authority`] as text. `Debug` shows the certificates and none of the keys.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorityPem {
    /// The root's certificate.
    pub root_certificate: String,
    /// The root's key in PKCS#8, unless it is kept elsewhere.
    pub root_key: Option<String>,
    /// The intermediate's certificate.
    pub intermediate_certificate: String,
    /// The intermediate's key in PKCS#8.
    pub intermediate_key: String,
}

impl fmt::Debug for AuthorityPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorityPem")
            .field("root_certificate", &self.root_certificate)
            .field("intermediate_certificate", &self.intermediate_certificate)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Everything that [`from_pem`](Self::from_pem) needs. It holds the keys: keep it as secret as they are.
    #[must_use]
    pub fn to_pem(&self) -> AuthorityPem {
        AuthorityPem {
            root_certificate: certificate_pem(&self.root.der),
            root_key: self.root_key.as_ref().map(|key| key.serialize_pem()),
            intermediate_certificate: certificate_pem(&self.intermediate.der),
            intermediate_key: self.issuer.key().serialize_pem(),
        }
    }

    /// The authority of `domain` that was kept as `pem`.
    ///
    /// # Errors
    /// [`AuthorityError`] if a part is missing or the parts do not belong together.
    pub fn from_pem(domain: &TrustDomain, pem: &AuthorityPem) -> Result<Self, AuthorityError> {
        let root_der = certificate(&pem.root_certificate, ROOT)?;
        let intermediate_der = certificate(&pem.intermediate_certificate, INTERMEDIATE)?;
        let root = parse(&root_der, ROOT)?;
        let intermediate = parse(&intermediate_der, INTERMEDIATE)?;
        for (part, certificate) in [(ROOT, &root), (INTERMEDIATE, &intermediate)] {
            check_ca(part, certificate, domain)?;
            // Covers the root's own signature too: it is its own issuer.
            certificate
                .verify_signature(Some(root.public_key()))
                .map_err(|_| AuthorityError::NotSignedByRoot { part })?;
        }

        let root_key = pem.root_key.as_deref().map(|key| load_key(key, &root, ROOT)).transpose()?;
        let intermediate_key = load_key(&pem.intermediate_key, &intermediate, INTERMEDIATE)?;
        let (root_validity, validity) = (validity(&root, ROOT)?, validity(&intermediate, INTERMEDIATE)?);
        drop((root, intermediate));
        let issuer =
            Issuer::from_ca_cert_der(&intermediate_der, intermediate_key).map_err(AuthorityError::Crypto)?;
        Ok(Self {
            domain: domain.clone(),
            root: Ca { der: root_der, validity: root_validity },
            root_key: root_key.map(Arc::new),
            intermediate: Ca { der: intermediate_der, validity },
            issuer,
        })
    }
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// There is no such block in the text, or it is damaged.
    #[error("the {part} is not readable PEM ({reason}); restore it from a backup")]
    Pem {
        /// Which of the parts.
        part: &'static str,
        /// What the parser says. It never holds key material.
        reason: String,
    },
    /// The certificate is not one of a CA, or not one of this trust domain.
    #[error("the {part} certificate cannot be a CA of trust domain {domain}: {reason}")]
    NotOurCa {
        /// Which of the parts.
        part: &'static str,
        /// The trust domain it should be of.
        domain: TrustDomain,
        /// What is wrong.
        reason: &'static str,
    },
    /// The parts are of two authorities.
    #[error("the {part} certificate is not signed by the root; the files are of two different authorities")]
    NotSignedByRoot {
        /// Which of the parts.
        part: &'static str,
    },
    /// The key is of another certificate.
    #[error("the {part} key does not belong to the {part} certificate; the files do not belong together")]
    OtherKey {
        /// Which of the parts.
        part: &'static str,
    },
    /// The root's key is kept elsewhere.
    #[error(
        "the intermediate is due for renewal and the root's key is not here; bring it, or a new intermediate"
    )]
    NoRootKey,
    /// The root has less than a leaf's longest life left.
    #[error("the root expires within a day; rotate the root")]
    RootExpiring,
    /// The clock is before 2020 or after 2200.
    #[error("this machine's clock is absurd; set it before it signs anything")]
    Clock,
    /// The system's random generator failed.
    #[error("no serial number for a CA")]
    NoRandomness(#[source] NoRandomness),
    /// The cryptographic library failed.
    #[error("cannot make or load a CA's key or certificate")]
    Crypto(#[source] rcgen::Error),
}

/// A certificate as PEM.
pub(crate) fn certificate_pem(der: &CertificateDer<'_>) -> String {
    ::pem::encode(&::pem::Pem::new("CERTIFICATE", der.as_ref()))
}

fn certificate(text: &str, part: &'static str) -> Result<CertificateDer<'static>, AuthorityError> {
    CertificateDer::from_pem_slice(text.as_bytes())
        .map_err(|error| AuthorityError::Pem { part, reason: error.to_string() })
}

fn parse<'a>(der: &'a CertificateDer<'_>, part: &'static str) -> Result<X509Certificate<'a>, AuthorityError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(AuthorityError::Pem { part, reason: "bytes after the certificate".to_owned() }),
        Err(error) => Err(AuthorityError::Pem { part, reason: error.to_string() }),
    }
}

/// SPIFFE X509-SVID §3–4: a signing certificate is a CA, may sign certificates, and names, if anything, its
/// trust domain.
fn check_ca(
    part: &'static str,
    certificate: &X509Certificate<'_>,
    domain: &TrustDomain,
) -> Result<(), AuthorityError> {
    let refuse = |reason| AuthorityError::NotOurCa { part, domain: domain.clone(), reason };
    if !certificate.is_ca() {
        return Err(refuse("it is not marked as a CA"));
    }
    match certificate.key_usage() {
        Ok(Some(usage)) if usage.value.key_cert_sign() => {}
        _ => return Err(refuse("its key usage does not allow it to sign certificates")),
    }
    let names = certificate.subject_alternative_name().map_err(|_| refuse("its names are unreadable"))?;
    let ours = format!("spiffe://{domain}");
    let names_another = names.is_some_and(|names| {
        names.value.general_names.iter().any(|name| matches!(name, GeneralName::URI(uri) if *uri != ours))
    });
    if names_another { Err(refuse("it names another trust domain")) } else { Ok(()) }
}

fn validity(certificate: &X509Certificate<'_>, part: &'static str) -> Result<Validity, AuthorityError> {
    Validity::of_certificate(certificate.validity())
        .ok_or_else(|| AuthorityError::Pem { part, reason: "its dates make no sense".to_owned() })
}

fn load_key(
    text: &str,
    certificate: &X509Certificate<'_>,
    part: &'static str,
) -> Result<KeyPair, AuthorityError> {
    let key = KeyPair::from_pem(text)
        .map_err(|error| AuthorityError::Pem { part, reason: format!("its key: {error}") })?;
    let belongs = key.subject_public_key_info() == certificate.public_key().raw;
    if belongs { Ok(key) } else { Err(AuthorityError::OtherKey { part }) }
}

const ROOT: &str = "root";
const INTERMEDIATE: &str = "intermediate";
