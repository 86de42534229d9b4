//! Who may ask a proxy's admin listener: people and programs of its host, in so many words. Not a page in their browser,
//! not a server of theirs that fetches whatever URL it is told to, and nobody so that others get no answer (catalogue
//! row 56).

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_tests::call;
use weft_tests::eventually::{eventually, soon};
use weft_tests::figures::report;

use crate::lab::{Lab, raw, status};

const PATHS: [&str; 7] = ["/live", "/ready", "/metrics", "/snapshot", "/breakers", "/identity", "/log"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_answers_who_names_this_host_and_comes_from_no_page() {
    let lab = Lab::open("").await;
    let port = lab.api.admin.port();
    let at = |host: &str| format!("Host: {host}:{port}\r\n");
    let mut cells = 0;
    for path in PATHS {
        for (what, target, fields, expected) in [
            ("by name", path, at("localhost"), 200),
            ("by address", path, at("127.0.0.1"), 200),
            ("by IPv6 address", path, at("[::1]"), 200),
            ("in capitals", path, at("LocalHost"), 200),
            ("without a port", path, "Host: localhost\r\n".to_owned(), 200),
            ("by its URL", &format!("http://localhost:{port}{path}"), at("localhost"), 200),
            ("typed into a browser", path, at("localhost") + "Sec-Fetch-Site: none\r\n", 200),
            // Names that have been rebound to loopback, and everything that looks like this host and is not.
            ("rebound", path, at("attacker.example"), 421),
            ("rebound, without a port", path, "Host: attacker.example\r\n".to_owned(), 421),
            ("a name that begins alike", path, at("localhost.attacker.example"), 421),
            ("a name that ends alike", path, at("attacker.localhost"), 421),
            ("an address in a name", path, at("127.0.0.1.attacker.example"), 421),
            ("another loopback address", path, at("127.0.0.2"), 421),
            ("any address", path, at("0.0.0.0"), 421),
            ("a mapped address", path, at("[::ffff:127.0.0.1]"), 421),
            ("the host's own address", path, at("192.0.2.2"), 421),
            ("a user", path, format!("Host: localhost@attacker.example:{port}\r\n"), 421),
            ("another user", path, format!("Host: attacker.example@localhost:{port}\r\n"), 421),
            ("a comma list", path, "Host: localhost, attacker.example\r\n".to_owned(), 421),
            ("a port that is none", path, "Host: localhost:x\r\n".to_owned(), 421),
            ("a name and a dot", path, at("localhost."), 421),
            ("an empty Host", path, "Host: \r\n".to_owned(), 421),
            ("no Host", path, String::new(), 421),
            ("two Hosts", path, at("localhost") + &at("attacker.example"), 421),
            ("two Hosts, the other way round", path, at("attacker.example") + &at("localhost"), 421),
            ("the URL of another", &format!("http://attacker.example{path}"), at("localhost"), 421),
            (
                "another in its URL's place",
                &format!("http://localhost:{port}{path}"),
                at("attacker.example"),
                421,
            ),
            // Pages, which say so.
            ("a page", path, at("localhost") + "Origin: http://attacker.example\r\n", 403),
            ("a page of a file", path, at("localhost") + "Origin: null\r\n", 403),
            ("a page of another port", path, at("localhost") + "Origin: http://localhost:3000\r\n", 403),
            ("an image in a page", path, at("localhost") + "Sec-Fetch-Site: cross-site\r\n", 403),
            (
                "a frame",
                path,
                at("localhost") + "Sec-Fetch-Site: same-site\r\nSec-Fetch-Dest: iframe\r\n",
                403,
            ),
        ] {
            cells += 1;
            let response =
                raw(lab.api.admin, format!("GET {target} HTTP/1.1\r\n{fields}\r\n").as_bytes()).await;
            let head =
                String::from_utf8_lossy(&response).split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
            assert_eq!(status(&response), expected, "{what}: {target} {fields:?}: {head}");
            for field in [
                "x-content-type-options: nosniff",
                "cache-control: no-store",
                "cross-origin-resource-policy: same-origin",
            ] {
                assert!(head.contains(field), "{what}: {path} without {field}: {head}");
            }
            let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
            let is_data = ["text/plain", "application/json", "application/openmetrics-text"]
                .iter()
                .any(|data| kind.starts_with(data));
            assert!(is_data, "{path} is {kind}");
            assert!(!head.contains("access-control-"), "{what}: {path} may be read across origins: {head}");
        }
    }
    report(10, format!("{cells} cells of who asks the admin listener, all as written"), true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_changed_but_by_a_post_that_no_page_can_send() {
    let lab = Lab::open("").await;
    let simple = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"];
    let mut tried = 0;
    let mut ask = async |line: &str, fields: &str, expected: u16| {
        tried += 1;
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let response = raw(lab.api.admin, request.as_bytes()).await;
        assert_eq!(status(&response), expected, "{request} {}", String::from_utf8_lossy(&response));
    };
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "PROPFIND"] {
        for path in PATHS.iter().filter(|path| method != "POST" || **path != "/log") {
            let target = if method == "CONNECT" { "localhost:80" } else { path };
            ask(&format!("{method} {target}"), "weft-admin: log\r\nContent-Length: 0\r\n", 405).await;
        }
    }
    // What a page may send across origins without asking ("simple" requests): none of them changes anything.
    for kind in simple {
        ask("POST /log?trace", &format!("Content-Type: {kind}\r\nContent-Length: 0\r\n"), 400).await;
        ask(
            "POST /log?trace",
            &format!("Content-Type: {kind}\r\nweft-admin: x\r\nContent-Length: 0\r\n"),
            400,
        )
        .await;
    }
    ask("GET /log?trace", "weft-admin: log\r\n", 200).await; // says how it is done
    ask(
        "POST /log?trace",
        "weft-admin: log\r\nOrigin: http://attacker.example\r\nContent-Length: 0\r\n",
        403,
    )
    .await;
    ask("POST /log", "weft-admin: log\r\nContent-Length: 0\r\n", 400).await;
    // The question before a request that is not simple is answered by nothing that would permit it.
    ask(
        "OPTIONS /log",
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: weft-admin\r\n",
        405,
    )
    .await;
    // This one is meant; a proxy in a test does not own its log.
    ask("POST /log?debug", "weft-admin: log\r\nContent-Length: 0\r\n", 501).await;
    report(
        10,
        format!("{tried} cells of what changes something at the admin listener, all as written"),
        true,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_too_large_too_slow_or_nonsense_do_no_harm() {
    let lab = Lab::open("").await;
    let admin = lab.api.admin;
    let alive = async || status(&raw(admin, b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").await);
    let large = "a".repeat(1 << 20);
    for (what, bytes, statuses) in [
        (
            "a large field",
            format!("GET /live HTTP/1.1\r\nHost: localhost\r\nx: {large}\r\n\r\n"),
            &[431, 400, 0][..],
        ),
        ("a large target", format!("GET /{large} HTTP/1.1\r\nHost: localhost\r\n\r\n"), &[414, 431, 400, 0]),
        (
            "many fields",
            format!("GET /live HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "x: y\r\n".repeat(10_000)),
            &[431, 400, 0],
        ),
        (
            "a large body",
            format!("POST /log HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n{large}"),
            &[400, 0],
        ),
        (
            "an endless body",
            format!(
                "POST /log HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}",
                1 << 30
            ),
            &[400, 0],
        ),
        ("noise", "\u{1}\u{2}\u{3}\u{4}\r\n\r\n".to_owned(), &[400, 0]),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[400, 505, 0]),
        ("HTTP/0.9", "GET /live\r\n\r\n".to_owned(), &[400, 0]),
        (
            "a path with everything",
            "GET /../%00%2e%2e\\;snapshot HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            &[404, 400],
        ),
        (
            "two requests at once",
            "GET /live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /snapshot HTTP/1.1\r\nHost: localhost\r\n\r\n"
                .to_owned(),
            &[200],
        ),
    ] {
        let response = raw(admin, bytes.as_bytes()).await;
        assert!(statuses.contains(&status(&response)), "{what}: {:.200}", String::from_utf8_lossy(&response));
        assert_eq!(alive().await, 200, "{what}");
    }
    // Whoever holds every connection there may be, saying next to nothing, keeps nobody else from an answer.
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut stream = call::connect(admin).await;
        stream.write_all(b"GET /live HTTP/1.1\r\nHost: local").await.unwrap();
        held.push(stream);
    }
    for _ in 0..3 {
        assert_eq!(alive().await, 200);
    }
    // The oldest of them have been dropped.
    eventually("the first one has ended", async || {
        let mut byte = [0];
        let read = tokio::time::timeout(std::time::Duration::from_millis(100), held[0].read(&mut byte)).await;
        matches!(read, Ok(Ok(0) | Err(_))).then_some(())
    })
    .await;
    // And the newest end by themselves.
    let mut last = held.pop().unwrap();
    let mut rest = Vec::new();
    let _ = soon("a slow head's end", last.read_to_end(&mut rest)).await;
    assert_eq!(alive().await, 200);
    assert_eq!(lab.web.get("http://api/").await.status, 200, "requests go on");
}
