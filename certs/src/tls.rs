//! TLS configurations: who we are ([`Credentials`]), whom we trust, and what is spoken inside ([`Hop`]).
//!
//! TLS 1.3 only, the hybrid key exchange first, no early data. What is built here remembers no sessions, which is right
//! towards the control plane; between sidecars they are resumed, under the rules of [`session`].
//!
//! A configuration is built once per generation of our own certificate
//! ([`Identity`](crate::rotation::Identity)) and value of trust; the verifiers in it read the bundles of the moment all
//! the same.

use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

mod failed;
mod hop;
mod session;

pub use failed::HandshakeFailed;
pub use hop::Hop;
pub use session::LIFETIME as SESSION_LIFETIME;
#[cfg(test)]
pub(crate) use session::MAX_CLIENTS;
pub(crate) use session::Sessions;

use crate::bundle::TrustStore;
use crate::provider::provider;
use crate::request::PrivateKey;
use crate::seal::{Seal, Sealer};
use crate::verify::{
    ClientAuth, ClientVerifier, Expect, Peer, PeerRefused, PinnedRoot, ServerVerifier, peer,
};

/// Our own certificate chain and its key.
#[derive(Clone)]
pub struct Credentials {
    certified: Arc<CertifiedKey>,
    us: Peer,
    sealer: Sealer,
}

impl Credentials {
    /// From what [`Authority::issue`](crate::authority::Authority::issue) gave for the request of `key`: leaf
    /// first.
    ///
    /// # Errors
    /// [`BadCredentials`] if the leaf is not one that a peer would accept or the key is another's.
    pub fn new(chain_der: Vec<Vec<u8>>, key: &PrivateKey) -> Result<Self, BadCredentials> {
        let chain: Vec<_> = chain_der.into_iter().map(CertificateDer::from).collect();
        let us = peer(&chain).map_err(BadCredentials::Leaf)?;
        let certified = CertifiedKey::from_der(chain, key.to_rustls(), provider())
            .map_err(|error| BadCredentials::Key(error.to_string()))?;
        Ok(Self { certified: Arc::new(certified), us, sealer: Sealer::of(key) })
    }

    /// The same, sending `root` along, as a control plane must: a caller that enrols knows no more than its
    /// hash.
    #[must_use]
    pub fn presenting_root(&self, root: &CertificateDer<'static>) -> Self {
        let mut certified = CertifiedKey::clone(&self.certified);
        if !certified.cert.contains(root) {
            certified.cert.push(root.clone());
        }
        Self { certified: Arc::new(certified), us: self.us.clone(), sealer: self.sealer.clone() }
    }

    /// What our own leaf says of us: identity, serial number, expiry.
    #[must_use]
    pub fn us(&self) -> &Peer {
        &self.us
    }

    /// The chain as it is presented, leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// A seal on what we write for ourselves. It holds for as long as this key is ours.
    #[must_use]
    pub fn seal(&self, bytes: &[u8]) -> Seal {
        self.sealer.seal(bytes)
    }

    /// Whether this is our [`seal`](Self::seal) on these bytes.
    #[must_use]
    pub fn have_sealed(&self, bytes: &[u8], seal: &[u8]) -> bool {
        self.sealer.is_by_us(bytes, seal)
    }

    /// Whatever a test has made.
    #[cfg(test)]
    pub(crate) fn forged(certified: &Arc<CertifiedKey>) -> Self {
        let us = peer(&certified.cert).expect("tests are us with good leaves only");
        let key =
            crate::request::KeyAndRequest::generate().expect("any key: what they seal is their own").key;
        Self { certified: Arc::clone(certified), us, sealer: Sealer::of(&key) }
    }

    fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(Arc::clone(&self.certified)))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("us", &self.us).finish_non_exhaustive()
    }
}

/// Builds configurations that share one trust store and one clock.
#[derive(Clone, Debug)]
pub struct Tls {
    trust: Arc<TrustStore>,
    time: Arc<dyn TimeProvider>,
}

impl Tls {
    /// With the machine's clock.
    #[must_use]
    pub fn new(trust: Arc<TrustStore>) -> Self {
        Self::with_time(trust, Arc::new(DefaultTimeProvider))
    }

