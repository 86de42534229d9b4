//! Who may stay: streams of workloads that registered themselves, that are denied, forgotten, old or expired.

use std::time::SystemTime;

use weft_certs::authority::{Authority, AuthorityPem, Lifetime};
use weft_certs::request::KeyAndRequest;
use weft_policy::identity::SpiffeId;

use super::proxy::{attaching, is_let_in, metric};
use super::*;

const API: &str = "spiffe://weft.local/ns/shop/sa/api";

/// What a workload that no manifest declares says of itself.
pub(super) fn claim() -> v1::Registration {
    v1::Registration {
        address: "127.0.0.9".to_owned(),
        inbound_port: 4143,
        ports: vec![v1::RegisteredPort { name: "http".to_owned(), number: 8080, protocol: 0 }],
        labels: vec![v1::Label { key: "app".to_owned(), value: "api".to_owned() }],
        weight: 1,
        ..v1::Registration::default()
    }
}

impl Mesh {
    /// Who enrols as `shop/<name>`, which no manifest declares, under the service account `api`.
    pub(super) async fn laptop(&mut self, name: &str) -> Enrolled {
        let request = v1::CreateTokenRequest {
            workload: format!("shop/{name}"),
            service_account: "api".to_owned(),
            ..v1::CreateTokenRequest::default()
        };
        let token = self.operator.admin.create_token(request).await.unwrap().into_inner().token;
        Enrolled::with(self.running.grpc_addr, &token, &format!("shop/{name}")).await
    }

    /// Its stream, with or without saying what it is.
    pub(super) async fn attach_laptop(
        &self,
        who: &Enrolled,
        name: &str,
        registration: Option<v1::Registration>,
    ) -> Result<Proxy, tonic::Status> {
        let workload = format!("shop/{name}");
        let held = Held::new(WorkloadName::parse(&workload).unwrap());
        let hello = v1::Hello { workload, registration, ..v1::Hello::default() };
        Proxy::attach_saying(self.running.grpc_addr, who, held, hello).await
    }

    async fn metric(&self, line: &str) -> u64 {
        metric(self.running.admin_addr, line).await
    }
}

#[tokio::test]
async fn a_workload_that_registers_itself_is_served_at_the_first_try() {
    let mut mesh = Mesh::start().await;
    for nth in 0..20 {
        let name = format!("laptop-{nth}");
        let who = mesh.laptop(&name).await;
        let workload = format!("shop/{name}");
        let held = Held::new(WorkloadName::parse(&workload).unwrap());
        let hello =
            v1::Hello { workload: workload.clone(), registration: Some(claim()), ..v1::Hello::default() };
        // What it wants comes right behind who it is, before the world has heard of it.
        let wanted = [(Type::Trust, "weft.local"), (Type::Inbound, workload.as_str())];
        let mut proxy = attaching(mesh.running.grpc_addr, &who, held, hello, &wanted).await.unwrap();
        proxy.until(|held| held.snapshot().inbound.is_some()).await;
    }
    assert_eq!(mesh.metric("weft_control_plane_streams_ended_total{code=\"PermissionDenied\"}").await, 0);
}

#[tokio::test]
async fn a_workload_that_comes_back_without_its_registration_is_what_it_said_before() {
    let mut mesh = Mesh::start().await;
    let who = mesh.laptop("laptop").await;
    let stranger = mesh.attach_laptop(&who, "laptop", None).await.err().map(|status| status.code());
    assert_eq!(stranger, Some(Code::PermissionDenied), "it never said what it is");
    let first = mesh.attach_laptop(&who, "laptop", Some(claim())).await.unwrap();
    drop(first);
    mesh.becomes("weft_control_plane_unconfirmed", 1).await;
    let again = mesh.attach_laptop(&who, "laptop", None).await.unwrap();
    mesh.becomes("weft_control_plane_unconfirmed", 0).await;
    assert_eq!(mesh.metric("weft_control_plane_registered").await, 1);
    drop(again);
    mesh.becomes("weft_control_plane_unconfirmed", 1).await;
    // Nobody else comes back as it.
    let other = mesh.enrol("shop/web-1").await;
    let refused = mesh.attach_laptop(&other, "laptop", None).await.err().map(|status| status.code());
    assert_eq!(refused, Some(Code::PermissionDenied));
}

