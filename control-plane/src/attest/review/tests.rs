//! Tokens at an API server that is slow, away or of another opinion. The judgement itself is tested in `cluster`.

use super::super::signed::tests::{Signer, body};
use super::*;
use crate::scripted::{Fault, Server};
use crate::source::kubernetes::Kubernetes;

fn vouched(audience: &str) -> Value {
    json!({"authenticated": true, "audiences": [audience],
        "user": {"username": "system:serviceaccount:shop:api", "extra": {
            "authentication.kubernetes.io/pod-name": ["api-1"],
            "authentication.kubernetes.io/pod-uid": ["u-1"]}}})
}

fn pod() -> Value {
    json!({"metadata": {"name": "api-1", "namespace": "shop", "uid": "u-1"}, "spec": {"serviceAccountName": "api"},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.7"}]}})
}

async fn tokens(server: &Server) -> PodTokens {
    PodTokens::new(server.client().await, Gathered::default(), AUDIENCE, "mesh".parse().unwrap())
}

async fn admit(tokens: &PodTokens, token: &str) -> Result<String, PodRefused> {
    let pass = tokens.admit(token, Some("10.0.0.7".parse().unwrap()), "shop/api-1").await?;
    Ok(pass.identity.to_string())
}

#[tokio::test]
async fn a_token_for_another_audience_and_one_of_a_pod_that_vanished_meanwhile_admit_nobody() {
    let server = Server::start().await;
    server.review("good", vouched(AUDIENCE));
    server.review("vault", vouched("vault"));
    server.put("pods", &pod());
    let tokens = tokens(&server).await;
    assert_eq!(admit(&tokens, "good").await.unwrap(), "spiffe://mesh/ns/shop/sa/api");
    let refused = |refused: Result<String, PodRefused>| refused.unwrap_err().to_string();
    assert!(refused(admit(&tokens, "vault").await).contains("not for this control plane's audience"));
    assert!(refused(admit(&tokens, "made up").await).contains("does not know the token"));
    // The review is remembered for a moment; whether the pod is there is asked each time.
    server.delete("pods", "api-1");
    assert!(refused(admit(&tokens, "good").await).contains("there is no such pod"));
    let mut another = pod();
    another["metadata"]["uid"] = json!("u-2");
    server.put("pods", &another);
    assert!(refused(admit(&tokens, "good").await).contains("another has its name"));
}

#[tokio::test]
async fn an_api_server_that_cannot_say_admits_nobody_condemns_nobody_and_is_asked_once_an_attempt() {
    let server = Server::start().await;
    server.review("good", vouched(AUDIENCE));
    server.put("pods", &pod());
    let tokens = tokens(&server).await;
    for request in ["POST tokenreviews", "GET pods"] {
        for fault in
            [Fault::Status(500), Fault::Status(403), Fault::Later(3600), Fault::Nonsense, Fault::HangUp]
        {
            server.fail(request, fault);
            let asked = server.requests("POST /apis/authentication.k8s.io");
            let refused = admit(&tokens, "good").await.unwrap_err();
            assert!(matches!(refused, PodRefused::NoAnswer { .. }), "{request} {fault:?}: {refused}");
            assert!(server.requests("POST /apis/authentication.k8s.io") <= asked + 1, "{request} {fault:?}");
        }
    }
    assert!(admit(&tokens, "good").await.is_ok(), "nothing bad is remembered of it");
}

/// An API server that has a pod and published keys, and what is known of both.
async fn busy() -> (Server, Signer, PodTokens, Kubernetes) {
    let (server, signer) = (Server::start().await, Signer::p256("k1"));
    server.put("pods", &pod());
    server.document("/openid/v1/jwks", json!({"keys": [signer.jwk]}));
    let issuer = json!({"issuer": "https://kubernetes.default.svc"});
    server.document("/.well-known/openid-configuration", issuer);
    let client = server.client().await;
    let mut kubernetes = Kubernetes::watch(&client);
    kubernetes.first().await.unwrap();
    let tokens = PodTokens::new(client, kubernetes.gathered(), AUDIENCE, "mesh".parse().unwrap());
    (server, signer, tokens, kubernetes)
}

fn signed(signer: &Signer, seconds_from_now: u64, change: impl FnOnce(&mut Value)) -> String {
    let mut body = body(unix(SystemTime::now()) + seconds_from_now);
    change(&mut body);
    signer.token(&json!({"alg": "ES256", "kid": "k1"}), &body)
}

#[tokio::test]
async fn an_api_server_with_too_much_to_do_is_not_waited_for_where_it_has_signed_the_token_and_the_pod_is_known()
 {
    for fault in [Fault::Later(1), Fault::Status(500), Fault::Silence] {
        let (server, signer, tokens, _followed) = busy().await;
        server.fail_always("POST tokenreviews", Some(fault));
        let token = signed(&signer, 600, |_| {});
        assert_eq!(admit(&tokens, &token).await.unwrap(), "spiffe://mesh/ns/shop/sa/api", "{fault:?}");
        let asked = server.requests("jwks");
        // The next ones need no more of it.
        for seconds in 601..610 {
            let token = signed(&signer, seconds, |_| {});
            if fault != Fault::Silence {
                assert!(admit(&tokens, &token).await.is_ok(), "{fault:?}");
            }
        }
        assert_eq!(server.requests("jwks"), asked, "{fault:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_verified_waits_for_the_api_server_and_nobody_is_admitted_by_less_than_it_would_ask_for()
 {
    let (server, signer, tokens, _followed) = busy().await;
    server.fail_always("POST tokenreviews", Some(Fault::Later(1)));
    let stranger = Signer::p256("k1");
    for (case, token) in [
        ("another's key", signed(&stranger, 600, |_| {})),
        ("another audience", signed(&signer, 600, |body| body["aud"] = json!(["vault"]))),
        ("no pod", signed(&signer, 600, |body| body["kubernetes.io"]["pod"] = Value::Null)),
        ("no token", "x".to_owned()),
    ] {
        let refused = admit(&tokens, &token).await.unwrap_err();
        assert!(matches!(refused, PodRefused::NoAnswer { .. }), "{case}: {refused}");
    }
    let replaced = signed(&signer, 600, |body| body["kubernetes.io"]["pod"]["uid"] = json!("u-2"));
    let refused = admit(&tokens, &replaced).await.unwrap_err();
    assert!(matches!(refused, PodRefused::NotVouched(NotVouched::OtherPod)), "{refused}");
    // What the API server says counts, whatever the signature.
    server.fail_always("POST tokenreviews", None);
    let token = signed(&signer, 700, |_| {});
    let refused = admit(&tokens, &token).await.unwrap_err();
    assert!(matches!(refused, PodRefused::NotVouched(NotVouched::NotAuthentic)), "{refused}");
}

#[tokio::test]
async fn without_a_watch_that_would_tell_of_a_pods_end_nobody_is_admitted_by_keys() {
    let (server, signer, ..) = busy().await;
    server.fail_always("POST tokenreviews", Some(Fault::Status(500)));
    let tokens = tokens(&server).await;
    let refused = admit(&tokens, &signed(&signer, 600, |_| {})).await.unwrap_err();
    assert!(matches!(refused, PodRefused::NoAnswer { .. }), "{refused}");
}
