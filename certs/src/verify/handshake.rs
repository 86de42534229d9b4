//! The judgement of [`verify`](super), as rustls asks for it during a handshake.
//!
//! TLS 1.3 only: the callbacks for TLS 1.2 refuse. The server name of the handshake is not looked at: it
//! routes, and who the server must be is told by [`Expect`].

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use weft_policy::identity::{SpiffeId, TrustDomain};

use super::{Expect, Peer, PeerRefused, Role, peer, verify_path, verify_peer};
use crate::bundle::{self, DenyList, RootHash, TrustStore};
use crate::provider::provider;

/// Judges servers that we connect to: trusted, and who we meant.
#[derive(Debug)]
pub struct ServerVerifier {
    trust: Trust,
    expect: Expect,
}

impl ServerVerifier {
    /// Trusts what `trust` says at the time of each handshake.
    #[must_use]
    pub fn new(trust: Arc<TrustStore>, expect: Expect) -> Self {
        Self { trust: Trust::Bundles(trust), expect }
    }

    /// Trusts a chain that ends in `pin`'s root and belongs to the control plane of `pin`'s trust domain.
    ///
    /// The server has to send its root along. The bundle that comes back over this connection is what is
    /// trusted from then on.
    #[must_use]
    pub fn pinned(pin: &PinnedRoot) -> Self {
        let control_plane = SpiffeId::control_plane(&pin.domain);
        Self { trust: Trust::Pinned(pin.root), expect: Expect::Exactly(control_plane) }
    }

    /// Who the holder of `chain` (leaf first) is, if it is trusted at `now` and the one we meant.
    ///
    /// # Errors
    /// The reason; see [`PeerRefused`].
    pub fn judge(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<Peer, PeerRefused> {
        let peer = match &self.trust {
            Trust::Bundles(bundles) => verify_peer(&bundles.current(), chain, Role::Server, now)?,
            Trust::Pinned(root) => verify_pinned(*root, chain, now)?,
        };
        self.expect.check(peer)
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _routing_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(&chain(leaf, intermediates), now)
            .map(|_| ServerCertVerified::assertion())
            .map_err(|refused| refused.into_rustls(now))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12_is_off())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What a join token knows of the control plane before the first enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedRoot {
    /// Its trust domain.
    pub domain: TrustDomain,
    /// The hash of its root.
    pub root: RootHash,
}

/// Whether a server insists on a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate, no connection.
    Required,
    /// A client may come without one, to enrol; one that it does present has to be good.
    Optional,
}

/// Judges clients that connect to us: trusted, whoever they are. What they may do is policy's to say.
#[derive(Debug)]
pub struct ClientVerifier {
    trust: Arc<TrustStore>,
    auth: ClientAuth,
}

impl ClientVerifier {
    /// Trusts what `trust` says at the time of each handshake.
    #[must_use]
    pub fn new(trust: Arc<TrustStore>, auth: ClientAuth) -> Self {
        Self { trust, auth }
    }

    /// Who the holder of `chain` (leaf first) is, if it is trusted at `now` and may connect at all.
    ///
    /// # Errors
    /// The reason; see [`PeerRefused`].
    pub fn judge(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<Peer, PeerRefused> {
        verify_peer(&self.trust.current(), chain, Role::Client, now).and_then(no_control_plane)
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.auth == ClientAuth::Required
    }

    /// None: our clients have one certificate to offer, and the names of roots would only be read by
    /// strangers.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(&chain(leaf, intermediates), now)
            .map(|_| ClientCertVerified::assertion())
            .map_err(|refused| refused.into_rustls(now))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12_is_off())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[derive(Debug)]
enum Trust {
    Bundles(Arc<TrustStore>),
    Pinned(RootHash),
}

/// As [`verify_peer`], with the one presented CA that has the pinned hash as the only anchor.
fn verify_pinned(root: RootHash, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<Peer, PeerRefused> {
    let peer = peer(chain)?;
    let (anchor, depth) = chain
        .iter()
        .skip(1)
        .find(|certificate| RootHash::of(certificate) == root)
        .and_then(bundle::anchor)
        .ok_or(PeerRefused::RootNotPinned)?;
    verify_path((&[anchor], &[depth]), chain, Role::Server, now, &DenyList::default())?;
    Ok(peer)
}

/// One slice again, as `peer_certificates()` would give it. Borrows the certificates.
fn chain<'c>(
    leaf: &'c CertificateDer<'_>,
    intermediates: &'c [CertificateDer<'_>],
) -> Vec<CertificateDer<'c>> {
    std::iter::once(leaf)
        .chain(intermediates)
        .take(MAX_PRESENTED)
        .map(|certificate| CertificateDer::from(certificate.as_ref()))
        .collect()
}

/// The control plane accepts connections and opens none to a sidecar or to itself. Whoever comes with its identity
/// has its key, or found an authority that signs what it must not.
fn no_control_plane(peer: Peer) -> Result<Peer, PeerRefused> {
    if peer.id.is_control_plane() { Err(PeerRefused::ReservedIdentity) } else { Ok(peer) }
}

fn tls12_is_off() -> Error {
    Error::General("TLS 1.2 is not spoken in the mesh".to_owned())
}

/// One more than path validation accepts, so that a longer chain is still seen to be too long.
const MAX_PRESENTED: usize = 16;
