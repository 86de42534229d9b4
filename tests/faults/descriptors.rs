//! A sidecar that has no file descriptor left for anybody, because somebody holds them all.

use std::time::{Duration, Instant};

use http::Method;
use tokio::net::TcpStream;
use weft_tests::call::{self, Client, Form};
use weft_tests::eventually::eventually;
use weft_tests::figures;
use weft_tests::machine::Machine;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;

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
