//! The client: a closed loop on so many connections. Each sends a request, waits for the whole response, checks it,
//! and sends the next one. Every way through the mesh gets the same bytes: `GET /products`, `Host: api.shop`.
//!
//! A closed loop slows down with what it measures. Its throughput and CPU figures are sound; its latency under
//! load is mostly the queue of its own connections, so latency is measured with one connection besides.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// What is sent where, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Whom the client talks to.
    pub(crate) entry: SocketAddr,
    /// How many connections at once.
    pub(crate) connections: usize,
    /// Sent, but not counted: connections are made and caches filled.
    pub(crate) warm_up: Duration,
    /// The time that counts.
    pub(crate) length: Duration,
    /// The length that every response's body must have, in bytes.
    pub(crate) body: usize,
}

/// What came back in the time that counts.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// Of each request that was answered as it must be, in microseconds, sorted.
    pub(crate) latencies: Vec<u32>,
    /// Requests that were not, during the warm-up too.
    pub(crate) failed: u64,
    /// What was wrong with the first of them.
    pub(crate) first_failure: Option<String>,
    /// The time that counted.
    pub(crate) length: Duration,
    /// What the proxies consumed in it.
    pub(crate) cpu: Duration,
}

impl Load {
    /// Sends it. `cpu` tells what the proxies have consumed up to now.
    ///
    /// # Errors
    /// If a request hangs, or a proxy has ended.
    pub(crate) async fn run(self, cpu: impl Fn() -> anyhow::Result<Duration>) -> anyhow::Result<Measured> {
        let from = Instant::now() + self.warm_up;
        let window = Window { from, until: from + self.length };
        let mut callers = JoinSet::new();
        for _ in 0..self.connections {
            callers.spawn(timeout_at(window.until + HANG, self.call(window)));
        }
        sleep_until(window.from).await;
        let (before, began) = (cpu()?, Instant::now());
        sleep_until(window.until).await;
        let (after, ended) = (cpu()?, Instant::now());

        let mut all =
            Measured { length: ended - began, cpu: after.saturating_sub(before), ..Measured::default() };
        while let Some(joined) = callers.join_next().await {
            let one = joined.context("a caller panicked")?;
            let one = one.with_context(|| format!("a request was not answered for {} s", HANG.as_secs()))?;
            all.latencies.extend(one.latencies);
            all.failed += one.failed;
            all.first_failure = all.first_failure.or(one.first_failure);
        }
        all.latencies.sort_unstable();
        Ok(all)
    }

    /// One connection's requests; another connection where one breaks.
    async fn call(self, window: Window) -> Measured {
        let mut tally = Measured::default();
        while Instant::now() < window.until {
            if let Err(error) = self.call_on_one_connection(window, &mut tally.latencies).await {
                tally.failed += 1;
                tally.first_failure.get_or_insert_with(|| format!("{error:#}"));
                // Whoever refuses at once is not asked a million times.
                sleep(AFTER_FAILURE).await;
            }
        }
        tally
    }

    async fn call_on_one_connection(self, window: Window, latencies: &mut Vec<u32>) -> anyhow::Result<()> {
        let mut connection = Connection::open(self.entry).await?;
        loop {
            let sent = Instant::now();
            if sent >= window.until {
                return Ok(());
            }
            connection.ask(self.body).await?;
            let answered = Instant::now();
            if answered >= window.from && answered < window.until {
                latencies.push(u32::try_from((answered - sent).as_micros()).unwrap_or(u32::MAX));
            }
        }
    }
}

/// Asks until the first right answer: what has been started needs a moment until it carries requests.
///
/// # Errors
/// The last failure, when `patience` is over.
pub(crate) async fn await_answer(entry: SocketAddr, body: usize, patience: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let once = async { Connection::open(entry).await?.ask(body).await };
        let answer = timeout(HANG, once).await.context("no answer").flatten();
        match answer {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => sleep(AFTER_FAILURE).await,
        }
    }
}

/// The status and the body of `GET path` at `addr`, for questions to an admin listener.
///
/// # Errors
/// If nobody answers.
pub(crate) async fn get(addr: SocketAddr, path: &str) -> anyhow::Result<(StatusCode, String)> {
    let mut connection = Connection::open(addr).await?;
    let request = Request::get(path).header(header::HOST, "localhost").body(Empty::new())?;
    let response = connection.sender.send_request(request).await?;
    let (status, body) = (response.status(), response.into_body().collect().await?.to_bytes());
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// When answers count.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Instant,
    until: Instant,
}

struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    /// Dropping it ends the task that moves the bytes.
    _moving: JoinSet<()>,
}

impl Connection {
    async fn open(to: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to).await.with_context(|| format!("cannot connect to {to}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut moving = JoinSet::new();
        moving.spawn(async move {
            // The sender is told.
            let _ = connection.await;
        });
        Ok(Self { sender, _moving: moving })
    }

    /// One request, and whether its answer is the one it must be.
    async fn ask(&mut self, body: usize) -> anyhow::Result<()> {
        self.sender.ready().await?;
        let request = Request::get("/products").header(header::HOST, "api.shop").body(Empty::new())?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let why = response.headers().get("weft-error").cloned();
        let mut incoming = response.into_body();
        let mut length = 0;
        while let Some(frame) = incoming.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        ensure!(
            status == StatusCode::OK,
            "the answer was {status} ({})",
            why.map_or_else(
                || "no reason given".to_owned(),
                |why| String::from_utf8_lossy(why.as_bytes()).into_owned(),
            )
        );
        ensure!(length == body, "the answer had {length} bytes instead of {body}");
        Ok(())
    }
}

/// Longer than any of these answers takes.
const HANG: Duration = Duration::from_secs(10);
const AFTER_FAILURE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Origin;

    async fn measured(origin: &Origin, expected: usize) -> Measured {
        let short = Duration::from_millis(50);
        let load = Load { entry: origin.addr, connections: 2, warm_up: short, length: short, body: expected };
        load.run(|| Ok(Duration::ZERO)).await.unwrap()
    }

    #[tokio::test]
    async fn every_right_answer_counts() {
        let origin = Origin::start(10).unwrap();
        let measured = measured(&origin, 10).await;
        assert!(!measured.latencies.is_empty() && measured.latencies.is_sorted());
        assert_eq!((measured.failed, measured.first_failure), (0, None));
    }

    #[tokio::test]
    async fn an_answer_of_another_length_is_a_failure_and_says_so() {
        let origin = Origin::start(10).unwrap();
        let measured = measured(&origin, 11).await;
        assert!(measured.latencies.is_empty() && measured.failed > 0);
        assert_eq!(measured.first_failure.unwrap(), "the answer had 10 bytes instead of 11");
    }

    #[tokio::test]
    async fn nobody_there_is_a_failure_too() {
        let origin = Origin::start(10).unwrap();
        let addr = origin.addr;
        drop(origin);
        let refused = await_answer(addr, 10, Duration::ZERO).await.unwrap_err().to_string();
        assert!(refused.contains("cannot connect to"), "{refused}");
    }
}