    /// With a clock of the caller's.
    #[must_use]
    pub fn with_time(trust: Arc<TrustStore>, time: Arc<dyn TimeProvider>) -> Self {
        Self { trust, time }
    }

    /// The store that verifiers read.
    #[must_use]
    pub fn trust(&self) -> &Arc<TrustStore> {
        &self.trust
    }

    /// For a server that speaks `hops`, best first. With [`ClientAuth::Required`] a client without a
    /// certificate is refused in the handshake; with [`ClientAuth::Optional`], which only the control plane
    /// uses, it comes in as nobody (`peer_certificates()` is `None`) and may do nothing but enrol.
    #[must_use]
    pub fn server(&self, credentials: &Credentials, hops: &[Hop], auth: ClientAuth) -> Arc<ServerConfig> {
        let verifier = ClientVerifier::new(Arc::clone(&self.trust), auth);
        let mut config = ServerConfig::builder_with_details(Arc::clone(provider()), Arc::clone(&self.time))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3 suites and groups")
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(credentials.resolver());
        config.alpn_protocols = hops.iter().map(|hop| hop.as_bytes().to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Arc::new(config)
    }

    /// For a client that is `credentials`, to a server that has to be `expect`, speaking `hop`.
    #[must_use]
    pub fn client(&self, credentials: &Credentials, expect: Expect, hop: Hop) -> Arc<ClientConfig> {
        let verifier = ServerVerifier::new(Arc::clone(&self.trust), expect);
        self.client_config(Arc::new(verifier), Some(credentials), hop)
    }

    /// For a client that has no certificate yet, to the control plane of a trust domain whose bundle it has.
    #[must_use]
    pub fn enrolling_client(&self, control_plane: Expect) -> Arc<ClientConfig> {
        let verifier = ServerVerifier::new(Arc::clone(&self.trust), control_plane);
        self.client_config(Arc::new(verifier), None, Hop::ControlPlane)
    }

    /// For a client that has nothing but a join token, to the control plane that the token pins.
    #[must_use]
    pub fn pinned_client(&self, pin: &PinnedRoot) -> Arc<ClientConfig> {
        self.client_config(Arc::new(ServerVerifier::pinned(pin)), None, Hop::ControlPlane)
    }

    /// Who the client of a completed handshake is, by the rules of this moment. To be asked of every connection between
    /// sidecars before a byte of it is believed: rustls itself judges nobody whose session is resumed.
    ///
    /// # Errors
    /// The reason; see [`PeerRefused`]. The caller closes the connection.
    pub fn client_of(&self, connection: &ServerConnection) -> Result<Peer, PeerRefused> {
        let chain = connection.peer_certificates().unwrap_or_default();
        ClientVerifier::new(Arc::clone(&self.trust), ClientAuth::Required).judge(chain, self.now()?)
    }

    /// Who the server of a completed handshake is, by the rules of this moment, which has to be `expect`.
    ///
    /// # Errors
    /// The reason; see [`PeerRefused`]. The caller closes the connection.
    pub fn server_of(&self, connection: &ClientConnection, expect: Expect) -> Result<Peer, PeerRefused> {
        let chain = connection.peer_certificates().unwrap_or_default();
        ServerVerifier::new(Arc::clone(&self.trust), expect).judge(chain, self.now()?)
    }

    /// A clock that does not know the time lets nobody in.
    fn now(&self) -> Result<UnixTime, PeerRefused> {
        self.time.current_time().ok_or(PeerRefused::Expired { not_after: None })
    }

    fn client_config(
        &self,
        verifier: Arc<dyn ServerCertVerifier>,
        credentials: Option<&Credentials>,
        hop: Hop,
    ) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_details(Arc::clone(provider()), Arc::clone(&self.time))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3 suites and groups")
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match credentials {
            Some(credentials) => builder.with_client_cert_resolver(credentials.resolver()),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![hop.as_bytes().to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        Arc::new(config)
    }
}

/// Why a chain and a key are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum BadCredentials {
    /// Peers would refuse it.
    #[error("the authority issued a certificate that peers will refuse; this is a defect of the authority")]
    Leaf(#[source] PeerRefused),
    /// The key is not the leaf's, or of a kind that TLS does not know.
    #[error("the private key does not fit the certificate ({0}); ask for a new one")]
    Key(String),
}

#[cfg(test)]
mod tests;
