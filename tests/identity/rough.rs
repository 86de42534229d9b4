//! The control plane's port under people who want to wear it down: what they announce is not set aside, what they open
//! is bounded, and whoever means well is served all the while.

use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use weft_certs::request::KeyAndRequest;
use weft_tests::call::connect;
use weft_tests::eventually::{eventually, soon};
use weft_tests::mesh::Mesh;

use crate::counters::counts;
use crate::enrolment::{enrol, request, token};
use crate::forge::Ca;
use crate::hello::Hello;
use crate::present::{anywhere, client};

const ENROLL: &str = "/weft.v1.Identity/Enroll";
const ATTACH: &str = "/weft.v1.Discovery/Attach";
const WEB: &str = "{apiVersion: weft.mesh/v1alpha1, kind: Workload, metadata: {name: web, namespace: shop},
 spec: {address: 127.0.0.1, serviceAccount: web, ports: [{name: http, port: 8080}]}}";

async fn tls(mesh: &Mesh, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(config).connect(anywhere(), connect(mesh.grpc_addr()).await).await
}

/// HTTP/2 in one's own hands.
async fn http2(mesh: &Mesh, config: Arc<ClientConfig>) -> SendRequest<Bytes> {
    let stream = tls(mesh, config).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    // It ends with its sender.
    tokio::spawn(connection);
    sender
}

