//! A workload's side of enrolment: a new key, and the request that proves possession of it.
//!
//! The key is made here, stays in this process and is used for one certificate: a renewal makes a new one, so
//! a stolen key is worth at most one leaf's life. The request names nobody unless asked to: the authority
//! derives the name from how the caller was attested.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use weft_policy::identity::SpiffeId;

/// A private key in PKCS#8. `Debug` shows nothing of it.
pub struct PrivateKey(PrivatePkcs8KeyDer<'static>);

impl PrivateKey {
    /// The key in `pem`, which must be PKCS#8 (`BEGIN PRIVATE KEY`).
    ///
    /// # Errors
    /// [`RequestError::KeyPem`] if there is none.
    pub fn from_pem(pem: &str) -> Result<Self, RequestError> {
        PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map(Self)
            .map_err(|error| RequestError::KeyPem(error.to_string()))
    }

    /// The key as PEM. The caller keeps it as secret as the key is.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode(&pem::Pem::new("PRIVATE KEY", self.0.secret_pkcs8_der()))
    }

    pub(crate) fn secret_der(&self) -> &[u8] {
        self.0.secret_pkcs8_der()
    }

    pub(crate) fn to_rustls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.0.clone_key())
    }
}

impl Clone for PrivateKey {
    fn clone(&self) -> Self {
        Self(self.0.clone_key())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(not shown)")
    }
}

/// A new key and a signing request (PKCS#10) for it.
#[derive(Debug)]
pub struct KeyAndRequest {
    /// The key, which never leaves the process.
    pub key: PrivateKey,
    /// The request, in DER, for the authority.
    pub csr_der: Vec<u8>,
}

impl KeyAndRequest {
    /// A new P-256 key with a request that names nobody.
    ///
    /// # Errors
    /// [`RequestError::Crypto`] if the system gives no randomness.
    pub fn generate() -> Result<Self, RequestError> {
        Self::with_names(Vec::new())
    }

    /// A new P-256 key with a request that names `identity`. The authority refuses it unless that is exactly
    /// what it derives itself: this is for catching a wrong configuration early, not for choosing a name.
    ///
    /// # Errors
    /// [`RequestError::Crypto`] if the system gives no randomness.
    pub fn generate_for(identity: &SpiffeId) -> Result<Self, RequestError> {
        let uri = identity.as_str().try_into().map_err(RequestError::Crypto)?;
        Self::with_names(vec![SanType::URI(uri)])
    }

    fn with_names(names: Vec<SanType>) -> Result<Self, RequestError> {
        let key = KeyPair::generate().map_err(RequestError::Crypto)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = names;
        let csr = params.serialize_request(&key).map_err(RequestError::Crypto)?;
        Ok(Self { key: PrivateKey(key.serialize_der().into()), csr_der: csr.der().to_vec() })
    }
}

/// Why there is no key or no request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The cryptographic library failed.
    #[error("cannot make a key or sign a request with it; the system's randomness may be unavailable")]
    Crypto(#[source] rcgen::Error),
    /// The text is not a PKCS#8 key. The text itself is not repeated.
    #[error("no private key in PKCS#8 PEM form here ({0}); expected a BEGIN PRIVATE KEY block")]
    KeyPem(String),
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509CertificationRequest};

    use super::*;

    #[test]
    fn a_request_names_nobody_unless_asked_and_proves_its_key() {
        let id: SpiffeId = "spiffe://weft.local/ns/shop/sa/web".parse().unwrap();
        for (request, extensions) in
            [(KeyAndRequest::generate().unwrap(), 0), (KeyAndRequest::generate_for(&id).unwrap(), 1)]
        {
            let (_, csr) = X509CertificationRequest::from_der(&request.csr_der).unwrap();
            csr.verify_signature().unwrap();
            assert_eq!(csr.certification_request_info.subject.iter().count(), 0);
            assert_eq!(csr.requested_extensions().map_or(0, Iterator::count), extensions);
        }
    }

    #[test]
    fn every_request_has_a_new_key_and_shows_none_of_it() {
        let (a, b) = (KeyAndRequest::generate().unwrap(), KeyAndRequest::generate().unwrap());
        assert_ne!(a.key.to_pem(), b.key.to_pem());
        assert!(format!("{:?}", a.key).ends_with("(not shown)"), "{:?}", a.key);
    }

    #[test]
    fn a_key_survives_its_pem_and_a_certificate_is_not_a_key() {
        let key = KeyAndRequest::generate().unwrap().key;
        assert_eq!(PrivateKey::from_pem(&key.to_pem()).unwrap().to_pem(), key.to_pem());
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(PrivateKey::from_pem(text), Err(RequestError::KeyPem(_))), "{text}");
        }
    }
}
