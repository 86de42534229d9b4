//! What people and peers get wrong, each with the answer it must have, and nobody else disturbed.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_tests::call::{self, connect};
use weft_tests::eventually::soon;

use crate::shop::Shop;

fn route(name: &str, rules: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: {name}, namespace: shop}},
          spec: {{parentRefs: [{{kind: Service, group: '', name: api}}], rules: [{rules}]}}}}"
    )
}

#[tokio::test]
async fn every_mistake_in_a_manifest_is_found_by_apply_with_its_place_and_what_to_do() {
    let shop = Shop::open("").await;
    let long = format!("{{matches: [{{path: {{type: RegularExpression, value: '{}'}}}}]}}", "a".repeat(1025));
    let weight = "{apiVersion: v1, kind: Service, metadata: {name: x, namespace: shop}, spec: {ports: [{port: 700000}]}}";
    let twice = route("twice", "{backendRefs: [{name: api, port: 80}]}") + "\n---\n" + &route("twice", "{}");
    for (what, text, words) in [
        ("malformed YAML", "kind: Service\n  oops: [".to_owned(), "line"),
        ("a regex over 1024 characters", route("long", &long), "1024"),
        (
            "a regex that is none",
            route("bad", "{matches: [{path: {type: RegularExpression, value: '('}}]}"),
            "regular expression",
        ),
        ("a port that is none", weight.to_owned(), "port"),
        ("two objects of one name that say different things", twice, "already defined"),
    ] {
        let reply = shop.mesh.operator().apply("bad.yaml", &text).await;
        let findings = &reply.findings;
        assert!(!reply.applied, "{what} was applied: {findings:#?}");
        let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == "error").collect();
        let [error, ..] = errors[..] else { panic!("{what}: {findings:#?}") };
        assert_eq!(error.file, "bad.yaml", "{what}: {error:?}");
        assert!(error.line > 0 && !error.help.is_empty(), "{what}: {error:?}");
        let told = format!("{error:?}").to_lowercase();
        assert!(told.contains(words), "{what} should speak of {words}: {error:#?}");
        assert_eq!(shop.get("/").await.status, 200, "{what}");
    }
}

#[tokio::test]
async fn what_is_strange_and_not_wrong_is_applied_with_a_remark() {
    let shop = Shop::open("").await;
    let gateway = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g, namespace: shop}, spec: {}}";
    for (what, text) in [
        (
            "a kind that nobody here knows",
            "{apiVersion: example.com/v1, kind: Sandwich, metadata: {name: x}}",
        ),
        ("a kind that this mesh does not carry out", gateway),
    ] {
        let reply = shop.mesh.operator().apply("strange.yaml", text).await;
        assert!(!reply.findings.is_empty(), "{what} deserves a remark");
        assert_eq!(shop.web.get("http://api-v1/").await.refusal(), "no_endpoint", "{what}");
    }
}

#[tokio::test]
async fn a_route_to_nothing_is_refused_by_apply_and_answers_500_for_its_share_where_it_is_in_a_file() {
    let shop = Shop::open("").await;
    let nobody =
        route("nobody", "{matches: [{path: {value: /nobody}}], backendRefs: [{name: nobody, port: 80}]}");
    let text = nobody + "\n---\n" + &route("all", "{backendRefs: [{name: api, port: 80}]}");
    let reply = shop.mesh.operator().apply("nobody.yaml", &text).await;
    assert!(!reply.applied && reply.findings[0].help.contains("500"), "{reply:?}");
    assert_eq!(shop.get("/nobody").await.status, 200);
    std::fs::write(shop.mesh.files().join("nobody.yaml"), text).unwrap();
    weft_tests::eventually::eventually("the file is in force", async || {
        let reply = shop.get("/nobody").await;
        ((reply.status.as_u16(), reply.refusal()) == (500, "invalid_backend")).then_some(())
    })
    .await;
    assert_eq!(shop.get("/").await.status, 200);
}

#[tokio::test]
async fn of_two_routes_that_conflict_the_older_wins_and_then_the_name() {
    let to =
        |name: &str, backend: &str| route(name, &format!("{{backendRefs: [{{name: {backend}, port: 80}}]}}"));
    let both = to("b-second", "api-v2") + "\n---\n" + &to("a-first", "api-v1");
    let shop = Shop::open_with(&["api-v1-1", "api-v2-1"], &both).await;
    for _ in 0..10 {
        assert_eq!(shop.get("/").await.origin(), "api-v1-1", "alphabetically, where both are of an age");
    }
}

