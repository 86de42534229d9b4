//! What tests are made of: a certificate authority that breaks any rule on demand, a clock that stands still,
//! and handshakes over memory.

use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, ConnectionCommon, Error, ServerConfig, ServerConnection,
};
use weft_policy::identity::{SpiffeId, TrustDomain};

use crate::bundle::{DenyList, TrustBundle, TrustBundles, TrustStore};
use crate::provider::provider;
use crate::tls::{Hop, Tls};
use crate::verify::{Expect, ServerVerifier};

/// 2027-01-15, in seconds since 1970: the present in all tests.
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const HOUR: u64 = 3600;
pub(crate) const DAY: u64 = 24 * HOUR;

/// `seconds` after [`NOW`].
pub(crate) fn later(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + seconds)
}

pub(crate) fn now() -> SystemTime {
    later(0)
}

pub(crate) fn unix_now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW))
}

pub(crate) fn domain(name: &str) -> TrustDomain {
    name.parse().unwrap()
}

pub(crate) fn id(uri: &str) -> SpiffeId {
    uri.parse().unwrap()
}

pub(crate) const WEB: &str = "spiffe://weft.local/ns/shop/sa/web";
pub(crate) const CART: &str = "spiffe://weft.local/ns/shop/sa/cart";

/// A clock that moves only when told to.
#[derive(Debug)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    pub(crate) fn at(seconds: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seconds)))
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

/// An authority with a root and an intermediate, and no scruples.
pub(crate) struct Forge {
    pub(crate) root: CertificateDer<'static>,
    root_key: KeyPair,
    intermediate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    intermediate_key: KeyPair,
}

/// A chain and its key, as some peer may present them.
#[derive(Clone)]
pub(crate) struct Forged(pub(crate) Arc<CertifiedKey>);

impl Forge {
    pub(crate) fn new() -> Self {
        Self::with_intermediate(|_| {})
    }

    /// With an intermediate that `spoil` has changed.
    pub(crate) fn with_intermediate(spoil: impl FnOnce(&mut CertificateParams)) -> Self {
        let root_key = KeyPair::generate().unwrap();
        let root = ca("forged root").self_signed(&root_key).unwrap().der().clone();
        let mut params = ca("forged intermediate");
        spoil(&mut params);
        let key = KeyPair::generate().unwrap();
        let signer = Issuer::from_ca_cert_der(&root, &root_key).unwrap();
        let intermediate = params.signed_by(&key, &signer).unwrap().der().clone();
        let intermediate_key = KeyPair::from_pem(&key.serialize_pem()).unwrap();
        let issuer = Issuer::from_ca_cert_der(&intermediate, key).unwrap();
        Self { root, root_key, intermediate, issuer, intermediate_key }
    }

    /// The bundle that trusts it.
    pub(crate) fn bundle(&self, name: &str, denied: DenyList) -> TrustBundle {
        TrustBundle::new(domain(name), 1, [self.root.clone()], denied).unwrap()
    }

    /// A good leaf for `uri`.
    pub(crate) fn leaf(&self, uri: &str) -> Forged {
        self.leaf_with(uri, |_| {})
    }

    /// A leaf for `uri` that `spoil` has changed.
    pub(crate) fn leaf_with(&self, uri: &str, spoil: impl FnOnce(&mut CertificateParams)) -> Forged {
        let key = KeyPair::generate().unwrap();
        let mut params = leaf(uri);
        spoil(&mut params);
        let leaf = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Forged::new(vec![leaf, self.intermediate.clone()], &key)
    }

    /// A leaf that signed itself.
    pub(crate) fn self_signed(uri: &str) -> Forged {
        let key = KeyPair::generate().unwrap();
        let leaf = leaf(uri).self_signed(&key).unwrap().der().clone();
        Forged::new(vec![leaf], &key)
    }

    /// The intermediate itself, presented as if it were a leaf.
    pub(crate) fn intermediate_as_leaf(&self) -> Forged {
        Forged::new(vec![self.intermediate.clone()], &self.intermediate_key)
    }

    /// The root itself, presented as if it were a leaf.
    pub(crate) fn root_as_leaf(&self) -> Forged {
        Forged::new(vec![self.root.clone()], &self.root_key)
    }
}

impl Forged {
    pub(crate) fn new(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Self {
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        // Not `from_der`: that reads the leaf, and some of these are unreadable on purpose.
        Self(Arc::new(CertifiedKey::new(chain, provider().key_provider.load_private_key(key).unwrap())))
    }

    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.cert
    }

