//! Many connections that do nothing, and then traffic of every kind for as long as there is time: what a sidecar's memory
//! does meanwhile. `make soak` takes an hour; `make test` a few seconds, which shows that it runs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weft_tests::call::{self, Client, Form};
use weft_tests::eventually::soon;
use weft_tests::figures;
use weft_tests::machine::Machine;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;
use weft_tests::peer::Peer;
use weft_tests::port;

use crate::load::{API, Load, none_failed};

const DB: &str = "
---
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop},
 spec: {selector: {app: db}, ports: [{name: db, port: 6000, targetPort: db, appProtocol: tcp}]}}
";

fn set(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// So many, or as many as the system lets the sidecar and this process have.
fn affordable(wanted: u64) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(2000) / 2;
    usize::try_from(wanted.min(most)).unwrap_or(usize::MAX)
}

/// KiB of the sidecar's own for each of `count` connections that `open` makes.
async fn each<C>(sidecar: &Machine, count: usize, open: impl AsyncFn() -> C) -> (Vec<C>, f64) {
    let before = sidecar.process().memory();
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        held.push(soon("one more connection", open()).await);
    }
    // What served the opening is given back within a second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = sidecar.process().memory().saturating_sub(before);
    (held, grown as f64 / count.max(1) as f64)
}

async fn echoed(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.expect("a listener");
    stream.write_all(b"?").await.expect("it is open");
    stream.read_exact(&mut [0]).await.expect("an echo");
    stream
}

/// KiB an hour, by least squares.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let (x, y) =
        samples.iter().fold((0.0, 0.0), |(x, y), sample| (x + sample.0 / count, y + sample.1 / count));
    let (mut over, mut under) = (0.0, 0.0);
    for sample in samples {
        over += (sample.0 - x) * (sample.1 - y);
        under += (sample.0 - x).powi(2);
    }
    if under > 0.0 { over / under * 3600.0 } else { 0.0 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_do_nothing_cost_little_and_traffic_that_goes_on_costs_no_more() {
    let test = "connections_that_do_nothing";
    let (wanted, seconds) = (set("CONNECTIONS", 300), set("SOAK", 4));
    let count = affordable(wanted);
    let mesh = Mesh::start(&format!("{API}{DB}")).await;
    let origin = Origin::start("api-1").await;
    let echo = Peer::start(async |mut stream: TcpStream| {
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.map(drop)
    })
    .await;
    let fixed = port::of_its_own();
    let api = mesh.beside("shop/api-1").http(origin.addr);
    let Some(api) = Machine::start(api, "", test).await else { return };
    let db = mesh.beside("shop/db-1").port("db", echo.addr);
    let db = Machine::start(db, "", test).await.expect("it was there before");
    let web = mesh.beside("shop/web").set("WEFT_LOCAL_PORTS", &format!("{fixed}=db.shop:6000"));
    let web = Machine::start(web, "", test).await.expect("it was there before");
    web.ready().await;
    mesh.serves("shop/api", 80, 1).await;
    mesh.serves("shop/db", 6000, 1).await;

    let plaintext = async || {
        let mut client = Client::connect(api.inbound, Form::Origin).await;
        assert_eq!(client.send(call::get("http://api/idle")).await.status, 200);
        client
    };
    plaintext().await;
    let (held, in_plaintext) = each(&api, count, plaintext).await;
    drop(held);
    echoed(fixed).await;
    let (held, by_mtls) = each(&db, count, async || echoed(fixed).await).await;
    drop(held);
    origin.forget();

    // Calls that are kept count of, and beside them clients that come and go.
    let (begun, mut samples, mut answered) = (Instant::now(), Vec::new(), 0);
    let mut load = Load::start(web.outbound, 4);
    let every = Duration::from_millis((seconds * 1000 / 100).clamp(100, 30_000));
    while begun.elapsed().as_secs() < seconds {
        let next = Instant::now() + every;
        while Instant::now() < next {
            let reply = call::through(web.outbound, call::get("http://api/passing")).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            drop(echoed(fixed).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        samples.push((begun.elapsed().as_secs_f64(), api.process().memory() as f64));
        // What origins and clients remember is looked at, and forgotten, now and then.
        if samples.len() % 10 == 0 {
            answered += none_failed(&load.end().await, &[&origin]);
            origin.forget();
            load = Load::start(web.outbound, 4);
        }
    }
    answered += none_failed(&load.end().await, &[&origin]);
    // The first half is for caches and pools to fill.
    let hourly = slope(&samples[samples.len() / 2..]) / 1024.0;
    assert!(
        in_plaintext < 64.0 && by_mtls < 160.0,
        "KiB: {in_plaintext:.1} in plaintext, {by_mtls:.1} by mTLS"
    );
    let is_all = count >= 50_000 && seconds >= 24 * 3600;
    let ours = format!(
        "{count} of 50 000 connections (the system's limit on descriptors), {in_plaintext:.1} KiB each idle in plaintext and \
         {by_mtls:.1} KiB by mTLS; {hourly:+.2} MiB an hour in the second half of {seconds} s of mixed traffic, {answered} \
         calls that are not idempotent, each arrived once"
    );
    figures::report(28, ours, is_all && in_plaintext <= 20.0 && by_mtls <= 60.0 && hourly < 1.0);
}
