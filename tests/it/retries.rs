//! What is sent again, and what never is. The origin counts.

use std::time::Instant;

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_tests::call::{self, Reply};
use weft_tests::eventually::{eventually, soon};
use weft_tests::mesh::Mesh;
use weft_tests::origin::{Answer, Origin};
use weft_tests::peer::Peer;

use crate::shop::Shop;

/// A policy for calls to `api` with these retries.
fn retries(retries: &str) -> String {
    format!(
        "{{apiVersion: weft.mesh/v1alpha1, kind: TrafficPolicy, metadata: {{name: api, namespace: shop}},
          spec: {{targetRefs: [{{kind: Service, name: api}}], retries: {{{retries}}},
                 circuitBreaking: {{consecutiveFailures: 0}}}}}}"
    )
}

const ON_503: &str = "attempts: 3, statuses: [503], backoff: 1ms";

#[tokio::test]
async fn a_get_that_fails_with_a_named_status_is_sent_again_until_it_succeeds() {
    let shop = Shop::open(&retries(ON_503)).await;
    shop.origin(0).next([Answer::Status(503), Answer::Status(503)]);
    assert_eq!(shop.get("/").await.status, 200);
    assert_eq!(shop.origin(0).count(), 3);
    let line = &shop.web.logged(1, |_| true).await[0];
    assert_eq!((&line["retries"], &line["status"]), (&2.into(), &200.into()), "{line}");
}

#[tokio::test]
async fn what_the_policy_does_not_name_is_passed_on_as_it_is() {
    let shop = Shop::open(&retries(ON_503)).await;
    shop.origin(0).next([Answer::Status(500)]);
    assert_eq!(shop.get("/").await.status, 500);
    assert_eq!(shop.origin(0).count(), 1);
    // And when the tries are spent, the client gets the last answer, not one of ours.
    shop.origin(0).always(Answer::Status(503));
    let reply = shop.get("/").await;
    assert_eq!((reply.status.as_u16(), reply.origin().as_str(), reply.refusal()), (503, "api-1", ""));
    assert_eq!(shop.origin(0).count(), 1 + 4, "one try and three retries");
}

#[tokio::test]
async fn a_post_is_sent_once_unless_the_policy_opts_in_by_name() {
    let shop = Shop::open(&retries(ON_503)).await;
    let post = || call::request(Method::POST, "http://api/orders", "two of them");
    shop.origin(0).next([Answer::Status(503)]);
    assert_eq!(shop.web.send(post()).await.status, 503);
    assert_eq!(shop.origin(0).count(), 1);

    // The connection breaks after it was received: it may have been processed.
    shop.origin(0).next([Answer::Close]);
    let reply = shop.web.send(post()).await;
    assert_eq!(reply.status, 502, "{reply:?}");
    assert_eq!(shop.origin(0).count(), 2);

    let opted = retries(&format!("{ON_503}, nonIdempotent: true"));
    shop.mesh.apply("mesh.yaml", &format!("{}\n---\n{opted}", crate::shop::SERVICES)).await;
    shop.origin(0).next([Answer::Status(503)]);
    let reply = shop.web.send(post()).await;
    assert_eq!((reply.status.as_u16(), reply.json()["body"].as_str()), (200, Some("two of them")));
    assert_eq!(shop.origin(0).count(), 4);
}

