//! Reads a leaf and holds it to SPIFFE X509-SVID §2, §4 and §5.2: one URI SAN that is a SPIFFE ID, not a CA,
//! may sign handshakes and nothing else, both extended usages or none stated.

use rustls::pki_types::CertificateDer;
use weft_policy::identity::SpiffeId;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

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
    let not_after = u64::try_from(leaf.validity().not_after.timestamp()).unwrap_or(0);
    Ok(Peer { id, serial: Serial::from_bytes(leaf.raw_serial()), not_after: system_time(not_after) })
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
