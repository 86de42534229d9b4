//! How an application reaches the mesh without being changed, and what it may speak once it has.

use bytes::Bytes;
use http::{Method, Request, Version, header};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use weft_tests::call::{self, Client, Form, Reply, connect};
use weft_tests::eventually::soon;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;
use weft_tests::peer::Peer;
use weft_tests::sidecar::Sidecar;

use crate::shop::Shop;

/// A CONNECT tunnel.
pub(crate) async fn tunnel(proxy: &Sidecar, target: &str) -> TokioIo<hyper::upgrade::Upgraded> {
    let mut client = call::http1_on(connect(proxy.outbound).await).await;
    let request = Request::builder().method(Method::CONNECT).uri(target);
    let response = client.send_request(request.body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200, "{response:?}");
    TokioIo::new(soon("a tunnel", hyper::upgrade::on(response)).await.unwrap())
}

/// A connection through SOCKS5, by name (RFC 1928).
pub(crate) async fn socks(proxy: &Sidecar, host: &str, port: u16) -> TcpStream {
    let mut stream = connect(proxy.outbound).await;
    stream.write_all(&[5, 1, 0]).await.unwrap();
    let mut method = [0; 2];
    stream.read_exact(&mut method).await.unwrap();
    assert_eq!(method, [5, 0]);
    let mut request = vec![5, 1, 0, 3, u8::try_from(host.len()).unwrap()];
    request.extend(host.as_bytes());
    request.extend(port.to_be_bytes());
    stream.write_all(&request).await.unwrap();
    let mut reply = [0; 10];
    soon("a SOCKS5 reply", stream.read_exact(&mut reply)).await.unwrap();
    assert_eq!(reply[..2], [5, 0], "succeeded");
    stream
}

/// web → `db`, a TCP service whose server answers when the client has ended, and `mail`, whose server speaks first.
struct Wires {
    _mesh: Mesh,
    web: Sidecar,
    _servers: [Sidecar; 2],
    peers: [Peer; 2],
}

impl Wires {
    async fn lay() -> Self {
        let mesh = Mesh::start(
            "
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop},
 spec: {selector: {app: db}, ports: [{name: tcp, port: 6000, targetPort: tcp, appProtocol: tcp}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: mail, namespace: shop},
 spec: {selector: {app: mail}, ports: [{name: tcp, port: 2525, targetPort: tcp}]}}
",
        )
        .await;
        let peers = [Peer::after_end().await, Peer::with_banner(b"220 ready\r\n").await];
        let db = mesh.beside("shop/db").port("tcp", peers[0].addr).start().await;
        let mail = mesh.beside("shop/mail").port("tcp", peers[1].addr).start().await;
        let fixed = "127.0.0.1:0=db.shop:6000,127.0.0.1:0=mail.shop:2525";
        let web = mesh.beside("shop/web").set("WEFT_LOCAL_PORTS", fixed).start().await;
        mesh.serves("shop/db", 6000, 1).await;
        mesh.serves("shop/mail", 2525, 1).await;
        Self { _mesh: mesh, web, _servers: [db, mail], peers }
    }
}

/// Sends all of it, ends its own direction, and reads the answer to its end.
async fn say_and_end<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    mut stream: S,
    text: &[u8],
) -> String {
    stream.write_all(text).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut all = String::new();
    soon("the other direction", stream.read_to_string(&mut all)).await.unwrap();
    all
}

