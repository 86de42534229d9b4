//! Somebody keeps his session by hand and comes back with it after he was denied: it is worth what his certificate is.

use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use weft_certs::verify::peer;
use weft_proto::v1::denial::Whom;
use weft_tests::call::connect;
use weft_tests::eventually::{eventually, soon};
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;

use crate::counters::{Counts, counts, only};
use crate::forge::Ca;
use crate::present::{anywhere, client, say};

const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop},
 spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]}}";

#[tokio::test]
async fn a_session_kept_by_hand_does_not_outlive_a_denial() {
    let mesh = Mesh::start(SERVICE).await;
    let origin = Origin::start("api").await;
    let api = mesh.beside("shop/api").http(origin.addr).start().await;
    let (stolen, _) = Ca::stolen_from(&mesh.scratch().join("state"));
    let port = origin.addr.port();
    let request = format!(
        "GET / HTTP/1.1\r\nhost: api\r\nconnection: close\r\nweft-hop-port: {port}\r\nweft-hop-version: 1.1\r\n\r\n"
    );
    let refusals = async || -> Counts {
        counts(&api.metrics().await, "weft_tls_refused_total", "side=\"inbound\"", "reason")
    };
    for account in ["by-name", "by-serial"] {
        let id = format!("spiffe://weft.local/ns/shop/sa/{account}");
        let leaf = stolen.leaf(&id, |_| {});
        // One configuration for all of its connections: it remembers sessions, and forgets none for our sake.
        let config = client(Some(&leaf), &[b"weft/1-h1"]);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let connector = TlsConnector::from(config.clone());
            let mut stream = connector.connect(anywhere(), connect(api.inbound).await).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind), "{account}");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            soon("an answer", stream.read_to_end(&mut answer)).await.unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{account}");
        }
        let whom = match account {
            "by-name" => Whom::Identity(id),
            _ => Whom::Serial(peer(&leaf.chain).unwrap().serial.to_string()),
        };
        assert!(mesh.operator().deny(whom.clone()).await.unwrap().changed, "{account}");
        eventually("the server has heard of it", async || {
            mesh.operator().deny(whom.clone()).await.unwrap().waiting_for.is_empty().then_some(())
        })
        .await;
        let (seen, before) = (origin.count(), refusals().await);
        let said = say(api.inbound, config, request.as_bytes()).await;
        assert!(said.as_ref().map_or(true, Vec::is_empty), "{account}: {said:?}");
        only(account, &before, "denied", refusals).await;
        assert_eq!(origin.count(), seen, "{account}");
    }
}
