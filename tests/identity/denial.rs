//! Somebody is denied under traffic: every open connection of his ends, no new one begins, and nobody else notices.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use weft_certs::verify::peer;
use weft_proto::v1::denial::Whom;
use weft_tests::call::connect;
use weft_tests::eventually::{eventually, soon};
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;

use crate::counters::{Counts, counts, only};
use crate::forge::{Ca, Presented};
use crate::present::{anywhere, client, say};

const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop},
 spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]}}
---
{apiVersion: weft.mesh/v1alpha1, kind: AuthenticationPolicy, metadata: {name: strict, namespace: shop},
 spec: {mtls: {mode: Strict}}}";

#[tokio::test]
async fn a_denied_identity_or_certificate_is_cut_off_everywhere_and_the_others_are_not() {
    let mesh = Mesh::start(SERVICE).await;
    let origin = Origin::start("api").await;
    let api = mesh.beside("shop/api").http(origin.addr).start().await;
    let (stolen, _) = Ca::stolen_from(&mesh.scratch().join("state"));
    let port = origin.addr.port();
    let request =
        format!("GET / HTTP/1.1\r\nhost: api\r\nweft-hop-port: {port}\r\nweft-hop-version: 1.1\r\n\r\n");
    let leaf = |account: &str| stolen.leaf(&format!("spiffe://weft.local/ns/shop/sa/{account}"), |_| {});
    let open = async |presented: &Presented| {
        let config = client(Some(presented), &[b"weft/1-h1"]);
        let stream = TlsConnector::from(config).connect(anywhere(), connect(api.inbound).await).await;
        let mut stream = stream.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        soon("an answer", stream.read_exact(&mut head)).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        stream
    };
    let refusals = async || -> Counts {
        counts(&api.metrics().await, "weft_tls_refused_total", "side=\"inbound\"", "reason")
    };
    let (web, cart) = (leaf("web"), leaf("cart"));
    let serial = peer(&cart.chain).unwrap().serial.to_string();
    let spare = leaf("cart");
    let mut stays = open(&spare).await;
    for (what, presented, whom) in [
        ("an identity", &web, Whom::Identity("spiffe://weft.local/ns/shop/sa/web".to_owned())),
        ("a certificate", &cart, Whom::Serial(serial)),
    ] {
        let mut stream = open(presented).await;
        let before = refusals().await;
        let told = mesh.operator().deny(whom.clone()).await.unwrap();
        assert!(told.changed, "{what}");
        let mut rest = Vec::new();
        // However it ends: the rest of the answer, and then nothing more.
        let _ = soon("the end of an open connection", stream.read_to_end(&mut rest)).await;
        let seen = origin.count();
        let said = say(api.inbound, client(Some(presented), &[b"weft/1-h1"]), request.as_bytes()).await;
        assert!(said.as_ref().map_or(true, Vec::is_empty), "{what}: {said:?}");
        only(what, &before, "denied", refusals).await;
        assert_eq!(origin.count(), seen, "{what}");
        eventually("everybody has acknowledged", async || {
            let told = mesh.operator().deny(whom.clone()).await.unwrap();
            (!told.changed && told.waiting_for.is_empty()).then_some(())
        })
        .await;
    }
    // Another certificate of the same service account was not meant.
    stays.write_all(request.as_bytes()).await.unwrap();
    eventually("the other one is still served", async || {
        let mut more = [0; 4096];
        let read = soon("more of its answers", stays.read(&mut more)).await.unwrap();
        assert!(read > 0, "its connection has ended");
        String::from_utf8_lossy(&more[..read]).contains("HTTP/1.1 200").then_some(())
    })
    .await;
    assert!(
        mesh.operator()
            .allow(Whom::Identity("spiffe://weft.local/ns/shop/sa/web".to_owned()))
            .await
            .unwrap()
            .changed
    );
    eventually("web is let in again", async || {
        let end = request.replace("host: api", "host: api\r\nconnection: close");
        let said = say(api.inbound, client(Some(&web), &[b"weft/1-h1"]), end.as_bytes()).await;
        said.is_ok_and(|said| said.starts_with(b"HTTP/1.1 200")).then_some(())
    })
    .await;
}
