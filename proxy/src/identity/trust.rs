//! Whom we believe, from what the control plane says.

use rustls::pki_types::CertificateDer;
use weft_certs::authority::Serial;
use weft_certs::bundle::{BadBundle, DenyList, StaleBundle, TrustBundle, TrustStore};
use weft_proto::trust::Trust;

/// Puts what the control plane says in force, unless it is older than what is in force.
///
/// # Errors
/// If a root is not the certificate of a CA; what was in force stays.
pub(crate) fn adopt(store: &TrustStore, said: &Trust) -> Result<(), BadTrust> {
    let denied = DenyList {
        serials: said.denied_serials.iter().map(|serial| Serial::from_bytes(serial)).collect(),
        identities: said.denied_identities.iter().cloned().collect(),
    };
    let roots = said.anchors.iter().cloned().map(CertificateDer::from);
    let bundle = TrustBundle::new(said.domain.clone(), said.sequence, roots, denied)?;
    store.update(&bundle)?;
    Ok(())
}

/// Why a trust bundle is not put in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadTrust {
    /// It cannot be read.
    #[error(transparent)]
    Bundle(#[from] BadBundle),
    /// It is older than the one in force.
    #[error(transparent)]
    Stale(#[from] StaleBundle),
}