#[tokio::test]
async fn opaque_bytes_pass_by_every_explicit_way_in_and_each_direction_closes_by_itself() {
    let wires = Wires::lay().await;
    let want = "5 bytes: hello";
    assert_eq!(say_and_end(tunnel(&wires.web, "db.shop:6000").await, b"hello").await, want);
    assert_eq!(say_and_end(socks(&wires.web, "db.shop", 6000).await, b"hello").await, want);
    assert_eq!(say_and_end(connect(wires.web.fixed[0]).await, b"hello").await, want);
    assert_eq!(wires.peers[0].accepted(), 3);
    // Larger than any buffer on the way.
    let much = vec![b'x'; 3 << 20];
    let back = say_and_end(connect(wires.web.fixed[0]).await, &much).await;
    assert_eq!(back.len(), much.len() + "3145728 bytes: ".len());
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_by_a_client_that_waits() {
    let wires = Wires::lay().await;
    for nth in 0..2 {
        let mut stream = match nth {
            0 => connect(wires.web.fixed[1]).await,
            _ => socks(&wires.web, "mail.shop", 2525).await,
        };
        let mut banner = [0; 11];
        soon("a banner", stream.read_exact(&mut banner)).await.unwrap();
        assert_eq!(&banner, b"220 ready\r\n");
        assert_eq!(say_and_end(stream, b"EHLO me\r\n").await, "EHLO me\r\n");
    }
    assert_eq!(wires.peers[1].accepted(), 2);
}

#[tokio::test]
async fn http_passes_by_every_explicit_way_in() {
    let mesh = Mesh::start(crate::shop::SERVICES).await;
    let origin = Origin::start("api").await;
    let _api = mesh.beside("shop/api-1").http(origin.addr).start().await;
    let web = mesh.beside("shop/web").set("WEFT_LOCAL_PORTS", "127.0.0.1:0=api.shop:80").start().await;
    mesh.serves("shop/api", 80, 1).await;
    let get = || call::get("http://api.shop/x");
    let as_seen = |how: &str, reply: &Reply| {
        assert_eq!(reply.status, 200, "{how}: {reply:?}");
        let seen = reply.json();
        assert_eq!(seen["host"], "api.shop", "{how}");
        assert_eq!(seen["headers"]["weft-client-id"], "spiffe://weft.local/ns/shop/sa/web", "{how}");
        assert!(seen["headers"].get("proxy-connection").is_none(), "{how}: {seen}");
    };
    as_seen("as to a proxy", &web.send(call::with(get(), "proxy-connection", "keep-alive")).await);
    as_seen("by its Host alone", &call::to(web.outbound, get()).await);
    as_seen("on a fixed port", &call::to(web.fixed[0], get()).await);
    for (how, io) in [("CONNECT", true), ("SOCKS5", false)] {
        let mut client = if io {
            Client::on(tunnel(&web, "api.shop:80").await, Form::Origin).await
        } else {
            Client::on(socks(&web, "api.shop", 80).await, Form::Origin).await
        };
        as_seen(how, &client.send(get()).await);
        as_seen(how, &client.send(get()).await);
    }
}

#[tokio::test]
async fn every_name_of_a_service_leads_to_it_and_another_namespaces_short_name_does_not() {
    let shop = Shop::open("").await;
    for host in ["api", "api.shop", "api.shop.mesh", "api.shop.svc", "api.shop.svc.cluster.local", "API.Shop"]
    {
        let reply = shop.web.get(&format!("http://{host}/")).await;
        assert_eq!(reply.status, 200, "{host}: {reply:?}");
    }
    let stranger = shop.mesh.beside("bank/teller").start().await;
    assert_eq!(stranger.get("http://api.shop/").await.status, 200);
    assert_ne!(stranger.get("http://api/").await.status, 200, "bank has no api");
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let shop = Shop::open("").await;
    let mut io = shop.upgraded().await;
    for word in ["one", "two", "six"] {
        io.write_all(word.as_bytes()).await.unwrap();
        let mut back = [0; 3];
        soon("an echo", io.read_exact(&mut back)).await.unwrap();
        assert_eq!(back, word.as_bytes());
    }
    assert_eq!(say_and_end(io, b"end").await, "end");
}

const RPC: &str = "
{apiVersion: v1, kind: Service, metadata: {name: rpc, namespace: shop},
 spec: {selector: {app: rpc}, ports: [{name: grpc, port: 90, targetPort: grpc, appProtocol: kubernetes.io/h2c}]}}
";

#[tokio::test]
async fn messages_stream_both_ways_over_http_2_and_trailers_arrive_at_both_ends() {
    let mesh = Mesh::start(RPC).await;
    let origin = Origin::start("rpc").await;
    let _rpc = mesh.beside("shop/rpc").port("grpc", origin.addr).start().await;
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/rpc", 90, 1).await;

    let (say, said) = mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(1);
    let mut client = call::h2c(web.outbound).await;
    let request = Request::builder()
        .method(Method::POST)
        .uri("http://rpc.shop:90/shop.Cart/Watch")
        .version(Version::HTTP_2)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(StreamBody::new(Received(said)))
        .unwrap();
    // The answer's head comes while the request goes on.
    let response = soon("a head", client.send_request(request)).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2), "{response:?}");
    let mut body = response.into_body();
    for message in ["first", "second", "third"] {
        say.send(Ok(Frame::data(Bytes::from(message)))).await.unwrap();
        let frame = soon("a message", body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), message);
    }
    drop(say);
    let trailers = soon("trailers", body.collect()).await.unwrap().trailers().cloned().expect("trailers");
    assert_eq!(
        (&trailers["grpc-status"], &trailers["x-origin-trailer"]),
        (&"0".parse().unwrap(), &"kept".parse().unwrap())
    );
    let seen = &origin.seen()[0];
    assert_eq!(
        (seen.path.as_str(), &seen.headers[header::TE]),
        ("/shop.Cart/Watch", &"trailers".parse().unwrap())
    );
}

