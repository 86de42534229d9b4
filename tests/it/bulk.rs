//! Opaque connections that carry much, carry it to nobody, or are carried nowhere.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use weft_tests::call::connect;
use weft_tests::eventually::{eventually, soon};
use weft_tests::mesh::Mesh;
use weft_tests::peer::Peer;
use weft_tests::sidecar::Sidecar;

use crate::ways_in::socks;

const SERVICES: &str = "
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop},
 spec: {selector: {app: db}, ports: [{name: tcp, port: 6000, targetPort: tcp, appProtocol: tcp}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: nobody, namespace: shop},
 spec: {selector: {app: nobody}, ports: [{name: tcp, port: 6000, targetPort: tcp, appProtocol: tcp}]}}
";

/// web → `db`, and to whatever else is called.
struct Wire {
    mesh: Mesh,
    web: Sidecar,
    db: Sidecar,
    server: Peer,
}

impl Wire {
    async fn lay(server: Peer, manifests: &str) -> Self {
        let mesh = Mesh::start(&format!("{SERVICES}\n---\n{manifests}")).await;
        let db = mesh.beside("shop/db").port("tcp", server.addr).start().await;
        let fixed =
            format!("127.0.0.1:0=db.shop:6000,127.0.0.1:0=nobody.shop:6000,127.0.0.1:0={}", server.addr);
        let web = mesh.beside("shop/web").set("WEFT_LOCAL_PORTS", &fixed).start().await;
        mesh.serves("shop/db", 6000, 1).await;
        Self { mesh, web, db, server }
    }
}

/// Repeats every byte, and ends when the client has.
async fn echo() -> Peer {
    Peer::start(async |mut stream: TcpStream| {
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await?;
        write.shutdown().await
    })
    .await
}

/// Beyond what all buffers on the way hold together.
const MUCH: usize = 249 * 48_000;

/// Says much and hears it all again, both at once, and then the end.
async fn hears_itself<S: AsyncRead + AsyncWrite + Unpin>(how: &str, stream: S) {
    let much = (0..=248).collect::<Vec<u8>>().repeat(MUCH / 249);
    let (mut read, mut write) = tokio::io::split(stream);
    let mut back = Vec::new();
    let (said, heard) = tokio::join!(
        async {
            write.write_all(&much).await?;
            write.shutdown().await
        },
        soon("every byte", read.read_to_end(&mut back))
    );
    said.and(heard.map(drop)).unwrap_or_else(|error| panic!("{how}: {error}"));
    assert!(back == much, "{how}: {} of {} bytes", back.len(), much.len());
}

#[tokio::test]
async fn much_passes_unchanged_between_sidecars_and_outside_the_mesh_and_into_it() {
    let wire = Wire::lay(echo().await, "").await;
    let [db, _, outside] = *wire.web.fixed.as_slice() else { panic!("three fixed ports") };
    hears_itself("mTLS", connect(db).await).await;
    hears_itself("outside, by a fixed port", connect(outside).await).await;
    let named = socks(&wire.web, "127.0.0.1", wire.server.addr.port()).await;
    hears_itself("outside, by SOCKS5", named).await;
    hears_itself("plaintext into the mesh", connect(wire.db.inbound).await).await;
    for (proxy, direction, service, connections) in [
        (&wire.web, "outbound", "shop/db", 1.0),
        (&wire.web, "outbound", "outside", 2.0),
        (&wire.db, "inbound", "shop/db", 2.0),
    ] {
        let labels = [format!("direction=\"{direction}\""), format!("service=\"{service}\"")];
        let labels = labels.each_ref().map(String::as_str);
        eventually(format!("{direction} {service} is counted"), async || {
            let bytes = proxy.counter("weft_tcp_bytes_total", &labels).await;
            (bytes == connections * 2.0 * MUCH as f64).then_some(())
        })
        .await;
    }
    let carried = wire.db.logged(2, |line| line["protocol"] == "tcp").await;
    assert!(carried.iter().all(|line| line["sent_bytes"] == MUCH), "{carried:?}");
    assert!(carried.iter().any(|line| line["peer"].is_string()), "{carried:?}");
}

#[tokio::test]
async fn a_hundred_servers_that_never_read_hold_back_their_clients_and_nobody_else() {
    let deaf = Peer::start(async |stream: TcpStream| {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    let echo = echo().await;
    let wire = Wire::lay(deaf, "").await;
    let [db, _, outside] = *wire.web.fixed.as_slice() else { panic!("three fixed ports") };
    for way in [db, outside] {
        let mut open = JoinSet::new();
        for _ in 0..100 {
            open.spawn(async move {
                let mut stream = connect(way).await;
                let chunk = vec![0; 64 << 10];
                // A write that is not taken for as long as this will not be.
                while let Ok(written) = tokio::time::timeout(STALLED, stream.write(&chunk)).await {
                    written.unwrap();
                }
                stream
            });
        }
        let stalled = soon("every client is held back", open.join_all()).await;
        let other = socks(&wire.web, "127.0.0.1", echo.addr.port()).await;
        hears_itself("beside a hundred that stall", other).await;
        assert_eq!(stalled.len(), 100);
    }
}

/// Longer than a busy machine needs to take 64 KiB.
const STALLED: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_connection_that_is_not_carried_is_counted_and_logged_with_its_reason() {
    let closed = "{apiVersion: weft.mesh/v1alpha1, kind: AuthorizationPolicy, metadata: {name: closed, namespace: shop},
        spec: {targetRefs: [{kind: Service, name: db}], action: Deny, rules: [{}]}}";
    let wire = Wire::lay(echo().await, closed).await;
    let [db, nobody, _] = *wire.web.fixed.as_slice() else { panic!("three fixed ports") };
    let hears_nothing = async |way| {
        let mut stream = connect(way).await;
        // It may be closed before this is written.
        let _ = stream.write_all(b"hello\r\n").await;
        let mut heard = Vec::new();
        let _ = soon("the end", stream.read_to_end(&mut heard)).await;
        assert_eq!(heard, b"");
    };
    hears_nothing(db).await;
    hears_nothing(nobody).await;
    hears_nothing(wire.db.inbound).await;
    for (proxy, service, refusal, count, policy) in [
        (&wire.db, "shop/db", "denied", 2.0, Some("AuthorizationPolicy shop/closed")),
        (&wire.web, "shop/nobody", "no_endpoint", 1.0, None),
    ] {
        let labels = [format!("service=\"{service}\""), format!("refusal=\"{refusal}\"")];
        let labels = labels.each_ref().map(String::as_str);
        eventually(format!("{service} {refusal}"), async || {
            let counted = proxy.counter("weft_tcp_connections_refused_total", &labels).await;
            (counted == count).then_some(())
        })
        .await;
        let lines = proxy.logged(count as usize, |line| line["refusal"] == refusal).await;
        for line in &lines {
            assert_eq!(
                (line["protocol"].as_str(), line["service"].as_str()),
                (Some("tcp"), Some(service)),
                "{line}"
            );
            assert_eq!(line["policy"].as_str(), policy, "{line}");
            assert!(line["source"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        }
        assert_eq!(lines.len(), count as usize, "{lines:?}");
    }
    assert_eq!(wire.server.accepted(), 0);
    drop(wire.mesh);
}
