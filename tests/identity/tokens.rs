//! Join tokens that admit nobody, and the control plane that is none.

use std::time::Duration;

use tonic::Code;
use weft_certs::request::KeyAndRequest;
use weft_proto::v1::CreateTokenRequest;
use weft_proto::v1::denial::Whom;
use weft_proto::v1::enroll_request::Attestation;
use weft_tests::eventually::eventually;
use weft_tests::figures::report;
use weft_tests::mesh::Mesh;
use weft_tests::peer::Peer;

use crate::counters::{counts, only};
use crate::enrolment::{enrol, outcomes, request, stranger, token};
use crate::forge::Ca;
use crate::present::server;

fn csr() -> Vec<u8> {
    KeyAndRequest::generate().unwrap().csr_der
}

/// The four fields of a token.
fn fields(token: &str) -> [String; 4] {
    let (version, rest) = token.split_once('.').unwrap();
    let (rest, secret) = rest.rsplit_once('.').unwrap();
    let (domain, root) = rest.rsplit_once('.').unwrap();
    [version, domain, root, secret].map(str::to_owned)
}

/// With one digit of hex replaced by another.
fn altered(hex: &str, at: usize) -> String {
    let mut digits = hex.to_owned().into_bytes();
    digits[at] = if digits[at] == b'0' { b'1' } else { b'0' };
    String::from_utf8(digits).unwrap()
}

#[tokio::test]
async fn no_bad_token_admits_anybody_and_all_of_them_get_the_same_answer() {
    let mesh = Mesh::start("").await;
    let used = token(&mesh, "web", "web", 1).await;
    enrol(&mesh, request(&used, "shop/web", csr())).await.unwrap();
    let good = token(&mesh, "web", "web", 1).await;
    let [version, domain, root, secret] = fields(&good);
    let put = |fields: [&str; 4]| fields.join(".");
    let elsewhere = Mesh::start("").await;
    let foreign = token(&elsewhere, "web", "web", 1).await;

    let mut bad: Vec<(String, String, &str, &str)> = vec![
        ("used once already".into(), used, "shop/web", "token_used"),
        ("for another workload".into(), good.clone(), "shop/api", "token_other_workload"),
        ("for a workload that is none".into(), good.clone(), "shop/../bank/web", "token_other_workload"),
        ("another mesh's, of the same name".into(), foreign, "shop/web", "token_other_root"),
        ("version 0".into(), put(["weft0", &domain, &root, &secret]), "shop/web", "token_malformed"),
        ("version 2".into(), put(["weft2", &domain, &root, &secret]), "shop/web", "token_malformed"),
        ("no version".into(), put(["", &domain, &root, &secret]), "shop/web", "token_malformed"),
        (
            "another trust domain".into(),
            put([&version, "other.mesh", &root, &secret]),
            "shop/web",
            "token_other_trust_domain",
        ),
        (
            "ours in upper case".into(),
            put([&version, "WEFT.local", &root, &secret]),
            "shop/web",
            "token_malformed",
        ),
        (
            "ours below another".into(),
            put([&version, "weft.local.evil", &root, &secret]),
            "shop/web",
            "token_other_trust_domain",
        ),
        ("no trust domain".into(), put([&version, "", &root, &secret]), "shop/web", "token_malformed"),
        (
            "upper-case digits".into(),
            put([&version, &domain, &root, &"A".repeat(64)]),
            "shop/web",
            "token_malformed",
        ),
        (
            "a secret of zeros".into(),
            put([&version, &domain, &root, &"0".repeat(64)]),
            "shop/web",
            "token_unknown",
        ),
        ("its root for a secret".into(), put([&version, &domain, &root, &root]), "shop/web", "token_unknown"),
        ("a secret twice".into(), format!("{good}.{secret}"), "shop/web", "token_other_trust_domain"),
        ("nothing".into(), String::new(), "shop/web", "token_malformed"),
        ("spaces".into(), "   ".into(), "shop/web", "token_malformed"),
        ("a space inside".into(), good.replacen('.', ". ", 1), "shop/web", "token_malformed"),
        ("NUL behind it".into(), format!("{good}\0"), "shop/web", "token_malformed"),
        ("20 000 characters".into(), "w".repeat(20_000), "shop/web", "token_malformed"),
        (
            "a JSON web token".into(),
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ3ZWIifQ.".into(),
            "shop/web",
            "token_malformed",
        ),
    ];
    for at in [0, 31, 63] {
        let what = format!("digit {at} of its root");
        bad.push((
            what,
            put([&version, &domain, &altered(&root, at), &secret]),
            "shop/web",
            "token_other_root",
        ));
        let what = format!("digit {at} of its secret");
        bad.push((what, put([&version, &domain, &root, &altered(&secret, at)]), "shop/web", "token_unknown"));
    }
    for length in [3, 6, 20, good.len() - 65, good.len() - 1] {
        bad.push((format!("cut after {length}"), good[..length].to_owned(), "shop/web", "token_malformed"));
    }
    let mut answers = Vec::new();
    let count = bad.len();
    for (what, token, workload, reason) in bad {
        let before = outcomes(&mesh).await;
        let status = enrol(&mesh, request(&token, workload, csr())).await.expect_err(&what);
        assert_eq!(status.code(), Code::Unauthenticated, "{what}: {status}");
        only(&what, &before, reason, async || outcomes(&mesh).await).await;
        answers.push(status.message().to_owned());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "a stranger is told what is wrong with a token: {answers:?}");
    // None of them was this one.
    enrol(&mesh, request(&good, "shop/web", csr())).await.unwrap();
    report(9, format!("{count} bad tokens, 0 accepted"), true);
}

