//! A server is denied while connections to it are open: they end, whatever they carry, and without its help.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_proto::v1::denial::Whom;
use weft_tests::call;
use weft_tests::eventually::soon;
use weft_tests::mesh::Mesh;
use weft_tests::peer::Peer;

const SERVICES: &str = "{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop},
 spec: {selector: {app: db}, ports: [{port: 6000, targetPort: tcp, appProtocol: tcp}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: log, namespace: shop},
 spec: {selector: {app: log}, ports: [{port: 6000, targetPort: tcp, appProtocol: tcp}]}}";

#[tokio::test]
async fn an_opaque_connection_to_a_server_that_is_denied_ends_and_one_to_another_does_not() {
    let mesh = Mesh::start(SERVICES).await;
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
    let [mut denied, mut other] = open;
    let whom = Whom::Identity("spiffe://weft.local/ns/shop/sa/db".to_owned());
    assert!(mesh.operator().deny(whom).await.unwrap().changed);
    let mut rest = Vec::new();
    let _ = soon("the end of the connection to it", denied.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
    other.write_all(b"still here").await.unwrap();
    let mut back = [0; 10];
    soon("an echo", other.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"still here");
}
