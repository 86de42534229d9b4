//! Reads a signing request: proves possession of its key, takes the key, and refuses everything by which a
//! caller tries to be more than it is.
//!
//! Names, usages and lifetimes in a request are never copied. A request that *asks* for another name or for a
//! CA is refused rather than silently corrected, so that the attempt shows in the audit log.

use rcgen::{PublicKeyData, SubjectPublicKeyInfo};
use weft_policy::identity::SpiffeId;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo as RequestedKey;

use super::IssueError;

/// The largest request that is read, in bytes. An honest one has under 500.
pub const MAX_CSR_BYTES: usize = 16 * 1024;

/// The public key of a request by a caller who was attested as `identity`.
pub(super) fn public_key(csr_der: &[u8], identity: &SpiffeId) -> Result<SubjectPublicKeyInfo, IssueError> {
    if csr_der.len() > MAX_CSR_BYTES {
        return Err(IssueError::TooLarge { bytes: csr_der.len() });
    }
    let (rest, csr) = X509CertificationRequest::from_der(csr_der).map_err(|_| IssueError::Malformed)?;
    if !rest.is_empty() {
        return Err(IssueError::Malformed);
    }
    let key = accepted_key(&csr.certification_request_info.subject_pki)?;
    csr.verify_signature().map_err(|_| IssueError::BadSignature)?;
    refuse_ambition(&csr, identity)?;
    Ok(key)
}

/// P-256, P-384 and Ed25519: what every rustls peer verifies. RSA is left out altogether; a new mesh has no
/// old keys to bring.
fn accepted_key(requested: &RequestedKey<'_>) -> Result<SubjectPublicKeyInfo, IssueError> {
    let key = SubjectPublicKeyInfo::from_der(requested.raw).map_err(|_| IssueError::KeyType)?;
    let bits = key.der_bytes();
    let uncompressed = bits.first() == Some(&0x04);
    let algorithm = key.algorithm();
    let accepted = if algorithm == &rcgen::PKCS_ECDSA_P256_SHA256 {
        uncompressed && bits.len() == 65
    } else if algorithm == &rcgen::PKCS_ECDSA_P384_SHA384 {
        uncompressed && bits.len() == 97
    } else {
        algorithm == &rcgen::PKCS_ED25519 && bits.len() == 32
    };
    if accepted && requested.subject_public_key.unused_bits == 0 { Ok(key) } else { Err(IssueError::KeyType) }
}

/// Refuses a request that asks to be a CA or to be somebody other than `identity`. What else it asks for is
/// ignored: none of it reaches the certificate.
fn refuse_ambition(csr: &X509CertificationRequest<'_>, identity: &SpiffeId) -> Result<(), IssueError> {
    for attribute in csr.certification_request_info.iter_attributes() {
        let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() else { continue };
        for extension in &requested.extensions {
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
                    return Err(IssueError::WantsCa);
                }
                ParsedExtension::KeyUsage(usage) if usage.key_cert_sign() || usage.crl_sign() => {
                    return Err(IssueError::WantsCa);
                }
                ParsedExtension::SubjectAlternativeName(names) => match names.general_names.as_slice() {
                    [GeneralName::URI(uri)] if *uri == identity.as_str() => {}
                    _ => return Err(IssueError::WantsOtherName),
                },
                ParsedExtension::ParseError { .. } => return Err(IssueError::Malformed),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod fuzz;
