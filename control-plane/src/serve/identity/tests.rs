use std::time::Duration;

use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::Code;
use v1::enroll_request::Attestation;
use v1::identity_server::Identity as _;
use weft_certs::authority::Authority;
use weft_certs::bundle::{TrustBundle, TrustBundles, TrustStore};
use weft_certs::request::KeyAndRequest;
use weft_certs::tls::{Credentials, Hop, Tls};
use weft_certs::verify::{Expect, PinnedRoot, peer};
use weft_policy::identity::TrustDomain;

use super::*;
use crate::attest::Wanted;
use crate::custody::{Denial, Init, RotationStep};
use crate::journal::sim::{Fault, SimDisk};

/// A control plane without sockets.
struct Mesh {
    disk: SimDisk,
    custody: Arc<Custody>,
    service: IdentityService,
}

fn domain() -> TrustDomain {
    "mesh".parse().unwrap()
}

fn mesh() -> Mesh {
    mesh_with(Limits::default())
}

fn mesh_with(limits: Limits) -> Mesh {
    let disk = SimDisk::default();
    let custody =
        Custody::open_on(Arc::new(disk.clone()), None, Init::Yes, &domain(), SystemTime::now()).unwrap();
    let custody = Arc::new(custody);
    let service = IdentityService::new(
        Arc::clone(&custody),
        None,
        limits,
        IdentityMetrics::default(),
        Clock::system(),
        Aside::Threads,
    );
    Mesh { disk, custody, service }
}

impl Mesh {
    fn token(&self, uses: u32) -> Token {
        let wanted = Wanted {
            workload: "shop/web-1".to_owned(),
            service_account: "web".to_owned(),
            lifetime: Duration::ZERO,
            uses,
        };
        self.service.tokens().create(&wanted, self.custody.presented_root(), SystemTime::now()).unwrap().token
    }

    async fn enroll(&self, token: &Token, csr_der: Vec<u8>) -> Result<v1::Certificate, Status> {
        self.enroll_as(Some(Attestation::JoinToken(token.to_string())), csr_der, "shop/web-1").await
    }

    async fn enroll_as(
        &self,
        attestation: Option<Attestation>,
        csr_der: Vec<u8>,
        workload: &str,
    ) -> Result<v1::Certificate, Status> {
        let request =
            v1::EnrollRequest { attestation, csr_der, lifetime: None, workload: workload.to_owned() };
        self.service.enroll(Request::new(request)).await.map(Response::into_inner)
    }

    /// Renews over a connection whose client has presented `certificate`.
    async fn renew(
        &self,
        certificate: Option<&v1::Certificate>,
        csr_der: Vec<u8>,
    ) -> Result<v1::Certificate, Status> {
        let mut request = Request::new(v1::RenewRequest { csr_der, lifetime: None });
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 40_000));
        let chain: Arc<[_]> = certificate.map(chain).unwrap_or_default().into();
        request.extensions_mut().insert(Caller { peer: peer(&chain).ok(), chain, addr });
        self.service.renew(request).await.map(Response::into_inner)
    }

    fn count(&self, method: &'static str, outcome: &'static str) -> u64 {
        self.service.0.metrics.of(method, outcome)
    }
}

fn id(service_account: &str) -> SpiffeId {
    format!("spiffe://mesh/ns/shop/sa/{service_account}").parse().unwrap()
}

fn csr() -> Vec<u8> {
    KeyAndRequest::generate().unwrap().csr_der
}

fn chain(certificate: &v1::Certificate) -> Vec<CertificateDer<'static>> {
    certificate.chain_der.iter().map(|der| CertificateDer::from(der.clone())).collect()
}

fn who(certificate: &v1::Certificate) -> Peer {
    peer(&chain(certificate)).unwrap()
}

#[tokio::test]
async fn a_token_and_a_key_become_a_certificate_with_the_trust_that_goes_with_it() {
    let mesh = mesh();
    let certificate = mesh.enroll(&mesh.token(1), csr()).await.unwrap();
    assert_eq!(certificate.identity, "spiffe://mesh/ns/shop/sa/web");
    assert_eq!(who(&certificate).id, id("web"));
    let trust = certificate.trust.unwrap();
    assert_eq!(trust.sequence, mesh.custody.bundle().sequence());
    assert_eq!(trust.anchor_der, [mesh.custody.signer().root().to_vec()]);
    assert_eq!(certificate.chain_der.len(), 2, "without the root");
    let lived = certificate.server_unix - certificate.not_before_unix;
    assert!((300..=302).contains(&lived), "dated back by five minutes: {lived}");
    assert!(certificate.renew_after_unix < certificate.not_after_unix);
    assert_eq!(mesh.count("enroll", "issued"), 1);
}