    /// Without its intermediate, or with more certificates than needed.
    pub(crate) fn with_chain(&self, change: impl FnOnce(&mut Vec<CertificateDer<'static>>)) -> Self {
        let mut certified = CertifiedKey::clone(&self.0);
        change(&mut certified.cert);
        Self(Arc::new(certified))
    }

    /// A client that presents it and trusts what `tls` trusts.
    pub(crate) fn client(&self, tls: &Tls, expect: &str, hop: Hop) -> Arc<ClientConfig> {
        let verifier = ServerVerifier::new(Arc::clone(tls.trust()), Expect::Exactly(id(expect)));
        let mut config = ClientConfig::builder_with_details(Arc::clone(provider()), Clock::at(NOW))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.0))));
        config.alpn_protocols = vec![hop.as_bytes().to_vec()];
        Arc::new(config)
    }

    /// A server that presents it and lets anybody in.
    pub(crate) fn server(&self, hop: Hop) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_details(Arc::clone(provider()), Clock::at(NOW))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.0))));
        config.alpn_protocols = vec![hop.as_bytes().to_vec()];
        Arc::new(config)
    }
}

/// What a store trusts that holds these bundles.
pub(crate) fn trusting(bundles: impl IntoIterator<Item = TrustBundle>) -> Arc<TrustStore> {
    Arc::new(TrustStore::new(bundles.into_iter().collect::<TrustBundles>()))
}

/// Both ends after a handshake: connected, or why not.
pub(crate) struct Handshake {
    pub(crate) client: Result<ClientConnection, Error>,
    pub(crate) server: Result<ServerConnection, Error>,
}

impl Handshake {
    /// The alert that the client was sent.
    pub(crate) fn alert_to_client(&self) -> Option<AlertDescription> {
        alert(self.client.as_ref().err())
    }

    /// The alert that the server was sent.
    pub(crate) fn alert_to_server(&self) -> Option<AlertDescription> {
        alert(self.server.as_ref().err())
    }

    #[track_caller]
    pub(crate) fn completed(self) -> (ClientConnection, ServerConnection) {
        (self.client.expect("the client is content"), self.server.expect("the server is content"))
    }
}

/// A handshake over memory, until both ends are done or both have failed.
pub(crate) fn handshake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Handshake {
    let name = ServerName::try_from("routing.only.example").unwrap();
    let mut client = Ok(ClientConnection::new(client, name).unwrap());
    let mut server = Ok(ServerConnection::new(server).unwrap());
    // Two rounds are a TLS 1.3 handshake; the rest lets alerts arrive.
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        flush(&mut client, &mut to_server);
        take(&mut server, &mut to_server, &mut to_client);
        flush(&mut server, &mut to_client);
        take(&mut client, &mut to_client, &mut to_server);
    }
    Handshake { client, server }
}

fn flush<D>(end: &mut Result<impl DerefMut<Target = ConnectionCommon<D>>, Error>, out: &mut Vec<u8>) {
    if let Ok(end) = end {
        while end.wants_write() {
            end.write_tls(out).unwrap();
        }
    }
}

fn take<D>(
    end: &mut Result<impl DerefMut<Target = ConnectionCommon<D>>, Error>,
    input: &mut Vec<u8>,
    output: &mut Vec<u8>,
) {
    let bytes = std::mem::take(input);
    let Ok(connection) = end else { return };
    let mut unread = bytes.as_slice();
    while !unread.is_empty() {
        connection.read_tls(&mut unread).unwrap();
        if let Err(error) = connection.process_new_packets() {
            while connection.wants_write() {
                connection.write_tls(output).unwrap();
            }
            *end = Err(error);
            return;
        }
    }
}

fn alert(error: Option<&Error>) -> Option<AlertDescription> {
    match error {
        Some(Error::AlertReceived(alert)) => Some(*alert),
        _ => None,
    }
}

fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = later(0).checked_sub(Duration::from_secs(DAY)).unwrap().into();
    params.not_after = later(365 * DAY).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn leaf(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = later(0).checked_sub(Duration::from_secs(HOUR)).unwrap().into();
    params.not_after = later(HOUR).into();
    params.subject_alt_names = vec![uri_name(uri)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

pub(crate) fn uri_name(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}
