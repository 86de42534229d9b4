//! Reads a leaf and holds it to SPIFFE X509-SVID §2, §4 and §5.2: one URI SAN that is a SPIFFE ID, not a CA,
//! may sign handshakes and nothing else, both extended usages or none stated. And to what the mesh itself needs: a
//! serial number that a deny list can name, a key that a handshake can be trusted with.

use rustls::pki_types::CertificateDer;
use weft_policy::identity::SpiffeId;
use x509_parser::certificate::{Validity, X509Certificate};
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use super::judged::Window;
use super::{Peer, PeerRefused, system_time};
use crate::authority::Serial;

/// Who the leaf says its holder is.
pub(super) fn read(der: &CertificateDer<'_>) -> Result<Peer, PeerRefused> {
    let leaf = match X509Certificate::from_der(der) {
        Ok(([], leaf)) => leaf,
        _ => return Err(PeerRefused::Malformed),
    };
    check_not_a_ca(&leaf)?;
    let id = spiffe_id(&leaf)?;
    check_usages(&leaf)?;
    check_serial(leaf.raw_serial())?;
    check_key(&leaf)?;
    let not_after = u64::try_from(leaf.validity().not_after.timestamp()).unwrap_or(0);
    Ok(Peer { id, serial: Serial::from_bytes(leaf.raw_serial()), not_after: system_time(not_after) })
}

/// There is no path: because nobody else signed the leaf, because nothing else was sent, or for lack of a root.
pub(super) fn why_untrusted(chain: &[CertificateDer<'_>]) -> PeerRefused {
    let Some(Ok((_, leaf))) = chain.first().map(|leaf| X509Certificate::from_der(leaf)) else {
        return PeerRefused::Untrusted;
    };
    if leaf.issuer().as_raw() == leaf.subject().as_raw() && leaf.verify_signature(None).is_ok() {
        return PeerRefused::SelfSigned;
    }
    if chain.len() == 1 { PeerRefused::ChainIncomplete } else { PeerRefused::Untrusted }
}

/// What matters of a certificate between leaf and root, beyond what path validation has looked at.
pub(super) struct IssuerFacts {
    /// RFC 5280 §4.2.1.3 and §6.1.4 (n), which webpki leaves to others: an issuer that says what its key is for has to
    /// say that it is for signing certificates.
    pub(super) may_sign: bool,
    pub(super) serial: Serial,
    pub(super) valid: Window,
}

/// Reads them. `None`: it cannot be read.
pub(super) fn issuer(issuer: &CertificateDer<'_>) -> Option<IssuerFacts> {
    let (_, issuer) = X509Certificate::from_der(issuer).ok()?;
    let may_sign = match issuer.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    };
    Some(IssuerFacts {
        may_sign,
        serial: Serial::from_bytes(issuer.raw_serial()),
        valid: validity(issuer.validity()),
    })
}

/// When the leaf is valid.
pub(super) fn window(leaf: &CertificateDer<'_>) -> Result<Window, PeerRefused> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| PeerRefused::Malformed)?;
    Ok(validity(leaf.validity()))
}

/// A date before 1970 makes an empty window: nothing is concluded from it.
fn validity(validity: &Validity) -> Window {
    let seconds = |time: &ASN1Time| u64::try_from(time.timestamp());
    match (seconds(&validity.not_before), seconds(&validity.not_after)) {
        (Ok(not_before), Ok(not_after)) => Window { not_before, not_after },
        _ => Window { not_before: 1, not_after: 0 },
    }
}

/// Whether the certificate beside the leaf has signed it.
pub(super) fn is_intact(chain: &[CertificateDer<'_>]) -> bool {
    let [leaf, issuer, ..] = chain else { return false };
    let (Ok((_, leaf)), Ok((_, issuer))) =
        (X509Certificate::from_der(leaf), X509Certificate::from_der(issuer))
    else {
        return false;
    };
    leaf.verify_signature(Some(issuer.public_key())).is_ok()
}

/// §5.2: a signing certificate must not be used to authenticate.
fn check_not_a_ca(leaf: &X509Certificate<'_>) -> Result<(), PeerRefused> {
    match leaf.basic_constraints() {
        Ok(Some(constraints)) if constraints.value.ca => Err(PeerRefused::CaAsLeaf),
        Ok(_) => Ok(()),
        Err(_) => Err(PeerRefused::Malformed),
    }
}

/// §2: exactly one URI SAN; names of other types may stand beside it and mean nothing.
fn spiffe_id(leaf: &X509Certificate<'_>) -> Result<SpiffeId, PeerRefused> {
    let names = leaf.subject_alternative_name().map_err(|_| PeerRefused::Malformed)?;
    let mut uris = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter(|name| matches!(name, GeneralName::URI(_) | GeneralName::Invalid(..)));
    match (uris.next(), uris.next()) {
        (Some(GeneralName::URI(uri)), None) => uri.parse().map_err(PeerRefused::BadSpiffeId),
        (None, _) => Err(PeerRefused::NoSpiffeId),
        (Some(GeneralName::URI(_)), Some(GeneralName::URI(_))) => Err(PeerRefused::ManySpiffeIds),
        // A name that cannot be read might be a second URI.
        _ => Err(PeerRefused::Malformed),
    }
}

/// §4.3: digitalSignature, neither keyCertSign nor cRLSign. §4.4: with EKU, both usages.
fn check_usages(leaf: &X509Certificate<'_>) -> Result<(), PeerRefused> {
    match leaf.key_usage() {
        Ok(Some(usage)) => {
            let usage = usage.value;
            if !usage.digital_signature() || usage.key_cert_sign() || usage.crl_sign() {
                return Err(PeerRefused::KeyUsage);
            }
        }
        Ok(None) => return Err(PeerRefused::KeyUsage),
        Err(_) => return Err(PeerRefused::Malformed),
    }
    match leaf.extended_key_usage() {
        Ok(Some(usage)) if !(usage.value.server_auth && usage.value.client_auth) => {
            Err(PeerRefused::ExtendedKeyUsage)
        }
        Ok(_) => Ok(()),
        Err(_) => Err(PeerRefused::Malformed),
    }
}

/// RFC 5280 §4.1.2.2.
fn check_serial(serial: &[u8]) -> Result<(), PeerRefused> {
    let is_negative = serial.first().is_none_or(|first| first & 0x80 != 0);
    let digits = serial.iter().skip_while(|byte| **byte == 0).count();
    if is_negative || digits == 0 || digits > MAX_SERIAL { Err(PeerRefused::SerialNumber) } else { Ok(()) }
}

/// What the provider verifies, and RSA for federated meshes that have it. Refused here rather than by the signature of
/// the handshake, which would only say that something is wrong with a signature.
fn check_key(leaf: &X509Certificate<'_>) -> Result<(), PeerRefused> {
    let key = leaf.public_key();
    let algorithm = &key.algorithm.algorithm;
    let is_strong = if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        curve.is_some_and(|curve| [OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521].contains(&curve))
    } else if *algorithm == OID_PKCS1_RSAENCRYPTION {
        matches!(key.parsed(), Ok(PublicKey::RSA(rsa)) if (MIN_RSA..=MAX_RSA).contains(&rsa.key_size()))
    } else {
        *algorithm == OID_SIG_ED25519
    };
    if is_strong { Ok(()) } else { Err(PeerRefused::WeakKey) }
}

/// In bytes.
const MAX_SERIAL: usize = 20;
/// In bits; larger ones cost the verifier more than a peer is worth.
const MIN_RSA: usize = 2048;
const MAX_RSA: usize = 8192;