/// Begins a call.
async fn call(sender: &SendRequest<Bytes>, path: &str) -> (ResponseFuture, SendStream<Bytes>) {
    let request = Request::post(format!("http://control-plane{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let mut sender = soon("a free stream", sender.clone().ready()).await.unwrap();
    sender.send_request(request, false).unwrap()
}

/// What a call ended with; `None`: its stream was reset, or the connection is gone.
async fn status(answer: ResponseFuture) -> Option<u16> {
    let response: Response<RecvStream> = soon("an answer", answer).await.ok()?;
    let said = |headers: &http::HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse().ok();
    if let Some(code) = said(response.headers()) {
        return Some(code);
    }
    let mut body = response.into_body();
    while let Some(Ok(data)) = soon("the end of an answer", body.data()).await {
        let _ = body.flow_control().release_capacity(data.len());
    }
    said(&soon("trailers", body.trailers()).await.ok()??)
}

/// A message of gRPC that says it is longer than it is.
fn announced(compressed: u8, length: u32) -> Bytes {
    [&[compressed][..], &length.to_be_bytes()].concat().into()
}

/// Of this whole process, in bytes; 0 where it cannot be told.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// A stranger enrols, and a proxy with a certificate is told what it asks for.
async fn serves(mesh: &Mesh, name: &str) {
    let token = token(mesh, name, name, 1).await;
    let csr = KeyAndRequest::generate().unwrap().csr_der;
    soon("a certificate", enrol(mesh, request(&token, &format!("shop/{name}"), csr))).await.unwrap();
    mesh.beside(&format!("shop/{name}-proxy")).start().await;
}

fn somebody(mesh: &Mesh) -> Arc<ClientConfig> {
    let (stolen, _) = Ca::stolen_from(&mesh.scratch().join("state"));
    client(Some(&stolen.leaf("spiffe://weft.local/ns/shop/sa/web", |_| {})), &[b"h2"])
}

#[tokio::test]
async fn what_is_announced_is_neither_waited_for_nor_set_aside() {
    let mesh = Mesh::start(WEB).await;
    let before = resident();
    // OUT_OF_RANGE before a byte of the message has come; a compressed one is of no kind that we take.
    for (who, config) in [("nobody", client(None, &[b"h2"])), ("somebody", somebody(&mesh))] {
        let sender = http2(&mesh, config).await;
        for (flag, length, wanted) in [
            (0, u32::MAX, &[11][..]),
            (0, 0x7fff_ffff, &[11]),
            (0, (4 << 20) + 1, &[11]),
            (1, 1 << 10, &[12, 13]),
            (1, u32::MAX, &[11, 12, 13]),
            (7, 0, &[12, 13]),
        ] {
            let (answer, mut body) = call(&sender, ENROLL).await;
            body.send_data(announced(flag, length), false).unwrap();
            let code = status(answer).await.unwrap_or_else(|| panic!("{who}, {flag}, {length}: no status"));
            assert!(wanted.contains(&code), "{who}, {flag}, {length}: {code}");
        }
    }
    // Two hundred streams that announce as much as may be, and send none of it.
    let config = somebody(&mesh);
    let mut open = Vec::new();
    for _ in 0..13 {
        let sender = http2(&mesh, Arc::clone(&config)).await;
        for _ in 0..16 {
            let (answer, mut body) = call(&sender, ATTACH).await;
            body.send_data(announced(0, 4 << 20), false).unwrap();
            open.push((answer, body, sender.clone()));
        }
    }
    serves(&mesh, "well-meaning").await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 400 << 20, "{} MB for 208 streams of five bytes", grown >> 20);
}

#[tokio::test]
async fn messages_that_mean_nothing_end_their_own_call_and_nothing_else() {
    let mesh = Mesh::start(WEB).await;
    let sender = http2(&mesh, somebody(&mesh)).await;
    let message = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        Bytes::from([&[0][..], &length, bytes].concat())
    };
    // Field 1, length-delimited, within itself: ten thousand deep, as far as lengths go.
    let nested = (0..10_000).fold(Vec::new(), |inner: Vec<u8>, _| {
        let mut length = inner.len();
        let mut outer = vec![0x0a];
        while length >= 0x80 {
            outer.push(length as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(inner);
        outer
    });
    for (what, path, bytes) in [
        ("zeros", ENROLL, vec![0; 100]),
        ("a length beyond its end", ENROLL, vec![0x0a, 0xff, 0xff, 0xff, 0x7f]),
        ("text that is no UTF-8", ENROLL, vec![0x0a, 2, 0xff, 0xfe]),
        ("a number without end", ENROLL, [&[0x08][..], &[0xff; 40]].concat()),
        ("nested without end", ATTACH, nested),
        ("zeros", ATTACH, vec![0; 100]),
        ("a workload that is no text", ATTACH, vec![0x0a, 3, 0x0a, 1, 0xff]),
    ] {
        let (answer, mut body) = call(&sender, path).await;
        let _ = body.send_data(message(&bytes), true);
        let code = status(answer).await;
        assert!(code.is_some_and(|code| code != 0), "{what} to {path}: {code:?}");
    }
    // The wrong method, the wrong service, the operator's service.
    for path in ["/", "/weft.v1.Discovery/Nothing", "/weft.v1.Admin/Apply", "/weft.v1.Inspect/Status"] {
        let (answer, mut body) = call(&sender, path).await;
        let _ = body.send_data(message(&[]), true);
        assert_eq!(status(answer).await, Some(12), "{path}");
    }
    let (answer, _body) = call(&sender, ATTACH).await;
    drop(answer);
    serves(&mesh, "well-meaning").await;
}

#[tokio::test]
async fn streams_without_a_hello_fill_their_own_identitys_room_and_end() {
    let mesh = Mesh::start(WEB).await;
    let config = somebody(&mesh);
    let (mut open, mut refused) = (Vec::new(), 0);
    for _ in 0..20 {
        let sender = http2(&mesh, Arc::clone(&config)).await;
        for _ in 0..16 {
            open.push((call(&sender, ATTACH).await, sender.clone()));
        }
    }
    // Meanwhile another identity is served.
    serves(&mesh, "well-meaning").await;
    let mut late = 0;
    for ((answer, _body), _sender) in open {
        match status(answer).await {
            Some(8) => refused += 1,
            Some(4) => late += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((refused, late), (20 * 16 - 256, 256), "RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn a_flood_of_handshakes_crowds_itself_out() {
    let mesh = Mesh::start(WEB).await;
    // Some say nothing, some say half of a ClientHello, some all of it and then nothing: more of each than there are places.
    let hello = Hello::ours().record();
    let mut open = Vec::new();
    for nth in 0..1000 {
        let mut stream = connect(mesh.grpc_addr()).await;
        stream.write_all(&hello[..[0, 40, hello.len()][nth % 3]]).await.unwrap();
        open.push(stream);
    }
    serves(&mesh, "well-meaning").await;
    let family = "weft_control_plane_tls_refused_total";
    let crowded = counts(&mesh.metrics().await, family, "", "reason").get("crowded_out").copied();
    assert!(crowded.is_some_and(|count| count > 0), "{crowded:?}");
}

#[tokio::test]
async fn callers_without_a_certificate_leave_when_others_come() {
    let mesh = Mesh::start(WEB).await;
    let config = client(None, &[b"h2"]);
    let mut first = tls(&mesh, Arc::clone(&config)).await.unwrap();
    first.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    assert!(soon("SETTINGS", first.read(&mut [0; 64])).await.unwrap() > 0);
    let mut others = Vec::new();
    for _ in 0..520 {
        others.push(tls(&mesh, Arc::clone(&config)).await.unwrap());
    }
    eventually("the oldest of five hundred has to go", async || {
        matches!(first.read(&mut [0; 1024]).await, Ok(0) | Err(_)).then_some(())
    })
    .await;
    serves(&mesh, "well-meaning").await;
}
