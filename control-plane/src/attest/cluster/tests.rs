//! Each way to cheat, and what it comes to.

use serde_json::{Value, json};

use super::*;

fn review() -> Value {
    json!({"kind": "TokenReview", "status": {
        "authenticated": true, "audiences": ["weft-ca"],
        "user": {"username": "system:serviceaccount:shop:api", "uid": "a-1", "groups": ["system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/pod-name": ["api-1"],
                "authentication.kubernetes.io/pod-uid": ["u-1"],
                "authentication.kubernetes.io/node-name": ["n1"]}}}})
}

fn pod() -> Value {
    json!({"metadata": {"name": "api-1", "namespace": "shop", "uid": "u-1"},
        "spec": {"serviceAccountName": "api"},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}]}})
}

/// Who calls, or why it is nobody.
fn who(review: Value, pod: Option<Value>, from: &str, workload: &str) -> Result<String, NotVouched> {
    let claims = Claims::read(&serde_json::from_value(review).unwrap(), "weft-ca")?;
    let pod: Option<Pod> = pod.map(|pod| serde_json::from_value(pod).unwrap());
    let domain = "mesh".parse().unwrap();
    let from = (!from.is_empty()).then(|| from.parse().unwrap());
    vouch(&claims, pod.as_ref(), from, workload, &domain).map(|id| id.to_string())
}

#[test]
fn a_token_that_is_bound_to_a_pod_that_is_there_makes_its_holder_that_pods_service_account() {
    for (from, workload) in [
        ("10.0.0.7", "shop/api-1"),
        ("10.0.0.7", ""),
        ("fd00::7", "shop/api-1"),
        ("::ffff:10.0.0.7", "shop/api-1"),
    ] {
        assert_eq!(who(review(), Some(pod()), from, workload).unwrap(), "spiffe://mesh/ns/shop/sa/api");
    }
    // A pod of the node's network has the node's addresses, and every other such pod has them too.
    let mut host = pod();
    host["spec"]["hostNetwork"] = json!(true);
    assert!(who(review(), Some(host), "192.0.2.1", "").is_ok());
}

#[test]
fn every_way_to_cheat_with_what_the_api_server_says_of_a_token_comes_to_nothing() {
    let extra = |name: &str| format!("/status/user/extra/authentication.kubernetes.io~1{name}");
    let cases: Vec<(&str, String, Value, NotVouched)> = vec![
        ("it is not known", "/status/authenticated".into(), json!(false), NotVouched::NotAuthentic),
        ("it is for somebody else", "/status/audiences".into(), json!(["vault"]), NotVouched::OtherAudience),
        (
            "the audience is like ours",
            "/status/audiences".into(),
            json!(["weft-ca2", "Weft-CA", ""]),
            NotVouched::OtherAudience,
        ),
        ("no audience was looked at", "/status/audiences".into(), json!(null), NotVouched::OtherAudience),
        ("no audience is left", "/status/audiences".into(), json!([]), NotVouched::OtherAudience),
        ("a person", "/status/user/username".into(), json!("admin"), NotVouched::NoServiceAccount),
        ("a node", "/status/user/username".into(), json!("system:node:n1"), NotVouched::NoServiceAccount),
        (
            "three parts",
            "/status/user/username".into(),
            json!("system:serviceaccount:shop"),
            NotVouched::NoServiceAccount,
        ),
        (
            "five parts",
            "/status/user/username".into(),
            json!("system:serviceaccount:shop:api:x"),
            NotVouched::NoServiceAccount,
        ),
        (
            "another first part",
            "/status/user/username".into(),
            json!("sys:serviceaccount:shop:api"),
            NotVouched::NoServiceAccount,
        ),
        (
            "another second part",
            "/status/user/username".into(),
            json!("system:serviceaccounts:shop:api"),
            NotVouched::NoServiceAccount,
        ),
        (
            "no namespace",
            "/status/user/username".into(),
            json!("system:serviceaccount::api"),
            NotVouched::NoServiceAccount,
        ),
        (
            "a path for a namespace",
            "/status/user/username".into(),
            json!("system:serviceaccount:../x:api"),
            NotVouched::NoServiceAccount,
        ),
        (
            "an account in capitals",
            "/status/user/username".into(),
            json!("system:serviceaccount:shop:API"),
            NotVouched::NoServiceAccount,
        ),
        ("nobody", "/status/user/username".into(), json!(""), NotVouched::NoServiceAccount),
        ("a secret of old", "/status/user/extra".into(), json!({}), NotVouched::NotBound),
        ("nothing besides", "/status/user/extra".into(), json!(null), NotVouched::NotBound),
        ("bound to no pod", extra("pod-name"), json!([]), NotVouched::NotBound),
        ("bound to two pods", extra("pod-name"), json!(["api-1", "api-2"]), NotVouched::NotBound),
        ("bound to a path", extra("pod-name"), json!(["../secrets/x"]), NotVouched::NotBound),
        ("bound to a name alone", extra("pod-uid"), json!([""]), NotVouched::NotBound),
        ("bound to another pod", extra("pod-uid"), json!(["u-2"]), NotVouched::OtherPod),
        (
            "another account of the namespace",
            "/status/user/username".into(),
            json!("system:serviceaccount:shop:admin"),
            NotVouched::OtherAccount,
        ),
    ];
    for (case, place, value, expected) in cases {
        let mut review = review();
        *review.pointer_mut(&place).unwrap() = value;
        assert_eq!(who(review, Some(pod()), "10.0.0.7", "shop/api-1"), Err(expected), "{case}");
    }
    assert_eq!(who(json!({}), Some(pod()), "10.0.0.7", ""), Err(NotVouched::NotAuthentic), "an empty answer");
}

#[test]
fn every_way_to_cheat_with_the_token_of_a_pod_comes_to_nothing() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str, &str, NotVouched); 8] = [
        (
            "it was told to go",
            |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
            "10.0.0.7",
            "",
            NotVouched::Going,
        ),
        (
            "it has run to its end",
            |pod| pod["status"]["phase"] = json!("Succeeded"),
            "10.0.0.7",
            "",
            NotVouched::Going,
        ),
        ("it has failed", |pod| pod["status"]["phase"] = json!("Failed"), "10.0.0.7", "", NotVouched::Going),
        ("another pod has its token", |_| {}, "10.0.0.8", "", NotVouched::FromElsewhere),
        ("the caller has no address", |_| {}, "", "", NotVouched::FromElsewhere),
        (
            "it has no address yet",
            |pod| pod["status"]["podIPs"] = json!([]),
            "10.0.0.7",
            "",
            NotVouched::NoAddressYet,
        ),
        ("it says that it is another", |_| {}, "10.0.0.7", "shop/api-2", NotVouched::OtherWorkload),
        ("or of another namespace", |_| {}, "10.0.0.7", "bank/api-1", NotVouched::OtherWorkload),
    ];
    for (case, change, from, workload, expected) in cases {
        let mut pod = pod();
        change(&mut pod);
        assert_eq!(who(review(), Some(pod), from, workload), Err(expected), "{case}");
    }
    assert_eq!(who(review(), None, "10.0.0.7", ""), Err(NotVouched::NoSuchPod));
}