#[tokio::test]
async fn every_bad_token_gets_the_same_answer_and_its_own_count() {
    let mesh = mesh();
    let token = mesh.token(1);
    mesh.enroll(&token, csr()).await.unwrap();
    let unused = mesh.token(1).to_string();
    let mut answers = Vec::new();
    for (text, workload, label) in [
        (token.to_string(), "shop/web-1", "token_used"),
        (unused.clone(), "shop/web-2", "token_other_workload"),
        (unused.replace("mesh", "moon"), "shop/web-1", "token_other_trust_domain"),
        (format!("{}{}", &unused[..unused.len() - 4], "0000"), "shop/web-1", "token_unknown"),
        ("x".to_owned(), "shop/web-1", "token_malformed"),
        ("x".repeat(20_000), "shop/web-1", "token_malformed"),
    ] {
        let before = mesh.count("enroll", label);
        let status = mesh.enroll_as(Some(Attestation::JoinToken(text)), csr(), workload).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{label}");
        assert_eq!(mesh.count("enroll", label), before + 1, "{label}");
        answers.push(status.message().to_owned());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn a_request_for_another_name_is_refused_and_the_token_is_still_good() {
    let mesh = mesh();
    let token = mesh.token(1);
    let asking_for = |id: &SpiffeId| KeyAndRequest::generate_for(id).unwrap().csr_der;
    let control_plane = SpiffeId::control_plane(&domain());
    let other_domain: SpiffeId = "spiffe://moon/ns/shop/sa/web".parse().unwrap();
    for (csr, code, label) in [
        (asking_for(&id("admin")), Code::PermissionDenied, "csr_wants_other_name"),
        (asking_for(&control_plane), Code::PermissionDenied, "csr_wants_other_name"),
        (asking_for(&other_domain), Code::PermissionDenied, "csr_wants_other_name"),
        (Vec::new(), Code::InvalidArgument, "csr_malformed"),
        (vec![0x30; 500], Code::InvalidArgument, "csr_malformed"),
    ] {
        // More than a burst, so that each has its own second.
        let before = mesh.count("enroll", label);
        mesh.service.0.limiter.lock().unwrap().forget();
        let status = mesh.enroll(&token, csr).await.unwrap_err();
        assert_eq!(status.code(), code, "{label}: {status}");
        assert!(!status.message().contains("spiffe://mesh"), "{status}");
        assert_eq!(mesh.count("enroll", label), before + 1);
    }
    mesh.service.0.limiter.lock().unwrap().forget();
    let status = mesh.enroll(&token, vec![0; MAX_CSR_BYTES + 1]).await.unwrap_err();
    assert_eq!((status.code(), mesh.count("enroll", "csr_too_large")), (Code::InvalidArgument, 1));
    let certificate = mesh.enroll(&token, asking_for(&id("web"))).await.unwrap();
    assert_eq!(who(&certificate).id, id("web"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_callers_who_race_for_one_token_exactly_one_gets_a_certificate() {
    let mesh = Arc::new(mesh());
    for _ in 0..10 {
        mesh.service.0.limiter.lock().unwrap().forget();
        let token = mesh.token(1);
        let racers: Vec<_> = (0..3)
            .map(|_| {
                let (mesh, token) = (Arc::clone(&mesh), token.clone());
                tokio::spawn(async move { mesh.enroll(&token, csr()).await.is_ok() })
            })
            .collect();
        let mut won = 0;
        for racer in racers {
            won += u32::from(racer.await.unwrap());
        }
        assert_eq!(won, 1);
    }
}

#[tokio::test]
async fn what_cannot_be_checked_here_is_said_so() {
    let mesh = mesh();
    for (attestation, code) in [
        (None, Code::InvalidArgument),
        (Some(Attestation::ServiceAccountToken("eyJ".to_owned())), Code::Unauthenticated),
    ] {
        assert_eq!(mesh.enroll_as(attestation, csr(), "").await.unwrap_err().code(), code);
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_by_its_holder_alone_and_for_as_long_as_it_is_known() {
    let mesh = mesh();
    let enrolled = mesh.enroll(&mesh.token(1), csr()).await.unwrap();
    let renewed = mesh.renew(Some(&enrolled), csr()).await.unwrap();
    assert_eq!(who(&renewed).id, who(&enrolled).id);
    assert_ne!(who(&renewed).serial, who(&enrolled).serial);

    let signer = mesh.custody.signer();
    let hour = Duration::from_secs(3600);
    let made = |authority: &Authority, id: &SpiffeId, age: Duration| {
        let made = authority.issue(&csr(), id, Lifetime::Asked(hour), SystemTime::now() - age).unwrap();
        v1::Certificate { chain_der: made.chain_der, ..v1::Certificate::default() }
    };
    let own = signer.issue_control_plane(&csr(), SystemTime::now()).unwrap();
    let own = v1::Certificate { chain_der: own.chain_der, ..v1::Certificate::default() };
    let impostor = Authority::mint(&domain(), SystemTime::now()).unwrap();
    let moon = Authority::mint(&"moon".parse().unwrap(), SystemTime::now()).unwrap();
    let on_the_moon = "spiffe://moon/ns/shop/sa/web".parse().unwrap();
    let root = v1::Certificate { chain_der: vec![signer.root().to_vec()], ..v1::Certificate::default() };
    for (certificate, code, label) in [
        (None, Code::Unauthenticated, "no_certificate"),
        (Some(made(&signer, &id("web"), 2 * hour)), Code::Unauthenticated, "expired"),
        (Some(made(&impostor, &id("web"), Duration::ZERO)), Code::Unauthenticated, "untrusted"),
        (Some(made(&moon, &on_the_moon, Duration::ZERO)), Code::Unauthenticated, "unknown_trust_domain"),
        (Some(root), Code::Unauthenticated, "ca_as_leaf"),
        (Some(own), Code::PermissionDenied, "not_ours"),
        (Some(made(&signer, &id("nobody"), Duration::ZERO)), Code::PermissionDenied, "forgotten"),
    ] {
        let status = mesh.renew(certificate.as_ref(), csr()).await.unwrap_err();
        assert_eq!((status.code(), mesh.count("renew", label)), (code, 1), "{label}");
    }
    let other_name = KeyAndRequest::generate_for(&id("admin")).unwrap().csr_der;
    let status = mesh.renew(Some(&enrolled), other_name).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let status = mesh.renew(Some(&enrolled), vec![0; MAX_CSR_BYTES + 1]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn whoever_is_denied_renews_nothing_though_the_connection_is_still_open() {
    for by_serial in [true, false] {
        let mesh = mesh();
        let enrolled = mesh.enroll(&mesh.token(1), csr()).await.unwrap();
        let Peer { id, serial, .. } = who(&enrolled);
        let denial = if by_serial { Denial::Serial(serial) } else { Denial::Identity(id) };
        mesh.custody.deny(&denial, SystemTime::now()).unwrap();
        let status = mesh.renew(Some(&enrolled), csr()).await.unwrap_err();
        assert_eq!((status.code(), mesh.count("renew", "denied")), (Code::PermissionDenied, 1));
        mesh.custody.allow(&denial, SystemTime::now()).unwrap();
        mesh.renew(Some(&enrolled), csr()).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_admits_nobody_new_and_renews_everybody() {
    let mesh = mesh();
    let enrolled = mesh.enroll(&mesh.token(1), csr()).await.unwrap();
    let token = mesh.token(1);
    mesh.disk.suffer(Fault::Full);
    let status = mesh.enroll(&token, csr()).await.unwrap_err();
    assert_eq!((status.code(), mesh.count("enroll", "journal")), (Code::Unavailable, 1));
    assert!(!status.message().contains("journal."), "no paths: {status}");
    mesh.renew(Some(&enrolled), csr()).await.unwrap();
    mesh.disk.suffer(Fault::None);
    mesh.enroll(&token, csr()).await.unwrap();
    mesh.service.tick().unwrap();
}

#[tokio::test]
async fn asking_again_and_again_is_slowed_down() {
    let mesh = mesh_with(Limits { workload: Rate { per_second: 0.001, burst: 5.0 }, ..Limits::default() });
    let token = mesh.token(100);
    let mut codes = Vec::new();
    for _ in 0..7 {
        codes.push(mesh.enroll(&token, csr()).await.map_or_else(|status| status.code(), |_| Code::Ok));
    }
    assert_eq!(codes.iter().filter(|code| **code == Code::Ok).count(), 5);
    assert_eq!(codes.last(), Some(&Code::ResourceExhausted));

    let busy = mesh_with(Limits { at_once: 0, ..Limits::default() });
    let status = busy.enroll(&busy.token(1), csr()).await.unwrap_err();
    assert_eq!((status.code(), busy.count("enroll", "busy")), (Code::ResourceExhausted, 1));
}

/// The identity that the server sees, after a real handshake between `client` and this control plane.
async fn connect(mesh: &Mesh, client: Arc<rustls::ClientConfig>) -> std::io::Result<Option<Peer>> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = TlsAcceptor::from(mesh.custody.server_config());
    let name = "control-plane.invalid".try_into().unwrap();
    let (accepted, connected) =
        tokio::join!(server.accept(far), TlsConnector::from(client).connect(name, near));
    connected?;
    Ok(accepted?.get_ref().1.peer_certificates().map(|chain| peer(chain).unwrap()))
}

fn pinned(token: &Token) -> Arc<rustls::ClientConfig> {
    let hash = token.root_sha256.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let pin = PinnedRoot { domain: token.trust_domain.clone(), root: hash.parse().unwrap() };
    Tls::new(Arc::new(TrustStore::default())).pinned_client(&pin)
}

#[tokio::test]
async fn a_token_is_all_that_a_proxy_needs_to_know_its_control_plane_from_the_first_byte() {
    let (mesh, impostor) = (mesh(), mesh());
    let token: Token = mesh.token(2).to_string().parse().unwrap();
    assert_eq!(connect(&mesh, pinned(&token)).await.unwrap(), None, "nobody yet");
    assert!(connect(&impostor, pinned(&token)).await.is_err(), "the same trust domain, another root");

    // Enrol, and come back as somebody, trusting what came with the certificate.
    let KeyAndRequest { key, csr_der } = KeyAndRequest::generate().unwrap();
    let certificate = mesh.enroll(&token, csr_der).await.unwrap();
    let trust = certificate.trust.clone().unwrap();
    let roots = trust.anchor_der.into_iter().map(CertificateDer::from);
    let bundle = TrustBundle::new(domain(), trust.sequence, roots, Default::default()).unwrap();
    let store = Arc::new(TrustStore::new(TrustBundles::default().with(bundle)));
    let credentials = Credentials::new(certificate.chain_der.clone(), &key).unwrap();
    let control_plane = Expect::Exactly(SpiffeId::control_plane(&domain()));
    let client = Tls::new(store).client(&credentials, control_plane, Hop::ControlPlane);
    let seen = connect(&mesh, Arc::clone(&client)).await.unwrap().unwrap();
    assert_eq!(seen, who(&certificate));
    mesh.renew(Some(&certificate), csr()).await.unwrap();

    // A root rotation that this proxy sleeps through until the old root is retired does not shut it out, and
    // neither does the token's pin.
    let now = SystemTime::now();
    mesh.custody.rotate(RotationStep::Prepare, &[], now).unwrap();
    assert!(connect(&mesh, Arc::clone(&client)).await.is_ok());
    mesh.custody.rotate(RotationStep::Activate, &[], now).unwrap();
    assert_eq!(connect(&mesh, Arc::clone(&client)).await.unwrap(), Some(seen));
    assert!(connect(&mesh, pinned(&token)).await.is_ok());
    mesh.custody.rotate(RotationStep::Retire, &[], now + Duration::from_secs(25 * 3600)).unwrap();
    assert!(connect(&mesh, client).await.is_err(), "it has to enrol again now");
    assert!(connect(&mesh, pinned(&token)).await.is_err(), "with a new token");
}

#[tokio::test]
async fn whoever_is_denied_does_not_even_get_a_connection() {
    let mesh = mesh();
    let KeyAndRequest { key, csr_der } = KeyAndRequest::generate().unwrap();
    let certificate = mesh.enroll(&mesh.token(1), csr_der).await.unwrap();
    let credentials = Credentials::new(certificate.chain_der.clone(), &key).unwrap();
    let expect = Expect::Exactly(SpiffeId::control_plane(&domain()));
    let tls = Tls::new(Arc::clone(mesh.custody.trust_store()));
    let client = || tls.client(&credentials, expect.clone(), Hop::ControlPlane);
    assert!(connect(&mesh, client()).await.unwrap().is_some());
    mesh.custody.deny(&Denial::Identity(id("web")), SystemTime::now()).unwrap();
    assert!(connect(&mesh, client()).await.is_err());
}
