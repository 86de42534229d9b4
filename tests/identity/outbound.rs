//! Bad servers behind the outbound side of a sidecar: where `shop/api` should be, somebody else listens.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use weft_tests::call::connect;
use weft_tests::eventually::eventually;
use weft_tests::figures::report;
use weft_tests::mesh::Mesh;
use weft_tests::peer::Peer;
use weft_tests::sidecar::Sidecar;

use crate::bad::certificates;
use crate::counters::{Counts, counts, only};
use crate::forge::{Ca, Presented};
use crate::present::server;

const API: &str = "spiffe://weft.local/ns/shop/sa/api";
const HOPS: &[&[u8]] = &[b"weft/1-h2", b"weft/1-h1", b"weft/1-tcp"];

/// How the one who listens answers a connection.
#[derive(Clone)]
enum Answer {
    Tls(Arc<ServerConfig>),
    Bytes(Vec<u8>),
    Silence,
}

/// `shop/web` with its sidecar, and a listener where the sidecar of `shop/api` should be.
struct Web {
    mesh: Mesh,
    sidecar: Sidecar,
    answer: Arc<Mutex<Answer>>,
    /// Bytes of requests that the listener has been sent.
    heard: Arc<AtomicUsize>,
    _listener: Peer,
}

impl Web {
    async fn start() -> Self {
        let (answer, heard) = (Arc::new(Mutex::new(Answer::Silence)), Arc::new(AtomicUsize::new(0)));
        let listener = {
            let (answer, heard) = (Arc::clone(&answer), Arc::clone(&heard));
            Peer::start(move |mut stream| {
                let (answer, heard) = (answer.lock().unwrap().clone(), Arc::clone(&heard));
                async move {
                    match answer {
                        Answer::Silence => drop(stream.read_to_end(&mut Vec::new()).await),
                        Answer::Bytes(bytes) => {
                            let _ = stream.read(&mut [0; 4096]).await?;
                            stream.write_all(&bytes).await?;
                            drop(stream.read_to_end(&mut Vec::new()).await);
                        }
                        Answer::Tls(config) => {
                            let mut stream = TlsAcceptor::from(config).accept(stream).await?;
                            let mut request = [0; 4096];
                            while let Ok(read @ 1..) = stream.read(&mut request).await {
                                heard.fetch_add(read, Ordering::Relaxed);
                            }
                        }
                    }
                    Ok(())
                }
            })
            .await
        };
        // No retries, and a breaker that never opens: each of the bad is to be met, once.
        let manifests = format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: api, namespace: shop}},
  spec: {{selector: {{app: api}}, ports: [{{name: http, port: 80, targetPort: http, appProtocol: http}}]}}}}
---
{{apiVersion: weft.mesh/v1alpha1, kind: TrafficPolicy, metadata: {{name: api, namespace: shop}},
 spec: {{targetRefs: [{{kind: Service, name: api}}], retries: {{attempts: 0}},
        circuitBreaking: {{consecutiveFailures: 100000}}}}}}
---
{{apiVersion: weft.mesh/v1alpha1, kind: Workload, metadata: {{name: api-1, namespace: shop, labels: {{app: api}}}},
 spec: {{address: 127.0.0.1, serviceAccount: api, inbound: {{port: {}}}, ports: [{{name: http, port: 8080}}]}}}}",
            listener.addr.port()
        );
        let mesh = Mesh::start(&manifests).await;
        let sidecar = mesh.beside("shop/web").start().await;
        Self { mesh, sidecar, answer, heard, _listener: listener }
    }

    fn authority(&self) -> (Ca, Ca) {
        Ca::stolen_from(&self.mesh.scratch().join("state"))
    }

    async fn refusals(&self) -> Counts {
        counts(&self.sidecar.metrics().await, "weft_tls_refused_total", "side=\"outbound\"", "reason")
    }

    async fn refuses(&self, what: &str, answer: Answer, reason: &str) {
        *self.answer.lock().unwrap() = answer;
        let before = self.refusals().await;
        let reply = self.sidecar.get("http://api/secret").await;
        assert!(reply.status.is_server_error() && !reply.refusal().is_empty(), "{what}: {reply:?}");
        only(what, &before, reason, async || self.refusals().await).await;
        assert_eq!(self.heard.load(Ordering::Relaxed), 0, "{what} was sent the request");
    }

    async fn refuses_to_send_to(&self, what: &str, presented: &Presented, alpn: &[&[u8]], reason: &str) {
        self.refuses(what, Answer::Tls(server(presented, alpn)), reason).await;
    }
}

#[tokio::test]
async fn no_bad_certificate_is_sent_a_request_and_each_is_counted_under_its_own_reason() {
    let web = Web::start().await;
    let (stolen, root) = web.authority();
    let all = certificates(&stolen, &root, API);
    for bad in &all {
        web.refuses_to_send_to(&bad.what, &bad.presented, HOPS, bad.reason).await;
    }
    for somebody in
        ["ns/shop/sa/web", "ns/shop/sa/api2", "ns/bank/sa/api", "ns/shop/sa/Api", "weft/control-plane"]
    {
        let other = stolen.leaf(&format!("spiffe://weft.local/{somebody}"), |_| {});
        web.refuses_to_send_to(somebody, &other, HOPS, "wrong_identity").await;
    }
    // The good one is sent it.
    let good = stolen.leaf(API, |_| {});
    *web.answer.lock().unwrap() = Answer::Tls(server(&good, HOPS));
    let mut asking = connect(web.sidecar.outbound).await;
    asking.write_all(b"GET http://api/ HTTP/1.1\r\nhost: api\r\n\r\n").await.unwrap();
    eventually("the good server has heard the request", async || {
        (web.heard.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    report(9, format!("{} bad servers, 0 sent a request", all.len() + 5), true);
}

#[tokio::test]
async fn a_server_that_does_not_speak_the_hop_is_sent_nothing() {
    let web = Web::start().await;
    let good = web.authority().0.leaf(API, |_| {});
    web.refuses_to_send_to("no protocol", &good, &[], "alpn").await;
    web.refuses_to_send_to("HTTP/2 as on the web", &good, &[b"h2"], "alpn").await;
    web.refuses_to_send_to("a hop of the next version", &good, &[b"weft/2-h2"], "alpn").await;
    // Alerts, and what is none.
    let alert = |description| vec![21, 3, 3, 0, 2, 2, description];
    for (what, bytes, reason) in [
        ("an alert: protocol_version", alert(70), "tls_version"),
        ("an alert: no_application_protocol", alert(120), "alpn"),
        ("an alert: handshake_failure", alert(40), "refused_by_peer"),
        ("a ServerHello of TLS 1.2", tls12_server_hello(), "tls_version"),
        ("plain HTTP", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(), "not_tls"),
        ("zeros", vec![0; 64], "not_tls"),
        (
            "a record that is too long",
            [&[22, 3, 3, 0xff, 0xff][..], &[0; 100]].concat(),
            "malformed_handshake",
        ),
        ("a message that nobody knows", vec![22, 3, 3, 0, 4, 99, 0, 0, 0], "malformed_handshake"),
    ] {
        web.refuses(what, Answer::Bytes(bytes), reason).await;
    }
    web.refuses("silence", Answer::Silence, "handshake_timeout").await;
}

/// RFC 5246 §7.4.1.3, without extensions.
fn tls12_server_hello() -> Vec<u8> {
    let body = [&[3, 3][..], &[7; 32], &[0, 0xc0, 0x2b, 0]].concat();
    let message = [&[2, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 3, 0, message.len() as u8][..], &message].concat()
}
