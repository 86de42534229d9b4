//! Reviews as an API server posts them, and as nobody should, to the webhooks as they are served: what is answered.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::SystemTime;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use weft_manifests::inject::Redirect;

use super::*;
use crate::custody::{Custody, Init};

const NAME: &str = "weft-control-plane.weft-system.svc";

/// Webhooks that are served, and who calls them as an API server does.
struct Served {
    addr: SocketAddr,
    trusting: TlsConnector,
    _state: tempfile::TempDir,
    _serving: JoinSet<()>,
}

impl Served {
    async fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let domain = "weft.local".parse().unwrap();
        let custody = Custody::open(&state.path().join("state"), Init::Yes, &domain, SystemTime::now());
        let custody = Arc::new(custody.unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(custody.bundle().roots()[0].clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let settings = ProxySettings {
            image: "weft/proxy:1".into(),
            pull_policy: "Never".into(),
            control_plane: "weft-control-plane.weft-system.svc:15010".into(),
            redirect: Redirect::InitContainer,
            environment: [("WEFT_ACCESS_LOG".to_owned(), "stdout".to_owned())].into(),
        };
        let webhooks = Arc::new(Webhooks::new(Pods::new(settings, Arc::clone(&custody))));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(webhooks.serve(listener, Arc::new(Fronts::new(custody, NAME))));
        Self { addr, trusting: Arc::new(client).into(), _state: state, _serving: serving }
    }

    /// The status and the body of the answer.
    async fn post(&self, path: &str, body: &[u8]) -> (u16, String) {
        self.send(&format!("POST {path} HTTP/1.1\r\ncontent-length: {}\r\n", body.len()), body).await
    }

    async fn send(&self, head: &str, body: &[u8]) -> (u16, String) {
        let socket = TcpStream::connect(self.addr).await.unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let mut tls = self.trusting.connect(name, socket).await.unwrap();
        let head = format!("{head}host: {NAME}\r\nconnection: close\r\n\r\n");
        tls.write_all(head.as_bytes()).await.unwrap();
        // One that is refused for its length may be refused before it has arrived.
        let _refused = tls.write_all(body).await;
        let mut answer = Vec::new();
        let _cut = tls.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no status: {answer}")), body.to_owned())
    }

    async fn response(&self, review: &Value) -> Value {
        self.response_of("/inject", review).await
    }

    async fn response_of(&self, path: &str, review: &Value) -> Value {
        let (status, body) = self.post(path, review.to_string().as_bytes()).await;
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&answer["apiVersion"], &answer["kind"]), (&json!(VERSION), &json!("AdmissionReview")));
        answer["response"].clone()
    }
}

const VERSION: &str = "admission.k8s.io/v1";

fn review(object: &Value) -> Value {
    json!({"apiVersion": VERSION, "kind": "AdmissionReview", "request": {
        "uid": "705ab4f5", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": "shop",
        "operation": "CREATE", "userInfo": {"username": "someone"}, "object": object, "oldObject": null}})
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "api-"},
        "spec": {"containers": [{"name": "api", "image": "a"}]}})
}

fn patch_of(response: &Value) -> Value {
    use base64::Engine as _;
    let text = response["patch"].as_str().unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap()
}

#[tokio::test]
async fn a_pod_gets_a_proxy_that_knows_this_meshs_root() {
    let served = Served::new().await;
    let response = served.response(&review(&pod())).await;
    assert_eq!((&response["uid"], &response["allowed"]), (&json!("705ab4f5"), &json!(true)));
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = patch_of(&response);
    let added = patch.as_array().unwrap().iter().find(|step| step["path"] == "/spec/initContainers").unwrap();
    let proxy = &added["value"][1];
    assert_eq!((&proxy["name"], &proxy["image"]), (&json!("weft-proxy"), &json!("weft/proxy:1")));
    let said = |name: &str| {
        let all = proxy["env"].as_array().unwrap();
        all.iter().find(|it| it["name"] == name).unwrap_or(&Value::Null)["value"].clone()
    };
    let root = said("WEFT_ROOTS");
    let (domain, hash) = root.as_str().unwrap().split_once(':').unwrap();
    assert_eq!((domain, hash.len()), ("weft.local", 64));
    assert_eq!(said("WEFT_ACCESS_LOG"), "stdout");
}

