//! What a peer can reach behind another's sidecar: the ports that its workload has declared, and nothing else that
//! listens on that host's loopback, the proxy's own admin listener above all (catalogue rows 55 and 56).

use bytes::Bytes;
use http::Version;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use weft_certs::tls::Hop;
use weft_proto::hop;
use weft_proto::v1::HopHeader;
use weft_tests::eventually::{eventually, soon};
use weft_tests::figures::report;
use weft_tests::peer::Peer;
use weft_tests::sidecar::Sidecar;

use crate::insider::{Insider, say};
use crate::lab::{Lab, raw, status};
use crate::reach::{cause_of, free_port};
use crate::witness::Witness;

const HOPS: [Hop; 3] = [Hop::Http1, Hop::Http2, Hop::Tcp];

/// Asks for the admin listener's answer at `port`, by a hop, and says status and cause; (0, "") where the connection
/// just ends.
async fn ask(insider: &Insider, sidecar: &Sidecar, account: &str, hop: Hop, port: &str) -> (u16, String) {
    let stream = insider.connect(sidecar, account, hop).await;
    let request =
        |fields: &str| format!("GET /live HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\n\r\n");
    let response = match hop {
        Hop::Http2 => return ask_h2(stream, port).await,
        Hop::Tcp => {
            let target_port = port.parse().unwrap_or_default();
            let header = HopHeader { target_port, authority: "localhost".to_owned() };
            say(stream, &[hop::encode(&header).unwrap(), request("").into_bytes()].concat()).await
        }
        _ => {
            let fields = if port.is_empty() { String::new() } else { format!("weft-hop-port: {port}\r\n") };
            say(stream, request(&format!("{fields}weft-hop-version: 1.1\r\n")).as_bytes()).await
        }
    };
    (status(&response), cause_of(&response))
}

