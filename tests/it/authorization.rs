//! Who may call what: a deny wins, a change is in force when `apply --wait` returns, and what nobody understands
//! denies.

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_tests::call;
use weft_tests::eventually::soon;
use weft_tests::mesh::Mesh;
use weft_tests::peer::Peer;

use crate::shop::Shop;

fn policy(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: weft.mesh/v1alpha1, kind: AuthorizationPolicy, metadata: {{name: {name}, namespace: shop}},
          spec: {{targetRefs: [{{kind: Service, name: api}}], {spec}}}}}"
    )
}

const ONLY_WEB: &str = "action: Allow, rules: [{from: [{serviceAccounts: [shop/web]}]}]";
const NOT_BATCH: &str = "action: Deny, rules: [{from: [{serviceAccounts: [shop/batch]}]}]";

#[tokio::test]
async fn callers_are_told_apart_by_identity_and_a_deny_wins() {
    let shop = Shop::open("").await;
    let batch = shop.mesh.beside("shop/batch").start().await;
    let both = async || {
        let web = shop.get("/").await;
        let batch = batch.get("http://api/").await;
        (web.status.as_u16(), batch.status.as_u16(), batch.header("weft-error").to_owned())
    };
    // No policy: whoever is of the trust domain.
    assert_eq!(both().await, (200, 200, String::new()));
    shop.mesh.apply("only-web.yaml", &policy("only-web", ONLY_WEB)).await;
    let (web, other, why) = both().await;
    assert_eq!((web, other), (200, 403), "{why}");
    assert!(why.starts_with("denied"), "{why}");
    // An allow for everybody, and a deny for one.
    shop.mesh.apply("only-web.yaml", &policy("only-web", "action: Allow, rules: [{}]")).await;
    assert_eq!(both().await, (200, 200, String::new()));
    shop.mesh.apply("not-batch.yaml", &policy("not-batch", NOT_BATCH)).await;
    assert_eq!(both().await, (200, 403, "denied; AuthorizationPolicy shop/not-batch".to_owned()));
    // Gone, and batch is back.
    shop.mesh.apply("not-batch.yaml", "").await;
    assert_eq!(both().await, (200, 200, String::new()));
}