#[tokio::test]
async fn by_default_not_even_a_get_is_sent_again_once_it_may_have_been_processed() {
    let shop = Shop::open("").await;
    for answer in [Answer::Status(503), Answer::Close] {
        shop.origin(0).next([answer]);
        let before = shop.origin(0).count();
        assert!(shop.get("/").await.status.is_server_error());
        assert_eq!(shop.origin(0).count(), before + 1);
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_costs_a_retry_and_no_failure_not_even_of_a_post() {
    let mut shop = Shop::open_with(&["api-1", "api-2"], "").await;
    // The process has gone without a word: the control plane still names it.
    let gone = shop.servers.remove(0);
    let port = gone.inbound;
    drop(gone);
    eventually("nobody listens any more", async || {
        tokio::net::TcpStream::connect(port).await.is_err().then_some(())
    })
    .await;
    for _ in 0..20 {
        let reply = shop.web.send(call::request(Method::POST, "http://api/", "x")).await;
        assert_eq!((reply.status.as_u16(), reply.origin().as_str()), (200, "api-2"), "{reply:?}");
    }
    assert_eq!(shop.origin(1).count(), 20);
}

#[tokio::test]
async fn retries_stay_within_their_budget() {
    let budget = "budget: {percent: 0, minPerSecond: 1, window: 10s}";
    let shop = Shop::open(&retries(&format!("{ON_503}, {budget}"))).await;
    shop.origin(0).always(Answer::Status(503));
    let mut client = shop.web.client().await;
    let began = Instant::now();
    for _ in 0..50 {
        assert_eq!(client.send(call::get("http://api/")).await.status, 503);
    }
    // Ten in ten seconds, and whatever else falls into the time that the test itself takes.
    let most = 50 + 10 + usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let sent = shop.origin(0).count();
    assert!((51..=most).contains(&sent), "{sent} of {most}");
}

#[tokio::test]
async fn a_grpc_code_that_the_policy_names_is_retried_while_nothing_has_been_passed_on() {
    let rpc = "
        {apiVersion: v1, kind: Service, metadata: {name: rpc, namespace: shop},
         spec: {selector: {app: rpc}, ports: [{port: 90, targetPort: grpc, appProtocol: kubernetes.io/h2c}]}}
---
        {apiVersion: weft.mesh/v1alpha1, kind: TrafficPolicy, metadata: {name: rpc, namespace: shop},
         spec: {targetRefs: [{kind: Service, name: rpc}],
                retries: {attempts: 3, grpcCodes: [UNAVAILABLE], nonIdempotent: true, backoff: 1ms}}}";
    let mesh = Mesh::start(rpc).await;
    let origin = Origin::start("rpc").await;
    let _rpc = mesh.beside("shop/rpc").port("grpc", origin.addr).start().await;
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/rpc", 90, 1).await;
    let mut client = call::h2c(web.outbound).await;
    let mut call = async || {
        let request = call::request(Method::POST, "http://rpc.shop:90/shop.Cart/Get", "message");
        let request = call::with(request, "content-type", "application/grpc");
        let response = soon("a head", client.send_request(request)).await.unwrap();
        let reply = Reply::collect(response).await;
        let code = reply.trailers.get("grpc-status").or(reply.headers.get("grpc-status")).cloned();
        code.expect("every call ends with a code").to_str().unwrap().to_owned()
    };
    origin.next([Answer::GrpcHead(14), Answer::GrpcHead(14)]);
    assert_eq!(call().await, "0");
    assert_eq!(origin.count(), 3);
    // Another code is the caller's to hear, and so is a code that comes after messages.
    origin.next([Answer::GrpcHead(7)]);
    assert_eq!(call().await, "7");
    origin.next([Answer::Grpc(14)]);
    assert_eq!(call().await, "14");
    assert_eq!(origin.count(), 5);
}

#[tokio::test]
async fn a_body_too_large_to_be_kept_is_sent_once_and_the_client_hears_what_came_of_it() {
    let shop = Shop::open(&retries(&format!("{ON_503}, nonIdempotent: true"))).await;
    let body = "x".repeat(8 << 20);
    shop.origin(0).next([Answer::Status(503)]);
    let reply = shop.web.send(call::request(Method::POST, "http://api/", &body)).await;
    assert_eq!(reply.status, 503);
    assert_eq!(shop.origin(0).count(), 1);
}

#[tokio::test]
async fn an_application_that_hangs_up_after_every_answer_costs_nobody_a_request() {
    let mesh = Mesh::start(crate::shop::SERVICES).await;
    // It does not say that it will: the next request finds the connection gone.
    let rude = Peer::start(async |mut stream: tokio::net::TcpStream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
        stream.shutdown().await
    })
    .await;
    let _api = mesh.beside("shop/api-1").http(rude.addr).start().await;
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/api", 80, 1).await;
    let mut client = web.client().await;
    for request in 0..200 {
        let reply = client.send(call::get("http://api/")).await;
        assert_eq!(reply.status, 200, "request {request}: {reply:?}");
    }
}
