//! The control plane's own leaf: the reserved identity, signed by its own authority, presented with its root so
//! that somebody who knows no more than the root's hash can check it.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use weft_certs::authority::Authority;
use weft_certs::bundle::RootHash;
use weft_certs::request::KeyAndRequest;
use weft_certs::tls::{Credentials, Hop, Tls};
use weft_certs::verify::ClientAuth;

use super::CustodyError;

/// A leaf, its key, and when to make the next.
#[derive(Debug)]
pub(super) struct Serving {
    credentials: Credentials,
    root: RootHash,
    renew_after: SystemTime,
}

impl Serving {
    pub(super) fn issue(authority: &Authority, now: SystemTime) -> Result<Self, CustodyError> {
        let KeyAndRequest { key, csr_der } = KeyAndRequest::generate().map_err(CustodyError::OwnKey)?;
        let issued = authority.issue_control_plane(&csr_der, now).map_err(CustodyError::OwnLeaf)?;
        let credentials = Credentials::new(issued.chain_der, &key)
            .map_err(CustodyError::OwnCredentials)?
            .presenting_root(authority.root());
        Ok(Self { credentials, root: RootHash::of(authority.root()), renew_after: issued.renew_after })
    }

    /// The root that is presented.
    pub(super) fn root(&self) -> RootHash {
        self.root
    }

    /// What is presented, leaf first.
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        self.credentials.chain()
    }

    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        now >= self.renew_after
    }

    /// Clients without a certificate come in: to enrol, and for nothing else.
    pub(super) fn config(&self, tls: &Tls) -> Arc<ServerConfig> {
        tls.server(&self.credentials, &[Hop::ControlPlane], ClientAuth::Optional)
    }
}
