//! A sidecar that has no file descriptor left for anybody, because somebody holds them all.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use weft_tests::call::{self, Client, Form};
use weft_tests::eventually::eventually;
use weft_tests::figures;
use weft_tests::machine::Machine;
use weft_tests::mesh::Mesh;
use weft_tests::origin::{Answer, Origin};

use crate::load::API;

/// What the system lets it have.
const LIMIT: usize = 160;
/// What somebody opens: the kernel accepts as many as it is told to keep for whoever listens.
const HELD: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_whose_descriptors_are_held_answers_for_itself_and_recovers_when_they_are_let_go() {
    let test = "a_sidecar_whose_descriptors_are_held";
    let mesh = Mesh::start(API).await;
    let origin = Origin::start("api-1").await;
    let behind = format!("prlimit --nofile={LIMIT}:{LIMIT}");
    let api = mesh.beside("shop/api-1").http(origin.addr);
    let Some(api) = Machine::start(api, &behind, test).await else { return };
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/api", 80, 1).await;
    let mut known = Client::connect(web.outbound, Form::Absolute).await;
    let post = || call::request(Method::POST, "http://api/", "");
    assert_eq!(known.send(post()).await.status, 200);

    let mut held = Vec::new();
    for _ in 0..HELD {
        held.push(TcpStream::connect(api.inbound).await.expect("the kernel takes it"));
    }
    let (mut ready, mut served) = (0, 0);
    for _ in 0..50 {
        ready += usize::from(api.is_ready().await);
        served += usize::from(known.send(post()).await.status == 200);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let most = api.process().descriptors();
    assert_eq!((ready, served), (50, 50), "it answers for itself, and for whom it knows");
    assert!(most < LIMIT, "{most} descriptors");
    // Somebody new has to wait until they are let go.
    drop(held);
    let begun = Instant::now();
    eventually("somebody new is served", async || {
        let mut client = Client::connect(api.inbound, Form::Origin).await;
        let reply = client.try_send(call::get("http://api/")).await.ok()?;
        (reply.status() == 200).then_some(())
    })
    .await;
    let recovered = begun.elapsed();
    let told = format!(
        "{HELD} connections held of a sidecar with {LIMIT} descriptors, of which it had {most} open: ready in {ready} of 50 \
         looks, {served} of 50 calls on a connection that was there answered; somebody new served {} ms after they were let go",
        recovered.as_millis()
    );
    figures::report(27, told, recovered <= Duration::from_secs(1));
}

/// Far more endpoints than descriptors.
const ENDPOINTS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_calls_more_endpoints_than_it_has_descriptors_finds_room_for_every_call() {
    let test = "a_sidecar_that_calls_more_endpoints";
    let origin = Origin::start_at("any", ([0, 0, 0, 0], 0).into()).await;
    let mut manifests = API.to_owned();
    for n in 1..=ENDPOINTS {
        let port = origin.addr.port();
        let _ = write!(
            manifests,
            "---\n{{apiVersion: weft.mesh/v1alpha1, kind: Workload, metadata: {{name: api-{n}, namespace: shop, labels: \
             {{app: api}}}}, spec: {{address: 127.1.0.{n}, ports: [{{name: http, port: {port}}}], mesh: false}}}}\n"
        );
    }
    let mesh = Mesh::start(&manifests).await;
    let behind = format!("prlimit --nofile={LIMIT}:{LIMIT}");
    let Some(web) = Machine::start(mesh.beside("shop/web"), &behind, test).await else { return };
    web.ready().await;
    mesh.serves("shop/api", 80, ENDPOINTS).await;

    // One after the other: connections are left with nearly every endpoint, and never more than there is room for.
    let mut known = Client::connect(web.outbound, Form::Absolute).await;
    let mut most = 0;
    for _ in 0..3 * ENDPOINTS {
        let reply = known.send(call::request(Method::POST, "http://api/", "")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        most = most.max(web.process().descriptors());
    }
    assert!(most < LIMIT - 20, "{most} descriptors");

    // Many at once, on two connections in and as many out as there are calls: those that are idle make room.
    let go = Arc::new(Semaphore::new(0));
    origin.always(Answer::After(Arc::clone(&go)));
    let at_once = 116;
    assert!(most + at_once > LIMIT, "there is room for all beside {most}");
    let all = origin.count() + at_once;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let client = call::h2c(web.outbound).await;
        for _ in 0..at_once / 2 {
            let mut client = client.clone();
            calls.spawn(async move {
                let answered = client.send_request(call::request(Method::POST, "http://api/", "")).await;
                answered.map(|response| response.status().as_u16())
            });
        }
    }
    eventually("all are under way", async || (origin.count() >= all).then_some(())).await;
    go.add_permits(at_once);
    while let Some(status) = calls.join_next().await {
        assert_eq!(status.expect("no client panics").ok(), Some(200));
    }
    // And none of the endpoints was blamed for it.
    let metrics = call::to(web.admin, call::get(&format!("http://{}/metrics", web.admin))).await.body;
    let metrics = String::from_utf8_lossy(&metrics);
    let retried =
        metrics.lines().find(|line| line.starts_with("weft_retries_total") && !line.ends_with(" 0"));
    assert_eq!(retried, None);
}