#[tokio::test]
async fn a_port_that_is_in_use_is_said_at_once_with_what_to_do() {
    let shop = Shop::open("").await;
    for name in ["WEFT_INBOUND", "WEFT_OUTBOUND", "WEFT_ADMIN"] {
        let taken = shop.web.outbound;
        let started = shop.mesh.beside("shop/late").set(name, &taken).try_start().await;
        let error = started.expect_err("the port is taken").to_string();
        assert!(error.contains(&taken.to_string()) && error.contains("another process"), "{name}: {error}");
    }
    assert_eq!(shop.get("/").await.status, 200);
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_reported_together() {
    let shop = Shop::open("").await;
    let beside =
        shop.mesh.beside("nowhere").token("x").set("WEFT_ADMIN", "0.0.0.0:1").set("WEFT_WORKERS", "many");
    let error = beside.try_start().await.expect_err("three mistakes").to_string();
    for name in ["WEFT_WORKLOAD", "WEFT_ADMIN", "WEFT_WORKERS"] {
        assert!(error.contains(name), "{error}");
    }
}

/// Writes bytes to the mesh, and reads what comes until the end, or until enough is there.
async fn raw(addr: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(addr).await;
    // It may be refused before all of it is written.
    let _ = stream.write_all(bytes).await;
    let mut all = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = soon("an answer", stream.read(&mut chunk)).await {
        all.extend_from_slice(&chunk[..read]);
        if all.windows(4).any(|end| end == b"\r\n\r\n") {
            break;
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn requests_that_break_http_are_refused_and_the_next_client_is_served() {
    let shop = Shop::open("").await;
    let huge = "a".repeat(200 << 10);
    let many = "x: y\r\n".repeat(2000);
    for (what, head, statuses) in [
        (
            "a header over the limit",
            format!("GET http://api/ HTTP/1.1\r\nHost: api\r\nx: {huge}\r\n\r\n"),
            &[431, 400][..],
        ),
        ("too many headers", format!("GET http://api/ HTTP/1.1\r\nHost: api\r\n{many}\r\n"), &[431, 400]),
        (
            "a target over the limit",
            format!("GET http://api/{huge} HTTP/1.1\r\nHost: api\r\n\r\n"),
            &[414, 431, 400],
        ),
        ("no Host", "GET / HTTP/1.1\r\n\r\n".to_owned(), &[400]),
        ("two Hosts", "GET / HTTP/1.1\r\nHost: api\r\nHost: other\r\n\r\n".to_owned(), &[400]),
        ("a Host that is none", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), &[400]),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc".to_owned(),
            &[400],
        ),
        (
            "a length that is none",
            "POST / HTTP/1.1\r\nHost: api\r\nContent-Length: +3\r\n\r\nabc".to_owned(),
            &[400],
        ),
        (
            "an unknown coding",
            "POST / HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(),
            &[400, 501],
        ),
        ("a scheme of its own", "GET ftp://api/ HTTP/1.1\r\nHost: api\r\n\r\n".to_owned(), &[400, 501]),
        ("a path that leaves the root", "GET /../../etc HTTP/1.1\r\nHost: api\r\n\r\n".to_owned(), &[400]),
        ("an escaped zero", "GET /a%00b HTTP/1.1\r\nHost: api\r\n\r\n".to_owned(), &[400]),
    ] {
        let before = shop.origin(0).count();
        let answer = raw(shop.web.outbound, head.as_bytes()).await;
        let status: u16 = answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
        assert!(statuses.contains(&status), "{what}: {statuses:?} expected, got {answer:.300}");
        assert_eq!(shop.origin(0).count(), before, "{what} reached the application");
        assert_eq!(shop.get("/").await.status, 200, "{what}");
    }
}

#[tokio::test]
async fn a_length_beside_chunks_hides_no_second_request() {
    let shop = Shop::open("").await;
    let hidden = "GET http://api/hidden HTTP/1.1\r\nHost: api\r\n\r\n";
    let head = "POST http://api/ HTTP/1.1\r\nHost: api\r\n";
    for lengths in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 60",
    ] {
        // RFC 9112 §6.3: the chunks count, the length is not passed on, and the connection ends.
        let answer =
            raw(shop.web.outbound, format!("{head}{lengths}\r\n\r\n0\r\n\r\n{hidden}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400") || answer.contains("connection: close"), "{answer}");
    }
    let seen = shop.origin(0).seen();
    assert!(
        seen.iter().all(|seen| seen.path == "/" && !seen.headers.contains_key("content-length")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn bytes_that_are_nothing_end_their_own_connection_and_no_other() {
    let shop = Shop::open("").await;
    let noise: Vec<u8> = (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (what, bytes) in [
        ("noise", noise.as_slice()),
        ("a ClientHello cut short", &[0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3]),
        ("SOCKS4", &[4, 1, 0, 80, 127, 0, 0, 1, 0]),
        ("SOCKS5 without a method", &[5, 0]),
        (
            "the preface of HTTP/2 and then noise",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
        ("nothing", b""),
    ] {
        for addr in [shop.web.outbound, shop.servers[0].inbound] {
            let mut stream = connect(addr).await;
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            let mut rest = Vec::new();
            // It may be reset, too. What matters is that it ends.
            let _ = soon(format!("the end of {what} at {addr}"), stream.read_to_end(&mut rest)).await;
            assert_eq!(shop.get("/").await.status, 200, "{what}");
        }
    }
    assert!(shop.origin(0).seen().iter().all(|seen| seen.method == "GET"), "{:?}", shop.origin(0).seen());
}

#[tokio::test]
async fn an_admin_request_under_a_name_that_leads_here_by_trickery_is_refused() {
    let shop = Shop::open("").await;
    let reply = call::to(shop.web.admin, call::get("http://attacker.example/snapshot")).await;
    assert_eq!(reply.status, 421, "{reply:?}");
    assert_eq!(shop.web.admin("/live").await.status, 200);
}