/// A channel as a stream.
struct Received<T>(mpsc::Receiver<T>);

impl<T> futures_core::Stream for Received<T> {
    type Item = T;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        self.0.poll_recv(cx)
    }
}

#[tokio::test]
async fn a_grpc_call_that_goes_nowhere_gets_a_grpc_status() {
    let mesh = Mesh::start(RPC).await;
    let web = mesh.beside("shop/web").start().await;
    let mut client = call::h2c(web.outbound).await;
    let request = Request::builder()
        .method(Method::POST)
        .uri("http://rpc.shop:90/shop.Cart/Get")
        .header(header::CONTENT_TYPE, "application/grpc");
    let response =
        soon("a head", client.send_request(request.body(Empty::<Bytes>::new()).unwrap())).await.unwrap();
    let reply = Reply::collect(response).await;
    assert_eq!((reply.status.as_u16(), reply.header("grpc-status")), (200, "14"), "{reply:?}");
    assert_eq!(reply.refusal(), "no_endpoint");
}

#[tokio::test]
async fn a_client_of_http_1_0_is_answered_and_its_connection_closed() {
    let shop = Shop::open("").await;
    for head in ["GET http://api/old HTTP/1.0\r\n\r\n", "GET /old HTTP/1.0\r\nHost: api\r\n\r\n"] {
        let mut stream = connect(shop.web.outbound).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut all = String::new();
        soon("the end of the connection", stream.read_to_string(&mut all)).await.unwrap();
        assert!(all.starts_with("HTTP/1.0 200 OK\r\n"), "{all}");
        assert!(!all.to_ascii_lowercase().contains("transfer-encoding"), "{all}");
        assert!(all.contains("\"path\":\"/old\""), "{all}");
    }
}

#[tokio::test]
async fn bodies_of_any_size_pass_as_they_are() {
    let shop = Shop::open("").await;
    shop.origin(0).always(weft_tests::origin::Answer::Echo);
    for size in [0, 1, 65_535, 65_536, 4 << 20] {
        let body: String = (0..size).map(|n| char::from(b'a' + u8::try_from(n % 26).unwrap())).collect();
        let reply = shop.web.send(call::request(Method::PUT, "http://api/", &body)).await;
        assert!(reply.status == 200 && reply.body == body, "{size}: {:?}", reply.status);
    }
}

#[tokio::test]
async fn what_is_outside_the_mesh_is_reached_and_counted_or_denied_where_that_is_set() {
    let shop = Shop::open("").await;
    let outside = Origin::start("outside").await;
    let url = format!("http://{}/", outside.addr);
    assert_eq!(shop.web.get(&url).await.origin(), "outside");
    let seen = outside.seen();
    assert!(seen[0].headers.keys().all(|name| !name.as_str().starts_with("weft-")), "{seen:?}");

    let closed = shop.mesh.beside("shop/closed").set("WEFT_UNKNOWN", "deny").start().await;
    let reply = closed.get(&url).await;
    assert_eq!((reply.status.as_u16(), reply.refusal()), (502, "unknown_destination"));
    assert_eq!(outside.count(), 1);
}

#[tokio::test]
async fn a_proxy_never_calls_itself() {
    let shop = Shop::open("").await;
    for own in [shop.web.outbound, shop.web.inbound, shop.web.admin] {
        let reply = shop.web.get(&format!("http://{own}/live")).await;
        assert_eq!((reply.status.as_u16(), reply.refusal()), (508, "loop"), "{own}: {reply:?}");
    }
}
