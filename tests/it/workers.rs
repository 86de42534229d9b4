//! More than one worker thread: what is limited is limited for the proxy, and connections spread over its threads.

use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use weft_tests::call::{self, Client, Form, Reply};
use weft_tests::eventually::{eventually, soon};
use weft_tests::mesh::Mesh;
use weft_tests::origin::Answer;
use weft_tests::peer::Peer;
use weft_tests::sidecar::Sidecar;

use crate::shop::Shop;
use crate::ways_in::socks;

fn policy(of: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: weft.mesh/v1alpha1, kind: TrafficPolicy, metadata: {{name: {of}, namespace: shop}},
          spec: {{targetRefs: [{{kind: Service, name: {of}}}], {spec}}}}}"
    )
}

/// A shop with a caller that has so many workers.
async fn wide(workers: usize, spec: &str) -> (Shop, Sidecar) {
    let shop = Shop::open(&policy("api", spec)).await;
    let wide = shop.mesh.beside("shop/wide").set("WEFT_WORKERS", &workers).start().await;
    // It knows the way from here on: nothing below waits for the control plane.
    assert_eq!(wide.get("http://api/").await.status, 200);
    (shop, wide)
}

/// So many requests at once, each on a connection of its own that is open already.
async fn at_once(sidecar: &Sidecar, count: usize) -> JoinSet<Reply> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(Client::connect(sidecar.outbound, Form::Absolute).await);
    }
    clients.into_iter().map(|mut client| async move { client.send(call::get("http://api/")).await }).collect()
}

fn told(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.refusal())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_on_requests_lets_no_more_through_however_many_workers_ask_at_once() {
    let (shop, wide) = wide(4, "limits: {maxRequests: 3}").await;
    let gate = Arc::new(Semaphore::new(0));
    shop.origin(0).always(Answer::After(Arc::clone(&gate)));
    for round in 0..30 {
        let before = shop.origin(0).count();
        let mut replies = at_once(&wide, 40).await;
        for _ in 0..37 {
            let refused = soon("a refusal", replies.join_next()).await.unwrap().unwrap();
            assert_eq!(told(&refused), (503, "over_limit"), "round {round}");
        }
        shop.origin(0).has_seen(before + 3).await;
        assert_eq!(shop.origin(0).count(), before + 3, "round {round}");
        gate.add_permits(3);
        while let Some(reply) = replies.join_next().await {
            assert_eq!(told(&reply.unwrap()), (200, ""), "round {round}");
        }
        eventually("all places are free", async || {
            (wide.counter("weft_requests_in_flight", &[]).await == 0.0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_on_connections_holds_for_those_that_are_still_being_opened() {
    let service = "{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop},
        spec: {selector: {app: db}, ports: [{name: tcp, port: 6000, targetPort: tcp, appProtocol: tcp}]}}";
    let limit = policy("db", "limits: {maxConnections: 3}");
    let mesh = Mesh::start(&format!("{service}\n---\n{limit}")).await;
    let peer = Peer::with_banner(b"ready\r\n").await;
    let _db = mesh.beside("shop/db").port("tcp", peer.addr).start().await;
    let web = Arc::new(mesh.beside("shop/web").set("WEFT_WORKERS", "2").start().await);
    mesh.serves("shop/db", 6000, 1).await;
    let mut asking = JoinSet::new();
    for _ in 0..30 {
        let web = Arc::clone(&web);
        asking.spawn(async move {
            let mut stream = socks(&web, "db.shop", 6000).await;
            let mut banner = [0; 7];
            let open = soon("a banner or an end", stream.read_exact(&mut banner)).await.is_ok();
            open.then_some(stream)
        });
    }
    let open: Vec<_> = asking.join_all().await.into_iter().flatten().collect();
    assert_eq!((open.len(), peer.accepted()), (3, 3));
    // Whoever leaves makes room for one.
    drop(open);
    eventually("there is room again", async || {
        let mut stream = socks(&web, "db.shop", 6000).await;
        soon("a banner or an end", stream.read_exact(&mut [0; 7])).await.ok().map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_spend_from_one_budget_of_retries() {
    let retries = "retries: {attempts: 3, statuses: [503], backoff: 1ms,
        budget: {percent: 0, minPerSecond: 1, window: 10s}}, circuitBreaking: {consecutiveFailures: 0}";
    let (shop, wide) = wide(2, retries).await;
    shop.origin(0).always(Answer::Status(503));
    let began = std::time::Instant::now();
    let before = shop.origin(0).count();
    for _ in 0..5 {
        for reply in at_once(&wide, 20).await.join_all().await {
            assert_eq!(reply.status, 503);
        }
    }
    let retried = shop.origin(0).count() - before - 100;
    // Ten in ten seconds, for the proxy; each further one has to be a second later.
    let most = 10 + usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    assert!((5..=most).contains(&retried), "{retried} of {most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_rests_is_tried_by_one_request_of_all_workers() {
    let (shop, wide) =
        wide(4, "circuitBreaking: {consecutiveFailures: 3, openFor: 500ms, maxOpenFor: 500ms}").await;
    shop.origin(0).always(Answer::Status(500));
    for _ in 0..3 {
        assert_eq!(wide.get("http://api/").await.status, 500);
    }
    let gate = Arc::new(Semaphore::new(0));
    shop.origin(0).always(Answer::After(Arc::clone(&gate)));
    let before = shop.origin(0).count();
    // Until it may be tried, all are refused; then one is let through, and the rest of its round is refused again.
    let mut waiting = loop {
        let mut replies = at_once(&wide, 20).await;
        for _ in 0..19 {
            let refused = soon("a refusal", replies.join_next()).await.unwrap().unwrap();
            assert_eq!(told(&refused), (503, "breakers_open"));
        }
        let last = tokio::select! {
            last = replies.join_next() => last.unwrap().unwrap(),
            () = shop.origin(0).has_seen(before + 1) => break replies,
        };
        assert_eq!(told(&last), (503, "breakers_open"));
    };
    assert_eq!(shop.origin(0).count(), before + 1);
    gate.add_permits(1000);
    assert_eq!(told(&soon("the one", waiting.join_next()).await.unwrap().unwrap()), (200, ""));
}

#[tokio::test]
async fn long_connections_go_to_the_worker_with_the_fewest() {
    let (shop, wide) = wide(4, "loadBalancing: {type: RoundRobin}").await;
    let hops = async || shop.servers[0].counter("weft_detected_connections_total", &["tls"]).await;
    // Each worker has connections to other sidecars of its own: so many hops, so many workers are at work.
    let mut long = Vec::new();
    for _ in 0..4 {
        let mut client = wide.client().await;
        assert_eq!(client.send(call::get("http://api/")).await.status, 200);
        long.push(client);
    }
    assert_eq!(hops().await, 4.0, "four connections are one for each of four workers");
    for _ in 0..12 {
        let mut client = wide.client().await;
        assert_eq!(client.send(call::get("http://api/")).await.status, 200);
        long.push(client);
    }
    assert_eq!(hops().await, 4.0);
    drop(long);
    assert!(wide.drain().await);
}
