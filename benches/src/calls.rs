//! The client: exactly so many requests on connections that stay open, every answer looked at.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::http::request::Builder;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What is asked of whom.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    /// Whom the client talks to.
    pub entry: SocketAddr,
    /// Whom it asks for.
    pub host: &'static str,
    /// By HTTP/2, with prior knowledge.
    pub http2: bool,
    /// How many connections at once.
    pub connections: usize,
    /// How many requests at once on each.
    pub streams: usize,
    /// The length that every response's body must have, in bytes.
    pub body: usize,
}

/// Open connections. Dropping it closes them.
#[derive(Debug)]
pub struct Open {
    calls: Calls,
    senders: Vec<Sender>,
    /// Moves the bytes.
    _moving: JoinSet<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Calls {
    /// Connects.
    ///
    /// # Errors
    /// If nobody is there.
    pub async fn open(self) -> anyhow::Result<Open> {
        let (mut senders, mut moving) = (Vec::new(), JoinSet::new());
        for _ in 0..self.connections {
            let stream = TcpStream::connect(self.entry).await.context("nobody listens")?;
            stream.set_nodelay(true)?;
            let io = TokioIo::new(stream);
            if self.http2 {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                moving.spawn(async move { drop(connection.await) });
                senders.extend((0..self.streams).map(|_| Sender::Http2(sender.clone())));
            } else {
                let (sender, connection) = http1::handshake(io).await?;
                moving.spawn(async move { drop(connection.await) });
                senders.push(Sender::Http1(sender));
            }
        }
        Ok(Open { calls: self, senders, _moving: moving })
    }
}

impl Open {
    /// Makes about `count` requests, as many on each connection, and gives how many those were.
    ///
    /// # Errors
    /// The first answer that is not as it must be.
    pub async fn make(&mut self, count: usize) -> anyhow::Result<usize> {
        let (calls, lanes) = (self.calls, self.senders.len());
        let each = count.div_ceil(lanes.max(1));
        let mut asking = JoinSet::new();
        for mut sender in self.senders.drain(..) {
            asking.spawn(async move {
                for _ in 0..each {
                    let asked = timeout(HANG, sender.ask(calls)).await;
                    asked.with_context(|| format!("no answer for {} s", HANG.as_secs()))??;
                }
                Ok::<_, anyhow::Error>(sender)
            });
        }
        while let Some(lane) = asking.join_next().await {
            self.senders.push(lane.context("a caller panicked")??);
        }
        Ok(each * lanes)
    }
}

impl Sender {
    async fn ask(&mut self, calls: Calls) -> anyhow::Result<()> {
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                let request = Request::get("/products").header(header::HOST, calls.host);
                sender.send_request(fields(request).body(Empty::new())?).await?
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                let request = Request::get(format!("http://{}/products", calls.host));
                sender.send_request(fields(request).body(Empty::new())?).await?
            }
        };
        check(response, calls.body).await
    }
}

/// What a plain client sends besides.
fn fields(request: Builder) -> Builder {
    request.header(header::USER_AGENT, "weft-instructions").header(header::ACCEPT, "*/*")
}

async fn check(response: Response<Incoming>, body: usize) -> anyhow::Result<()> {
    let status = response.status();
    let why =
        response.headers().get("weft-error").map(|why| String::from_utf8_lossy(why.as_bytes()).into_owned());
    let length = response.into_body().collect().await?.to_bytes().len();
    ensure!(
        status == StatusCode::OK,
        "the answer was {status} ({})",
        why.as_deref().unwrap_or("no reason given")
    );
    ensure!(length == body, "the answer had {length} bytes instead of {body}");
    Ok(())
}

/// Longer than any of these answers takes, fifty times slower than usual.
const HANG: Duration = Duration::from_secs(30);
