//! Clients that are slow on purpose (catalogue row 24): a byte of a head each second, thousands of them at once.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use weft_tests::figures::report;

use crate::client::Client;
use crate::lab::Lab;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_that_trickle_their_heads_are_closed_in_time_and_harm_nobody() {
    let lab = Lab::open().await;
    let ways = [&lab.lanes[0], &lab.lanes[2], &lab.lanes[4]];
    let mut idle = Vec::new();
    for lane in ways {
        let mut client = Client::connect(lane.addr).await;
        ask(&mut client, lane.host).await;
        idle.push((client, lane.host));
    }
    let count = affordable();
    let mut slow = JoinSet::new();
    for nth in 0..count {
        slow.spawn(trickle(ways[nth % ways.len()].addr, nth));
        // As fast as a listener's backlog takes them.
        if nth % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut ends = Vec::new();
    let mut bystanders = 0;
    while !slow.is_empty() {
        for lane in ways {
            ask(&mut Client::connect(lane.addr).await, lane.host).await;
            bystanders += 1;
        }
        let pause = Instant::now() + Duration::from_millis(20);
        loop {
            tokio::select! {
                Some(end) = slow.join_next() => ends.push(end.unwrap()),
                () = sleep_until(pause) => break,
            }
        }
    }
    ends.sort_by_key(|end| end.after);
    let told = ends.iter().filter(|end| end.told).count();
    let (middle, longest) = (ends[ends.len() / 2].after, ends[ends.len() - 1].after);
    assert!(longest <= PATIENCE, "the last of {count} was closed after {longest:?}");
    assert!(told * 10 >= count * 9, "{told} of {count} were told why");
    // Idle for longer than any head may take, and still there.
    for (client, host) in &mut idle {
        ask(client, host).await;
    }
    let figure = format!(
        "{count} slow clients closed, half of them after {:.1} s and all after {:.1} s, {told} with 408; 0 of {bystanders} \
         bystanders failed",
        middle.as_secs_f64(),
        longest.as_secs_f64()
    );
    report(6, figure, longest <= ALL_CLOSED);
}

/// How a slow client ended.
struct Ended {
    after: Duration,
    /// It got a 408.
    told: bool,
}

/// Sends a byte each second until it is closed.
async fn trickle(addr: SocketAddr, nth: usize) -> Ended {
    let mut stream = loop {
        // The backlog is full now and then.
        if let Ok(stream) = TcpStream::connect(addr).await {
            break stream;
        }
    };
    // A third begins with nothing, a third with a method, a third with a whole request line.
    let head = b"GET /slow HTTP/1.1\r\nHost: api.shop\r\nX-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let (now, mut rest) = head.split_at([1, 5, 20][nth / 3 % 3]);
    let start = Instant::now();
    let _ = stream.write_all(now).await;
    let mut answer = Vec::new();
    let mut next = start + Duration::from_secs(1);
    loop {
        tokio::select! {
            read = stream.read_buf(&mut answer) => if !matches!(read, Ok(1..)) {
                let told = answer.starts_with(b"HTTP/1.1 408");
                return Ended { after: start.elapsed(), told };
            },
            () = sleep_until(next) => {
                next += Duration::from_secs(1);
                if let Some((byte, after)) = rest.split_first() {
                    let _ = stream.write_all(&[*byte]).await;
                    rest = after;
                }
            }
        }
    }
}

async fn ask(client: &mut Client, host: &str) {
    client.send(format!("GET /bystander HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await;
    let response = client.response("GET", None).await;
    assert!(response.as_ref().is_ok_and(|response| response.status == 200), "a bystander gets {response:?}");
}

/// As many as are wanted, or as the limit on descriptors allows: each takes one here and one in the proxy.
fn affordable() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let _ = setrlimit(Resource::Nofile, raised);
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let open = std::fs::read_dir("/proc/self/fd").map_or(500, Iterator::count);
    let free = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(open + KEPT);
    WANTED.min(free / 2).max(1)
}

const WANTED: usize = 5000;
/// Descriptors for everybody else in this process.
const KEPT: usize = 600;
/// What is promised.
const ALL_CLOSED: Duration = Duration::from_secs(15);
/// What a loaded machine may need for it.
const PATIENCE: Duration = Duration::from_secs(30);