#[tokio::test]
async fn methods_paths_and_headers_narrow_a_rule() {
    let reads = "action: Allow, rules: [{from: [{serviceAccounts: [shop/web]}],
                 to: [{methods: [GET], paths: [/public/*]},
                      {paths: [/admin], headers: [{name: x-role, values: [root]}]}]}]";
    let shop = Shop::open(&policy("reads", reads)).await;
    for (method, path, role, status) in [
        (Method::GET, "/public/a", "", 200),
        (Method::GET, "/public", "", 200),
        (Method::GET, "/publicity", "", 403),
        (Method::POST, "/public/a", "", 403),
        (Method::GET, "/public/../admin", "", 403),
        (Method::GET, "/public/%2e%2e/admin", "", 403),
        (Method::GET, "/admin", "", 403),
        (Method::DELETE, "/admin", "root", 200),
        (Method::GET, "/ADMIN", "root", 403),
    ] {
        let what = format!("{method} {path} as {role:?}");
        let mut request = call::request(method, &format!("http://api{path}"), "");
        if !role.is_empty() {
            request = call::with(request, "x-role", role);
        }
        assert_eq!(shop.web.send(request).await.status, status, "{what}");
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_gets_past_a_policy() {
    let public = "action: Allow, rules: [{to: [{paths: [/public/*]}]}]";
    let secret = "action: Deny, rules: [{to: [{paths: [/public/secret/*]}]}]";
    let shop = Shop::open(&format!("{}\n---\n{}", policy("public", public), policy("secret", secret))).await;
    for path in [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/.%2E/admin",
        "/public/..%2fadmin",
        "/public%2f..%2fadmin",
        "/public/..;/admin",
        "/public/;/../admin",
        "/public/..%5cadmin",
        "/public/%252e%252e/admin",
        "//public/../admin",
        "/public/./secret/x",
        "/public//secret/x",
        "/public/%73ecret/x",
        "/public/x/../secret/x",
        "/public/secret%2fx",
        "/public/secret;v=1/x",
        "/public/secret/%00",
        "/PUBLIC/x",
        "/public/%c0%ae%c0%ae/admin",
    ] {
        let before = shop.origin(0).count();
        let head = format!("GET {path} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n");
        let mut stream = call::connect(shop.web.outbound).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        soon("an answer", stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.get(9..12).unwrap_or_default();
        if status == "200" {
            // What arrives must be what was judged: a server that decodes once more must not find another path.
            let seen = shop.origin(0).seen()[before].path.clone();
            let decoded = seen.to_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
            let decoded = decoded.replace("//", "/").replace(";v=1", "");
            assert!(seen.starts_with("/public/"), "{path} arrived as {seen}");
            assert!(!decoded.contains("..") && !decoded.contains("/secret/"), "{path} arrived as {seen}");
        } else {
            assert!(status == "403" || status == "400", "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_policy_that_nobody_understands_denies_and_disturbs_no_other_service() {
    let shop = Shop::open_with(&["api-1", "api-v1-1"], "").await;
    assert_eq!(shop.get("/").await.status, 200);
    let unknown =
        policy("limits", "action: Allow, rules: [{from: [{serviceAccounts: [shop/web], mood: good}]}]");
    // An operator at `apply` is told, and nothing is written …
    let reply = shop.mesh.operator().apply("limits.yaml", &unknown).await;
    assert!(!reply.applied, "{reply:?}");
    let finding = reply.findings.iter().find(|finding| finding.severity == "error").unwrap();
    assert_eq!(finding.object, "AuthorizationPolicy shop/limits");
    assert!(finding.field.contains("mood") || finding.message.contains("mood"), "{finding:?}");
    assert_eq!(shop.get("/").await.status, 200);
    // … but a file that is there counts: it was to keep somebody out.
    std::fs::write(shop.mesh.files().join("limits.yaml"), unknown).unwrap();
    weft_tests::eventually::eventually("the file has been read", async || {
        (shop.get("/").await.status == 403).then_some(())
    })
    .await;
    let refused = shop.get("/").await;
    assert_eq!(refused.header("weft-error"), "denied; AuthorizationPolicy shop/limits");
    assert_eq!(shop.web.get("http://api-v1/").await.status, 200, "for that object alone");
}

#[tokio::test]
async fn a_new_deny_holds_for_the_next_request_of_a_connection_that_is_open_already() {
    let shop = Shop::open("").await;
    let mut client = shop.web.client().await;
    assert_eq!(client.send(call::get("http://api/")).await.status, 200);
    shop.mesh.apply("deny.yaml", &policy("all", "action: Deny, rules: [{}]")).await;
    assert_eq!(client.send(call::get("http://api/")).await.status, 403);
}

#[tokio::test]
async fn a_new_deny_closes_an_opaque_connection_that_is_under_way_and_leaves_the_others() {
    let service = |name: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}},
              spec: {{selector: {{app: {name}}}, ports: [{{port: 6000, targetPort: tcp, appProtocol: tcp}}]}}}}"
        )
    };
    let mesh = Mesh::start(&format!("{}\n---\n{}", service("db"), service("log"))).await;
    let peers = [Peer::with_banner(b"hello").await, Peer::with_banner(b"hello").await];
    let _db = mesh.beside("shop/db").port("tcp", peers[0].addr).start().await;
    let _log = mesh.beside("shop/log").port("tcp", peers[1].addr).start().await;
    let fixed = "127.0.0.1:0=db.shop:6000,127.0.0.1:0=log.shop:6000";
    let web = mesh.beside("shop/web").set("WEFT_LOCAL_PORTS", fixed).start().await;
    mesh.serves("shop/db", 6000, 1).await;
    mesh.serves("shop/log", 6000, 1).await;
    let mut open = [call::connect(web.fixed[0]).await, call::connect(web.fixed[1]).await];
    for stream in &mut open {
        let mut banner = [0; 5];
        soon("a banner", stream.read_exact(&mut banner)).await.unwrap();
    }
    let deny = "{apiVersion: weft.mesh/v1alpha1, kind: AuthorizationPolicy, metadata: {name: nobody, namespace: shop},
                 spec: {targetRefs: [{kind: Service, name: db}], action: Deny, rules: [{}]}}";
    mesh.apply("deny.yaml", deny).await;
    let [db, log] = &mut open;
    let ended = soon("the denied connection's end", db.read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    log.write_all(b"still").await.unwrap();
    let mut back = [0; 5];
    soon("an echo", log.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"still");
    // And a new one is closed before a byte of it reaches the application.
    let accepted = peers[0].accepted();
    let mut again = call::connect(web.fixed[0]).await;
    let ended = soon("the refused connection's end", again.read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert_eq!(peers[0].accepted(), accepted);
}
