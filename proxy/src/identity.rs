//! Who this proxy is: its first certificate for a token, the next ones for the last one, and whom it trusts.
//!
//! The certificate and the trust bundle are swapped under running connections; nothing is restarted.

mod channel;
mod enroll;
mod kept;
mod renew;
mod trust;

pub(crate) use channel::{ControlChannel, OverTls, control_channel, server_name};
pub use channel::{Introduction, Transport};
pub(crate) use enroll::{EnrollError, enroll, reason};
pub(crate) use renew::keep_renewed;
pub(crate) use trust::adopt;

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConnection, ServerConnection};
use tokio::sync::watch;
use weft_certs::bundle::{TrustBundles, TrustStore};
use weft_certs::clock::Clock;
use weft_certs::request::PrivateKey;
use weft_certs::rotation;
use weft_certs::tls::{Credentials, Hop, Tls};
use weft_certs::verify::{Expect, Peer, PeerRefused, Role, ServerVerifier, verify_peer};
use weft_policy::identity::SpiffeId;

/// Our certificate of the moment and the configurations that follow from it.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Swapped by renewal.
    pub(crate) current: rotation::Identity,
    /// Swapped by what the control plane says.
    pub(crate) trust: Arc<TrustStore>,
    /// By what certificates are judged.
    pub(crate) clock: Clock,
    us: SpiffeId,
    /// The sequence of the bundle in force: open connections are judged again when it changes.
    trust_sequence: watch::Sender<u64>,
}

/// What is needed to become somebody.
#[derive(Debug)]
pub(crate) struct Nobody {
    pub(crate) current: rotation::Identity,
    pub(crate) trust: Arc<TrustStore>,
    pub(crate) clock: Clock,
}

impl Nobody {
    /// A proxy before its first certificate.
    pub(crate) fn new(clock: Clock) -> Self {
        let trust = Arc::new(TrustStore::new(TrustBundles::default()));
        let tls = Tls::with_time(Arc::clone(&trust), Arc::new(clock.clone()));
        Self { current: rotation::Identity::unknown(tls), trust, clock }
    }

    /// The same with a certificate in place; `None` while there is none.
    pub(crate) fn into_somebody(self) -> Option<Identity> {
        let us = self.current.current()?.credentials().us().id.clone();
        let trust_sequence = watch::Sender::new(0);
        Some(Identity { current: self.current, trust: self.trust, clock: self.clock, us, trust_sequence })
    }
}

impl Identity {
    /// Our SPIFFE ID. It stays the same for the life of the process: renewal never changes who we are.
    pub(crate) fn us(&self) -> SpiffeId {
        self.us.clone()
    }

    /// Says that a bundle is in force. Whoever waits in [`Identity::until_distrusted`] looks again if it is new.
    pub(crate) fn trust_has_changed(&self, sequence: u64) {
        self.trust_sequence.send_if_modified(|held| std::mem::replace(held, sequence) != sequence);
    }

    /// For the control plane, as whom we are now.
    pub(crate) fn introduction(&self) -> Introduction {
        let domain = self.us.trust_domain().parse().expect("the trust domain of a parsed identity");
        let expect = Expect::Exactly(SpiffeId::control_plane(&domain));
        let generation = self.generation();
        Introduction {
            chain: generation.credentials().chain().to_vec(),
            tls: generation.client(&expect, Hop::ControlPlane),
            verifier: Arc::new(ServerVerifier::new(Arc::clone(&self.trust), expect)),
        }
    }

    /// Announces each new bundle.
    pub(crate) fn trust_changes(&self) -> watch::Receiver<u64> {
        self.trust_sequence.subscribe()
    }

    /// Who has come in by a completed handshake, by the rules of this moment.
    pub(crate) fn client_of(&self, connection: &ServerConnection) -> Result<Peer, PeerRefused> {
        self.current.tls().client_of(connection)
    }

    /// Who has answered in a completed handshake, by the rules of this moment; it has to be `expect`.
    pub(crate) fn server_of(
        &self,
        connection: &ClientConnection,
        expect: Expect,
    ) -> Result<Peer, PeerRefused> {
        self.current.tls().server_of(connection, expect)
    }

    /// Returns when the holder of `chain` is trusted no more: its root has been removed, or it has been denied. `changes`
    /// are the [`trust_changes`](Self::trust_changes) from before it was judged, or one in between would go unseen.
    pub(crate) fn until_distrusted(
        self: Arc<Self>,
        mut changes: watch::Receiver<u64>,
        chain: Option<&[CertificateDer<'_>]>,
        role: Role,
    ) -> impl Future<Output = ()> + Send + use<> {
        let chain: Vec<_> = chain.unwrap_or_default().iter().map(|der| der.clone().into_owned()).collect();
        async move {
            while changes.changed().await.is_ok() {
                if verify_peer(&self.trust.current(), &chain, role, self.clock.unix()).is_err() {
                    return;
                }
            }
            std::future::pending().await
        }
    }

    /// Takes a new certificate into use, and keeps it with whom we trust in `dir` for another start.
    ///
    /// # Errors
    /// If it is somebody else's: we are who we are for the life of the process.
    fn replace(&self, credentials: Credentials, key: &PrivateKey, dir: Option<&Path>) -> Result<(), String> {
        if credentials.us().id != self.us {
            return Err(format!("the control plane answered with a certificate for {}", credentials.us().id));
        }
        let bundles = self.trust.current();
        if let (Some(dir), Some(trust)) = (dir, bundles.of(self.us.trust_domain())) {
            kept::store(dir, &credentials, key, trust);
        }
        self.current.swap(credentials);
        Ok(())
    }

    /// The certificate of the moment.
    pub(crate) fn generation(&self) -> Arc<rotation::Generation> {
        self.current.current().expect("an Identity is made with a certificate, and one is only ever replaced")
    }
}
