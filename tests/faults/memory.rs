//! A sidecar whose memory somebody fills, up to the limit of its container.

use std::time::{Duration, Instant};

use http::Method;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use weft_tests::call::{self, Client, Form};
use weft_tests::eventually::eventually;
use weft_tests::figures;
use weft_tests::machine::Machine;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;

use crate::load::API;

/// KiB that it may take beside what it takes when nothing happens.
const ROOM: u64 = 40 << 10;
/// What would take more than twice that: heads that do not end.
const HEADS: usize = 1400;
const HEAD: usize = 60 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_whose_memory_is_filled_refuses_before_its_limit_and_serves_again_when_there_is_room() {
    let test = "a_sidecar_whose_memory_is_filled";
    let mesh = Mesh::start(API).await;
    let origin = Origin::start("api-1").await;
    let Some(mut idle) = Machine::start(mesh.beside("shop/idle"), "", test).await else { return };
    idle.ready().await;
    let limit = idle.process().memory() + ROOM;
    idle.terminate();
    idle.ended().await;
    let api = mesh.beside("shop/api-1").http(origin.addr).set("WEFT_MEMORY_LIMIT", &format!("{limit}Ki"));
    let api = Machine::start(api, "", test).await.expect("it was there before");
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/api", 80, 1).await;
    let mut known = Client::connect(web.outbound, Form::Absolute).await;
    let post = || call::request(Method::POST, "http://api/", "");
    assert_eq!(known.send(post()).await.status, 200);

    let head =
        [b"GET / HTTP/1.1\r\nhost: api\r\n".to_vec(), b"x-filler: ".to_vec(), vec![b'a'; HEAD]].concat();
    let (mut held, mut most, mut refused, mut served) = (Vec::new(), 0, 0, 0);
    for nth in 0..HEADS {
        let mut stream = TcpStream::connect(api.inbound).await.expect("the kernel takes it");
        // Who is not accepted any more is not read from either.
        let _stuck = timeout(Duration::from_millis(10), stream.write_all(&head)).await;
        held.push(stream);
        if nth % 10 == 0 {
            most = most.max(api.process().memory());
            match known.send(post()).await {
                reply if reply.status == 200 => served += 1,
                reply => {
                    // After some of them the caller's own proxy asks no more for a while.
                    let because = ["overloaded", "breakers_open"].contains(&reply.refusal());
                    assert!(reply.status == 503 && because, "{reply:?}");
                    refused += 1;
                }
            }
            assert!(api.is_ready().await, "it answers for itself");
        }
    }
    assert!(most <= limit, "{most} KiB of {limit}");
    assert!(refused > 0 && served > 0, "{refused} refused, {served} served");
    drop(held);
    let left = Instant::now();
    eventually("it serves again", async || (known.send(post()).await.status == 200).then_some(())).await;
    let again = left.elapsed();
    let told = format!(
        "{HEADS} heads of {} KiB held of a sidecar with room for {} MiB: at most {} % of its limit used, {refused} of {} calls \
         refused meanwhile (503), none lost, ready in every look; served again {} ms after they had gone",
        HEAD >> 10,
        ROOM >> 10,
        most * 100 / limit,
        refused + served,
        again.as_millis(),
    );
    figures::report(27, told, true);
}