async fn ask_h2<S>(stream: S, port: &str) -> (u16, String)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    // It ends with its client.
    tokio::spawn(connection);
    let mut request = http::Request::get("http://localhost/live").header("weft-hop-version", "1.1");
    if !port.is_empty() {
        request = request.header("weft-hop-port", port);
    }
    let request = request.version(Version::HTTP_2).body(Empty::<Bytes>::new()).unwrap();
    let response = soon("a response", client.send_request(request)).await.unwrap();
    let cause = response.headers().get("weft-error").map_or("", |cause| cause.to_str().unwrap());
    let found = (response.status().as_u16(), cause.split(';').next().unwrap_or_default().to_owned());
    soon("its end", response.into_body().collect()).await.unwrap();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_reaches_declared_ports_and_nothing_else_that_listens_behind_a_sidecar() {
    let lab = Lab::open("").await;
    let insider = Insider::enrol(&lab.mesh, "mallory").await;
    // On the same loopback: something that is no part of the mesh.
    let (stranger, bystander) = (Witness::start().await, Peer::with_banner(b"secret\r\n").await);
    let port = |port: u16| port.to_string();
    let api = &lab.api;
    let unknown = (421, "unknown_port");
    let bad = (400, "bad_request");
    let cells = [
        ("the application", port(lab.witness.addr.port()), (200, "")),
        ("admin", port(api.admin.port()), unknown),
        ("inbound", port(api.inbound.port()), unknown),
        ("outbound", port(api.outbound.port()), unknown),
        ("another's admin", port(lab.web.admin.port()), unknown),
        ("another's outbound", port(lab.web.outbound.port()), unknown),
        ("the control plane", port(lab.mesh.grpc_addr().port()), unknown),
        ("a stranger", port(stranger.addr.port()), unknown),
        ("a stranger who speaks first", port(bystander.addr.port()), unknown),
        ("nobody", "1".to_owned(), unknown),
        ("no port", String::new(), bad),
        ("port 0", "0".to_owned(), bad),
        ("too large a port", "65536".to_owned(), bad),
        ("a port and more", format!("{} ", lab.witness.addr.port()), (200, "")), // fields are trimmed
        ("a port with a sign", format!("+{}", lab.witness.addr.port()), bad),
        ("no number", "admin".to_owned(), bad),
    ];
    let (mut tried, mut wrong) = (0, Vec::new());
    for (what, port, http) in &cells {
        for hop in HOPS {
            if hop == Hop::Tcp && !port.bytes().all(|byte| byte.is_ascii_digit())
                || hop == Hop::Http2 && port.ends_with(' ')
            {
                continue; // what cannot be written in that hop
            }
            tried += 1;
            let expected = match (hop, http.0) {
                (Hop::Tcp, code @ 200) => (code, ""), // the application's own
                (Hop::Tcp, _) => (0, ""),             // the close says it
                _ => *http,
            };
            let found = ask(&insider, api, "api", hop, port).await;
            if (found.0, &*found.1) != expected {
                wrong.push(format!("{what} ({port}) by {hop}: {found:?}, not {expected:?}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!((stranger.take().len(), bystander.accepted()), (0, 0), "a stranger was reached");
    assert!(lab.witness.take().iter().all(|seen| seen.path == "/live"));
    report(10, format!("{tried} cells of what a peer asks for behind a sidecar, all as written"), true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_that_declares_a_port_of_its_proxy_opens_no_door_to_it() {
    let lab = Lab::open("").await;
    let insider = Insider::enrol(&lab.mesh, "mallory").await;
    let [inbound, outbound, admin] = [(); 3].map(|()| free_port());
    let at = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let careless = lab
        .mesh
        .beside("shop/careless")
        .set("WEFT_INBOUND", &at(inbound))
        .set("WEFT_OUTBOUND", &at(outbound))
        .set("WEFT_ADMIN", &at(admin))
        .port("inbound", at(inbound))
        .port("outbound", at(outbound))
        .port("admin", at(admin))
        .start()
        .await;
    let mut tried = 0;
    for port in [inbound, outbound, admin] {
        for hop in HOPS {
            tried += 1;
            let found = ask(&insider, &careless, "careless", hop, &port.to_string()).await;
            let expected = if hop == Hop::Tcp { (0, "") } else { (508, "loop") };
            assert_eq!((found.0, &*found.1), expected, "{port} by {hop}");
        }
    }
    // And where it is the only port, plaintext means it.
    let [inbound, admin] = [(); 2].map(|()| free_port());
    let only = lab
        .mesh
        .beside("shop/only")
        .set("WEFT_INBOUND", &at(inbound))
        .set("WEFT_ADMIN", &at(admin))
        .port("admin", at(admin))
        .start()
        .await;
    for (said, expected) in [
        ("GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", (508, "loop")),
        ("\0\x01 no HTTP\n", (0, "")),
    ] {
        tried += 1;
        let response = raw(only.inbound, said.as_bytes()).await;
        assert_eq!((status(&response), &*cause_of(&response)), expected, "{said:?}");
    }
    eventually("nobody is left connected", async || {
        (only.counter("weft_tcp_connections{", &[]).await == 0.0).then_some(())
    })
    .await;
    report(10, format!("{tried} cells of ports of the proxy that a workload declares, all as written"), true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_plaintext_request_names_it_goes_to_the_application_and_nowhere_else() {
    let lab = Lab::open("").await;
    let (admin, outbound) = (lab.api.admin, lab.api.outbound);
    let stranger = Witness::start().await;
    let mut cells = 0;
    for there in [admin, outbound, lab.api.inbound, lab.web.admin, stranger.addr] {
        for host in [
            there.to_string(),
            format!("localhost:{}", there.port()),
            format!("[::ffff:127.0.0.1]:{}", there.port()),
        ] {
            for target in ["/live".to_owned(), format!("http://{host}/live")] {
                cells += 1;
                let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
                let response = raw(lab.api.inbound, request.as_bytes()).await;
                assert_eq!(status(&response), 200, "{request}");
                let seen = lab.witness.take();
                assert_eq!((seen.len(), &*seen[0].path), (1, "/live"), "{request} {seen:?}");
            }
            cells += 1;
            let request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let response = raw(lab.api.inbound, request.as_bytes()).await;
            assert_eq!((status(&response), &*cause_of(&response)), (501, "not_supported"), "{request}");
        }
    }
    assert!(lab.witness.take().is_empty() && stranger.take().is_empty());
    report(10, format!("{cells} cells of what a plaintext request names, all as written"), true);
}