#[tokio::test]
async fn a_token_of_a_denied_identity_admits_nobody_and_forgetting_its_workload_makes_no_used_one_good() {
    let mesh = Mesh::start("").await;
    let early = token(&mesh, "web", "web", 1).await;
    let web = || Whom::Identity("spiffe://weft.local/ns/shop/sa/web".to_owned());
    mesh.operator().deny(web()).await.unwrap();
    let before = outcomes(&mesh).await;
    enrol(&mesh, request(&early, "shop/web", csr())).await.unwrap_err();
    only("a denied identity's token", &before, "token_denied", async || outcomes(&mesh).await).await;
    mesh.operator().allow(web()).await.unwrap();
    enrol(&mesh, request(&early, "shop/web", csr())).await.unwrap();
    // Forgetting the workload does not make a used token good again.
    assert!(mesh.operator().forget("shop/web").await.unwrap().known);
    let before = outcomes(&mesh).await;
    enrol(&mesh, request(&early, "shop/web", csr())).await.unwrap_err();
    only("a forgotten workload's old token", &before, "token_used", async || outcomes(&mesh).await).await;
    let anew = token(&mesh, "web", "web", 1).await;
    enrol(&mesh, request(&anew, "shop/web", csr())).await.unwrap();
}

#[tokio::test]
async fn what_is_no_join_token_at_all_is_said_to_be_none() {
    let mesh = Mesh::start("").await;
    for (what, attestation, reason, code) in [
        ("no attestation", None, "no_attestation", Code::InvalidArgument),
        (
            "a cluster's token",
            Some(Attestation::ServiceAccountToken("eyJ".into())),
            "no_cluster",
            Code::Unauthenticated,
        ),
    ] {
        let before = outcomes(&mesh).await;
        let mut asked = request("", "shop/web", csr());
        asked.attestation = attestation;
        assert_eq!(enrol(&mesh, asked).await.unwrap_err().code(), code, "{what}");
        only(what, &before, reason, async || outcomes(&mesh).await).await;
    }
    let status = enrol(&mesh, request(&"w".repeat(1 << 20), "shop/web", csr())).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "a megabyte: {status}");
}

#[tokio::test]
async fn a_token_that_has_expired_is_told_from_one_that_never_was() {
    let mesh = Mesh::start("").await;
    let short = CreateTokenRequest {
        workload: "shop/web".to_owned(),
        service_account: "web".to_owned(),
        uses: 1000,
        lifetime_secs: 1,
    };
    let short = mesh.operator().token(short).await.unwrap().token;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = outcomes(&mesh).await;
    let status = enrol(&mesh, request(&short, "shop/web", csr())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    only("an expired token", &before, "token_expired", async || outcomes(&mesh).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_show_one_token_at_the_same_moment_exactly_one_is_admitted() {
    let mesh = Mesh::start("").await;
    for round in 0..16 {
        let name = format!("w{round}");
        let (token, workload) = (token(&mesh, &name, &name, 1).await, format!("shop/{name}"));
        let (mut first, mut second) = (stranger(&mesh).await, stranger(&mesh).await);
        let before = outcomes(&mesh).await;
        let (first, second) = tokio::join!(
            first.enroll(request(&token, &workload, csr())),
            second.enroll(request(&token, &workload, csr())),
        );
        assert!(first.is_ok() != second.is_ok(), "{first:?}, {second:?}");
        let after = outcomes(&mesh).await;
        let rise = crate::counters::risen(&before, &after);
        assert_eq!((rise["issued"], rise["token_used"]), (1, 1), "{rise:?}");
    }
}

#[tokio::test]
async fn fifty_replicas_of_one_service_account_enrol_without_waiting_for_each_other() {
    let mesh = Mesh::start("").await;
    for nth in 0..50 {
        let token = token(&mesh, &format!("web-{nth}"), "web", 1).await;
        let certificate = enrol(&mesh, request(&token, &format!("shop/web-{nth}"), csr())).await;
        assert_eq!(certificate.unwrap().identity, "spiffe://weft.local/ns/shop/sa/web");
    }
}

#[tokio::test]
async fn a_workload_that_poses_as_the_control_plane_is_told_nothing() {
    let mut mesh = Mesh::start("").await;
    let web = mesh.beside("shop/web").start().await;
    let (stolen, _) = Ca::stolen_from(&mesh.scratch().join("state"));
    let addr = mesh.grpc_addr();
    mesh.stop().await;
    let posing = stolen.leaf("spiffe://weft.local/ns/shop/sa/web", |_| {});
    let config = server(&posing, &[b"h2"]);
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let impostor = Peer::start_at(addr, move |stream| {
        let (config, told) = (config.clone(), told.clone());
        async move {
            use tokio::io::AsyncReadExt;
            let mut stream = tokio_rustls::TlsAcceptor::from(config).accept(stream).await?;
            let mut bytes = vec![0; 100];
            let read = stream.read(&mut bytes).await?;
            let _ = told.send(read);
            Ok(())
        }
    })
    .await;
    eventually("the proxy has met the impostor", async || {
        let counts =
            counts(&web.metrics().await, "weft_tls_refused_total", "side=\"control_plane\"", "reason");
        assert!(counts.keys().all(|reason| reason == "wrong_identity" || reason == "closed"), "{counts:?}");
        counts.contains_key("wrong_identity").then_some(())
    })
    .await;
    assert!(hears.try_recv().is_err(), "the impostor has been told something");
    // The real one is found again.
    drop(impostor);
    eventually("the impostor's port is free", async || tokio::net::TcpListener::bind(addr).await.ok()).await;
    mesh.resume().await;
    eventually("the proxy is back", async || {
        (web.counter("weft_control_plane_connected", &[]).await == 1.0).then_some(())
    })
    .await;
}