impl Mesh {
    async fn becomes(&self, name: &str, value: u64) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while self.metric(name).await != value {
            assert!(tokio::time::Instant::now() < end, "{name} never became {value}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_denial_ends_the_streams_of_its_identity_refuses_renewal_and_leaves_the_others() {
    let mut mesh = Mesh::start().await;
    let mut web = web(&mut mesh).await;
    let (api, addr) = (mesh.enrol("shop/api-1").await, mesh.running.grpc_addr);
    let mut stream = Proxy::attach(addr, &api, "shop/api-1").await.unwrap();
    let renewing = connect(addr, Arc::clone(&api.config)).await;

    let denial = |whom| v1::DenyRequest { denial: Some(v1::Denial { whom: Some(whom) }) };
    let api_denied = || denial(v1::denial::Whom::Identity(API.to_owned()));
    let reply = mesh.operator.admin.deny_identity(api_denied()).await.unwrap().into_inner();
    assert!(reply.changed && reply.denied == [api_denied().denial.unwrap()], "{reply:?}");
    assert_eq!(stream.end().await.unwrap_err().code(), Code::Unauthenticated);

    // The connection that is open renews nothing, and there is no new one.
    let csr_der = KeyAndRequest::generate().unwrap().csr_der;
    let request = v1::RenewRequest { csr_der, lifetime: None };
    let mut client = v1::identity_client::IdentityClient::new(renewing);
    assert_eq!(client.renew(request.clone()).await.unwrap_err().code(), Code::PermissionDenied);
    assert!(!is_let_in(addr, Arc::clone(&api.config)).await);
    // Who is somebody else is told of it, and stays.
    let domain = "weft.local".parse().unwrap();
    web.until(|held| held.trust(&domain).is_some_and(|trust| trust.denied_identities.len() == 1)).await;

    let again = mesh.operator.admin.deny_identity(api_denied()).await.unwrap().into_inner();
    assert!(!again.changed);
    let allowed = mesh.operator.admin.allow_identity(api_denied()).await.unwrap().into_inner();
    assert!(allowed.changed && allowed.denied.is_empty(), "{allowed:?}");
    assert!(!mesh.operator.admin.allow_identity(api_denied()).await.unwrap().into_inner().changed);
    drop(Proxy::attach(addr, &api, "shop/api-1").await.unwrap());
    client.renew(request).await.unwrap();

    for (whom, code) in [
        (
            v1::denial::Whom::Identity("spiffe://weft.local/weft/control-plane".to_owned()),
            Code::InvalidArgument,
        ),
        (v1::denial::Whom::Identity("spiffe://other.mesh/ns/a/sa/b".to_owned()), Code::InvalidArgument),
        (v1::denial::Whom::Identity("shop/api".to_owned()), Code::InvalidArgument),
        (v1::denial::Whom::Serial("not hex".to_owned()), Code::InvalidArgument),
    ] {
        let refused = mesh.operator.admin.deny_identity(denial(whom.clone())).await;
        assert_eq!(refused.unwrap_err().code(), code, "{whom:?}");
    }
}

#[tokio::test]
async fn a_forgotten_workload_loses_its_stream_and_needs_a_new_token() {
    let mut mesh = Mesh::start().await;
    let who = mesh.laptop("laptop").await;
    let mut stream = mesh.attach_laptop(&who, "laptop", Some(claim())).await.unwrap();
    let forget = |workload: &str| v1::ForgetRequest { workload: workload.to_owned() };
    let reply = mesh.operator.admin.forget_workload(forget("shop/laptop")).await.unwrap().into_inner();
    assert!(reply.known && !reply.declared, "{reply:?}");
    assert_eq!(stream.end().await.unwrap_err().code(), Code::PermissionDenied);
    for registration in [Some(claim()), None] {
        let refused =
            mesh.attach_laptop(&who, "laptop", registration).await.err().map(|status| status.code());
        assert_eq!(refused, Some(Code::PermissionDenied));
    }
    let csr_der = KeyAndRequest::generate().unwrap().csr_der;
    let mut client =
        v1::identity_client::IdentityClient::new(connect(mesh.running.grpc_addr, who.config).await);
    let refused = client.renew(v1::RenewRequest { csr_der, lifetime: None }).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "nobody of this identity is left");
    let anew = mesh.laptop("laptop").await;
    drop(mesh.attach_laptop(&anew, "laptop", Some(claim())).await.unwrap());

    let unknown = mesh.operator.admin.forget_workload(forget("shop/nobody")).await.unwrap().into_inner();
    assert!(!unknown.known && !unknown.declared, "{unknown:?}");
    assert!(mesh.operator.admin.forget_workload(forget("shop/web-1")).await.unwrap().into_inner().declared);
    let bad = mesh.operator.admin.forget_workload(forget("../web")).await;
    assert_eq!(bad.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_token_that_cannot_be_made_says_whose_fault_it_is() {
    let mut mesh = Mesh::start().await;
    let good =
        v1::CreateTokenRequest { workload: "shop/web-1".to_owned(), ..v1::CreateTokenRequest::default() };
    for (request, code) in [
        (v1::CreateTokenRequest { workload: "web".to_owned(), ..good.clone() }, Code::InvalidArgument),
        (v1::CreateTokenRequest { service_account: "a/b".to_owned(), ..good.clone() }, Code::InvalidArgument),
        (v1::CreateTokenRequest { lifetime_secs: u32::MAX, ..good.clone() }, Code::InvalidArgument),
        (v1::CreateTokenRequest { uses: u32::MAX, ..good.clone() }, Code::InvalidArgument),
    ] {
        let refused = mesh.operator.admin.create_token(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), code, "{request:?}");
    }
    // The table itself, for what takes a broken disk to happen.
    use crate::attest::TokenError;
    assert_eq!(TokenError::TooMany.code(), Code::ResourceExhausted);
    assert_eq!(TokenError::NoRandomness.code(), Code::Unavailable);
    mesh.operator.admin.create_token(good).await.unwrap();
}

#[tokio::test]
async fn an_old_stream_is_asked_to_go_and_then_ended_without_a_reproach() {
    let mut mesh = Mesh::start_with(|config| config.max_age = Duration::from_secs(1)).await;
    let mut web = mesh.attach("shop/web-1").await;
    assert_eq!(web.notice().await, v1::notice::Kind::GoAway);
    web.end().await.unwrap();
    // And comes back.
    drop(mesh.attach("shop/web-1").await);
}

#[tokio::test]
async fn a_stream_ends_with_the_certificate_that_it_began_with() {
    let mut mesh = Mesh::start().await;
    let who = mesh.enrol("shop/web-1").await;
    // The shortest life that there is, most of it gone; a busy machine may need more of it to begin at all.
    let mut begun = None;
    for left in [3, 6, 12] {
        let short = who.with_credentials_of(&authority(mesh.root.path()), |authority, csr| {
            let id: SpiffeId = "spiffe://weft.local/ns/shop/sa/web".parse().unwrap();
            let then = SystemTime::now() - Lifetime::MIN + Duration::from_secs(left);
            authority.issue(csr, &id, Lifetime::Asked(Lifetime::MIN), then).unwrap()
        });
        begun = Proxy::attach(mesh.running.grpc_addr, &short, "shop/web-1").await.ok().zip(Some(short));
        if begun.is_some() {
            break;
        }
    }
    let (mut stream, short) = begun.expect("a stream begins with a certificate that has not expired");
    let ended = stream.end().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended}");
    assert!(ended.message().contains("expired"), "{ended}");
    // No other begins: a certificate holds to the end of its last second.
    let end = tokio::time::Instant::now() + PATIENCE;
    while is_let_in(mesh.running.grpc_addr, Arc::clone(&short.config)).await {
        assert!(tokio::time::Instant::now() < end, "it is let in for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The mesh's own authority, read from its state directory.
fn authority(root: &Path) -> Authority {
    let file = |ending: &str| {
        let files = std::fs::read_dir(root.join("state/ca")).unwrap().map(|file| file.unwrap().path());
        let found = files.into_iter().find(|file| file.to_string_lossy().ends_with(ending));
        std::fs::read_to_string(found.unwrap()).unwrap()
    };
    let intermediate = file("-intermediate.pem");
    let (certificate, key) = intermediate.split_at(intermediate.find("-----BEGIN PRIVATE").unwrap());
    let pem = AuthorityPem {
        root_certificate: file("-root.pem"),
        root_key: None,
        intermediate_certificate: certificate.to_owned(),
        intermediate_key: key.to_owned(),
    };
    Authority::from_pem(&"weft.local".parse().unwrap(), &pem).unwrap()
}
