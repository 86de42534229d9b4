//! More work than a server can do, and servers that fail whatever they are asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use weft_tests::call::{self, Client, Form};
use weft_tests::figures;
use weft_tests::mesh::Mesh;
use weft_tests::origin::{Answer, Origin};
use weft_tests::peer::Peer;

use crate::load::API;

fn policy(spec: &str) -> String {
    format!(
        "{API}---\n{{apiVersion: weft.mesh/v1alpha1, kind: TrafficPolicy, metadata: {{name: api, namespace: shop}},
          spec: {{targetRefs: [{{kind: Service, name: api}}], {spec}}}}}"
    )
}

#[tokio::test]
async fn of_a_server_that_always_fails_no_more_is_asked_than_the_budget_says() {
    let retries =
        "retries: {attempts: 3, statuses: [503], backoff: 1ms, budget: {percent: 20, minPerSecond: 0}},
                   circuitBreaking: {consecutiveFailures: 0}";
    let mesh = Mesh::start(&policy(retries)).await;
    let origin = Origin::start("api-1").await;
    origin.always(Answer::Status(503));
    let _api = mesh.beside("shop/api-1").http(origin.addr).start().await;
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/api", 80, 1).await;
    let mut client = web.client().await;
    for _ in 0..ASKED {
        assert_eq!(client.send(call::get("http://api/")).await.status, 503);
    }
    let ratio = origin.count() as f64 / ASKED as f64;
    let told = format!("{ASKED} calls of a server that always fails: it was asked {ratio:.2} times as often");
    figures::report(26, told, ratio <= 1.2);
    assert!((1.1..=1.2).contains(&ratio), "there is a budget, and it is used: {ratio}");
}

const ASKED: usize = 1000;

/// What a client was told, and when.
#[derive(Clone, Copy, Debug)]
struct Told {
    status: u16,
    took: Duration,
}

/// Asks every so often, whatever comes of it, and counts what was answered with 200 within the time.
async fn offer(web: std::net::SocketAddr, every: Duration, length: Duration) -> Vec<Told> {
    let idle: Arc<std::sync::Mutex<Vec<Client>>> = Arc::default();
    let mut calls = JoinSet::new();
    let mut beat = tokio::time::interval(every);
    let begun = Instant::now();
    while begun.elapsed() < length {
        beat.tick().await;
        let idle = Arc::clone(&idle);
        calls.spawn(async move {
            let kept = idle.lock().expect("nobody panics with it").pop();
            let mut client = match kept {
                Some(client) => client,
                None => Client::connect(web, Form::Absolute).await,
            };
            let asked = Instant::now();
            let reply = client.send(call::get("http://api/")).await;
            let told = Told { status: reply.status.as_u16(), took: asked.elapsed() };
            idle.lock().expect("nobody panics with it").push(client);
            told
        });
    }
    calls.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_times_what_a_server_can_do_leaves_it_doing_what_it_can_and_the_rest_is_told_at_once() {
    // Two at a time, each for 50 ms: forty a second.
    let (room, under_way) = (Arc::new(Semaphore::new(2)), Arc::new(AtomicUsize::new(0)));
    let most = Arc::new(AtomicUsize::new(0));
    let peer = Peer::start({
        let (room, under_way, most) = (Arc::clone(&room), Arc::clone(&under_way), Arc::clone(&most));
        move |stream| {
            let (room, under_way, most) = (Arc::clone(&room), Arc::clone(&under_way), Arc::clone(&most));
            work(stream, room, under_way, most)
        }
    })
    .await;
    let mesh =
        Mesh::start(&policy("limits: {maxRequests: 3}, circuitBreaking: {consecutiveFailures: 0}")).await;
    let _api = mesh.beside("shop/api-1").http(peer.addr).start().await;
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/api", 80, 1).await;
    let length = Duration::from_secs(3);
    let goodput =
        |told: &[Told]| told.iter().filter(|told| told.status == 200).count() as f64 / length.as_secs_f64();
    let within = offer(web.outbound, Duration::from_millis(26), length).await;
    let beyond = offer(web.outbound, Duration::from_millis(5), length).await;
    let (peak, kept) = (goodput(&within), goodput(&beyond));
    let mut refused: Vec<_> = beyond.iter().filter(|told| told.status == 503).map(|told| told.took).collect();
    refused.sort_unstable();
    assert!(beyond.iter().all(|told| matches!(told.status, 200 | 503)), "{beyond:?}");
    assert!(
        refused.len() > beyond.len() / 2,
        "most of it is too much: {} of {}",
        refused.len(),
        beyond.len()
    );
    assert!(most.load(Ordering::Relaxed) <= 3, "the server never has more than it is said to bear");
    let middle = refused[refused.len() / 2];
    let told = format!(
        "five times what a server can do: {:.0} % of its {peak:.0} answers a second kept, {} of {} calls refused, half of them \
         within {:.1} ms",
        100.0 * kept / peak,
        refused.len(),
        beyond.len(),
        middle.as_secs_f64() * 1e3
    );
    figures::report(26, told, kept >= 0.9 * peak && middle < Duration::from_millis(5));
}

async fn work(
    mut stream: TcpStream,
    room: Arc<Semaphore>,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        most.fetch_max(under_way.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let permit = room.acquire().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(permit);
        under_way.fetch_sub(1, Ordering::Relaxed);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
    }
}