#[tokio::test]
async fn what_becomes_of_a_pod_and_who_is_told() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, bool, &str); 7] = [
        (
            "wrong annotation",
            |it| it["metadata"]["annotations"] = json!({"weft.mesh/inject": "on"}),
            false,
            "write enabled",
        ),
        (
            "the proxy's user",
            |it| it["spec"]["securityContext"] = json!({"runAsUser": 2102}),
            false,
            "runs as user 2102",
        ),
        (
            "asked to have none",
            |it| it["metadata"]["labels"] = json!({"weft.mesh/inject": "disabled"}),
            true,
            "",
        ),
        ("has one", |it| it["spec"]["containers"][0]["name"] = json!("weft-proxy"), true, ""),
        (
            "its node's network",
            |it| it["spec"]["hostNetwork"] = json!(true),
            true,
            "no proxy: it uses its node's",
        ),
        ("no pod at all", |it| *it = json!({"spec": 7}), false, "this is no pod"),
        ("deleted", |it| *it = json!(null), true, ""),
    ];
    let served = Served::new().await;
    for (case, change, allowed, said) in cases {
        let mut pod = pod();
        change(&mut pod);
        let response = served.response(&review(&pod)).await;
        assert_eq!(response["allowed"], allowed, "{case}: {response}");
        assert_eq!(response.get("patch"), None, "{case}");
        let words = format!("{} {}", response["status"]["message"], response["warnings"]);
        assert!(words.contains(said), "{case}: {words}");
        assert_eq!(response.get("warnings").is_some(), allowed && !said.is_empty(), "{case}: {words}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_review_is_refused_with_the_reason() {
    let bytes = |value: Value| value.to_string().into_bytes();
    let mut other_version = review(&pod());
    other_version["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let mut other_kind = review(&pod());
    other_kind["kind"] = json!("TokenReview\n");
    let mut nameless = review(&pod());
    nameless["request"]["uid"] = json!("");
    let mut odd = review(&pod());
    odd["request"]["namespace"] = json!({"a": 1});
    let cases = [
        ("nothing", Vec::new(), 400, "this is no AdmissionReview"),
        ("no JSON", b"{\"apiVersion\": ".to_vec(), 400, "this is no AdmissionReview"),
        ("no UTF-8", vec![b'"', 0xff, b'"'], 400, "this is no AdmissionReview"),
        ("nested without end", [b"[".repeat(100_000)].concat(), 400, "this is no AdmissionReview"),
        ("another version", bytes(other_version), 400, "AdmissionReview of admission.k8s.io/v1beta1"),
        ("another kind", bytes(other_kind), 400, "this is TokenReview of"),
        ("without a uid", bytes(nameless), 400, "no uid"),
        (
            "without a request",
            bytes(json!({"apiVersion": VERSION, "kind": "AdmissionReview"})),
            400,
            "no request",
        ),
        ("an odd shape", bytes(odd), 400, "this is no AdmissionReview"),
        ("too long", vec![b' '; MAX_REVIEW + 1], 413, "are not read"),
    ];
    let served = Served::new().await;
    for (case, body, status, said) in cases {
        let answer = served.post("/inject", &body).await;
        assert_eq!(answer.0, status, "{case}: {answer:?}");
        assert!(answer.1.contains(said), "{case}: {answer:?}");
    }
    let answer = served.post("/else", b"{}").await;
    assert_eq!(answer.0, 404, "{answer:?}");
    let answer = served.send("GET /inject HTTP/1.1\r\n", b"").await;
    assert_eq!(answer.0, 405, "{answer:?}");
}

#[tokio::test]
async fn a_pod_of_a_megabyte_is_injected_like_any_other() {
    let mut pod = pod();
    pod["metadata"]["annotations"] = json!({"notes": "n".repeat(1 << 20)});
    pod["spec"]["containers"] = (0..500)
        .map(|nth| {
            json!({"name": format!("c{nth}"), "image": "i",
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}}})
        })
        .collect();
    let served = Served::new().await;
    let response = served.response(&review(&pod)).await;
    assert_eq!(response["allowed"], true);
    assert_eq!(patch_of(&response).as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn what_nobody_could_act_by_is_refused_in_the_words_of_meshctl_check() {
    let policy = |action: &str, rules: Value| {
        json!({"apiVersion": "weft.mesh/v1alpha1", "kind": "AuthorizationPolicy",
            "metadata": {"name": "callers", "namespace": "shop"}, "spec": {"action": action, "rules": rules}})
    };
    let good = policy("Allow", json!([{"from": [{"namespaces": ["web"]}]}]));
    let bad = policy("Perhaps", json!([]));
    let mut going = bad.clone();
    going["metadata"]["deletionTimestamp"] = json!("2026-11-21T00:00:00Z");
    let mut labelled = bad.clone();
    labelled["metadata"]["labels"] = json!({"team": "orders"});
    let cases = [
        ("good", &good, json!(null), true, ""),
        ("bad", &bad, json!(null), false, "AuthorizationPolicy shop/callers: spec.action: "),
        ("made bad", &bad, good.clone(), false, "spec.action: "),
        ("bad as before", &labelled, bad.clone(), true, "spec.action: "),
        ("on its way out", &going, bad.clone(), true, ""),
        ("deleted", &json!(null), bad.clone(), true, ""),
        ("no object", &json!([]), json!(null), false, ""),
    ];
    let served = Served::new().await;
    for (case, object, before, allowed, said) in cases {
        let mut review = review(object);
        review["request"]["oldObject"] = before;
        let response = served.response_of("/validate", &review).await;
        assert_eq!(response["allowed"], allowed, "{case}: {response}");
        let words = format!("{} {}", response["status"]["message"], response["warnings"]);
        assert!(words.contains(said), "{case}: {words}");
        // The very words.
        if case == "bad" {
            let text = serde_json::to_string(object).unwrap();
            let found = weft_manifests::load::load(&[("f", text)]).diagnostics;
            let checked = found.iter().find(|found| found.is_error()).unwrap();
            assert!(
                words.contains(&format!("{} — {}", checked.message, checked.help).replace('"', "\\\"")),
                "{checked}"
            );
        }
    }
}

#[test]
fn a_warning_fits_into_a_header() {
    let warnings = vec!["a\nb\r\n".to_owned(), "é".repeat(300)];
    let review = Review::read(review(&pod()).to_string().as_bytes()).unwrap();
    let answer = Verdict::Taken { patch: None, warnings }.answer(&review);
    let said: Vec<_> = answer["response"]["warnings"].as_array().unwrap().iter().collect();
    assert_eq!(said[0], "a b  ");
    assert_eq!(said[1].as_str().unwrap().chars().count(), 251);
}
