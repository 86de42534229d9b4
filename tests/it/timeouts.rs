//! A request has so much time and no more; whatever is cut off says whose limit it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_tests::call::{self, Reply};
use weft_tests::eventually::{eventually, soon};
use weft_tests::mesh::Mesh;
use weft_tests::origin::Answer;
use weft_tests::peer::Peer;

use crate::shop::Shop;

fn policy(spec: &str) -> String {
    format!(
        "{{apiVersion: weft.mesh/v1alpha1, kind: TrafficPolicy, metadata: {{name: api, namespace: shop}},
          spec: {{targetRefs: [{{kind: Service, name: api}}], {spec}}}}}"
    )
}

fn told(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.refusal())
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_when_the_requests_time_is_up() {
    let shop = Shop::open(&policy("timeouts: {request: 200ms}")).await;
    shop.origin(0).always(Answer::Silence);
    assert_eq!(told(&shop.get("/").await), (504, "request_timeout"));
    shop.origin(0).always(Answer::Report);
    eventually("one is in time", async || (shop.get("/").await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_made_again_where_the_policy_says_so() {
    let spec =
        "timeouts: {request: 30s, backendRequest: 1s}, retries: {attempts: 2, onTimeout: true, backoff: 1ms}";
    let shop = Shop::open(&policy(spec)).await;
    shop.origin(0).next([Answer::Silence]);
    assert_eq!(shop.get("/").await.status, 200);
    assert_eq!(shop.origin(0).count(), 2);
    shop.origin(0).always(Answer::Silence);
    assert_eq!(told(&shop.get("/").await), (504, "try_timeout"));
    assert_eq!(shop.origin(0).count(), 2 + 3);
}

#[tokio::test]
async fn a_rules_own_timeout_goes_before_that_of_the_policy() {
    let route =
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: slow, namespace: shop},
        spec: {parentRefs: [{kind: Service, group: '', name: api}], rules: [
          {matches: [{path: {value: /slow}}], timeouts: {request: 0s}, backendRefs: [{name: api, port: 80}]},
          {backendRefs: [{name: api, port: 80}]}]}}";
    let shop = Shop::open(&format!("{}\n---\n{route}", policy("timeouts: {request: 1s}"))).await;
    shop.origin(0).always(Answer::Silence);
    assert_eq!(told(&shop.get("/fast").await), (504, "request_timeout"));
    // Zero is no limit (Gateway API, HTTPRouteTimeouts): it waits as long as it takes.
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    shop.origin(0).always(Answer::After(Arc::clone(&gate)));
    let (slow, fast) = tokio::join!(shop.get("/slow"), async {
        shop.origin(0).has_seen(2).await;
        let fast = shop.get("/fast").await;
        gate.add_permits(2);
        fast
    });
    assert_eq!((slow.status.as_u16(), told(&fast)), (200, (504, "request_timeout")));
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_reaches_the_client() {
    let shop = Shop::open("").await;
    shop.origin(0).always(Answer::Early(413));
    // The request goes on for as long as the client likes; the answer does not wait for its end.
    let mut stream = call::connect(shop.web.outbound).await;
    stream
        .write_all(b"POST http://api/ HTTP/1.1\r\nHost: api\r\nContent-Length: 100000000\r\n\r\nbegin")
        .await
        .unwrap();
    let mut answer = vec![0; 12];
    soon("an early answer", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");
    drop(stream);
    shop.origin(0).always(Answer::Report);
    assert_eq!(shop.get("/").await.status, 200);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_server_up_and_fills_no_memory() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let endless = Peer::start(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n").await?;
            let chunk = vec![b'x'; 64 << 10];
            loop {
                stream.write_all(&chunk).await?;
                count.fetch_add(chunk.len(), Ordering::Relaxed);
            }
        }
    })
    .await;
    let mesh = Mesh::start(crate::shop::SERVICES).await;
    let _api = mesh.beside("shop/api-1").http(endless.addr).start().await;
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/api", 80, 1).await;
    let mut stream = call::connect(web.outbound).await;
    stream.write_all(b"GET http://api/ HTTP/1.1\r\nHost: api\r\n\r\n").await.unwrap();
    let mut head = [0; 15];
    soon("a head", stream.read_exact(&mut head)).await.unwrap();
    let mut last = (0, 0);
    eventually("the server can send no more", async || {
        let now = sent.load(Ordering::Relaxed);
        last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
        (now > 0 && last.1 >= 50).then_some(())
    })
    .await;
    // Socket buffers on five legs, and a window of each hop.
    assert!(sent.load(Ordering::Relaxed) < 64 << 20, "{} bytes are on the way", sent.load(Ordering::Relaxed));
}
