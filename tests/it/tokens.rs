//! A join token admits one workload, as one identity, so many times and so long.

use std::os::unix::fs::PermissionsExt;

use weft_proto::v1::CreateTokenRequest;
use weft_tests::eventually::eventually;
use weft_tests::mesh::Mesh;

use crate::shop::SERVICES;

#[tokio::test]
async fn a_token_for_one_use_admits_once_and_says_what_to_do_the_second_time() {
    let mesh = Mesh::start(SERVICES).await;
    let first = mesh.beside("shop/web").start().await;
    let second = mesh.beside("shop/web").token(&first.token).try_start().await;
    let error = second.expect_err("it was used").to_string();
    assert!(error.contains("refused") && error.contains("meshctl token create"), "{error}");
    assert!(!error.contains(&first.token), "{error}");
}

#[tokio::test]
async fn a_token_for_one_workload_is_nothing_to_another() {
    let mesh = Mesh::start(SERVICES).await;
    let token = mesh.token("shop/web", "web").await;
    let error =
        mesh.beside("shop/api-1").token(&token).try_start().await.expect_err("not its own").to_string();
    assert!(error.contains("refused"), "{error}");
    // And it was not used up by the attempt.
    mesh.beside("shop/web").token(&token).start().await;
}

#[tokio::test]
async fn a_token_that_has_expired_admits_nobody() {
    let mesh = Mesh::start(SERVICES).await;
    let request = CreateTokenRequest {
        workload: "shop/web".to_owned(),
        service_account: "web".to_owned(),
        lifetime_secs: 1,
        uses: 1_000_000,
    };
    let created = mesh.operator().token(request).await;
    let token = match created {
        Ok(created) => created.token,
        // So short a life is refused at once where there is a least one: then nobody can hold such a token.
        Err(status) => return assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}"),
    };
    eventually("the token has expired", async || {
        mesh.beside("shop/web").token(&token).try_start().await.err()
    })
    .await;
}

#[tokio::test]
async fn a_token_of_another_mesh_is_noticed_before_it_is_shown_to_anybody() {
    let (ours, theirs) = (Mesh::start(SERVICES).await, Mesh::start(SERVICES).await);
    let token = theirs.token("shop/web", "web").await;
    let starting = ours.beside("shop/web").token(&token).try_start();
    // The proxy keeps asking: the right control plane may come back. What it must not do is to become somebody,
    // or to give its token away.
    let outcome = tokio::time::timeout(std::time::Duration::from_millis(500), starting).await;
    assert!(!matches!(outcome, Ok(Ok(_))), "it joined a mesh that its token does not name");
    theirs.beside("shop/web").token(&token).start().await;
}

#[tokio::test]
async fn text_that_is_no_token_is_refused_by_the_proxy_itself() {
    let mesh = Mesh::start(SERVICES).await;
    for text in ["hunter2", "weft1.weft.local.abc.def", "weft2.x.y.z"] {
        let error = mesh.beside("shop/web").token(text).try_start().await.expect_err(text).to_string();
        assert!(error.contains("not a join token") && !error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_proxy_that_kept_its_certificate_starts_again_without_a_token() {
    let mesh = Mesh::start(SERVICES).await;
    let kept = mesh.scratch().join("kept");
    let kept = kept.to_str().unwrap();
    let first = mesh.beside("shop/web").set("WEFT_IDENTITY_DIR", kept).start().await;
    let serial = |identity: serde_json::Value| identity["serial"].as_str().unwrap().to_owned();
    let before = serial(first.admin("/identity").await.json());
    assert!(first.drain().await);
    let second = mesh.beside("shop/web").set("WEFT_IDENTITY_DIR", kept).token("").start().await;
    assert_eq!(serial(second.admin("/identity").await.json()), before);
    let file = std::fs::metadata(mesh.scratch().join("kept/identity.json")).unwrap();
    assert_eq!(file.permissions().mode() & 0o077, 0, "nobody else may read the key");
}
