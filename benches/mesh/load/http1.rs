//! HTTP/1.1 on a socket, by hand: a request that was written beforehand goes out in one call, and what comes back is
//! compared where it lies. A client of this kind costs a third of one that builds requests and bodies, and what it does
//! not need is left to the origin beside it.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Asked, Caller};

/// One connection, kept alive.
#[derive(Debug)]
pub(crate) struct Http1<S> {
    stream: S,
    requests: Requests,
    /// What has been read and not yet looked at.
    read: Vec<u8>,
    body: Bytes,
}

/// The requests as they go over the wire, in turns.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    all: std::sync::Arc<[Bytes]>,
    next: usize,
}

impl Requests {
    /// Writes them down.
    pub(crate) fn of(asked: &Asked) -> Self {
        let (host, lines) = (asked.host, &asked.lines);
        let request = |path| format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n").into();
        Self { all: asked.paths.iter().map(request).collect(), next: 0 }
    }

    /// The same, beginning with the `n`th: callers of one list do not go through it in step.
    pub(crate) fn from(&self, n: usize) -> Self {
        Self { next: n.wrapping_mul(STRIDE), ..self.clone() }
    }

    fn next(&mut self) -> Bytes {
        // A step that has no divisor in common with any number of paths we use, so all of them are asked.
        self.next = self.next.wrapping_add(STRIDE);
        self.all.get(self.next % self.all.len().max(1)).cloned().unwrap_or_default()
    }
}

impl Http1<TcpStream> {
    /// Connects.
    ///
    /// # Errors
    /// If nobody accepts.
    pub(crate) async fn open(to: SocketAddr, requests: Requests, body: Bytes) -> anyhow::Result<Self> {
        Ok(Self::over(connect(to).await?, requests, body))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http1<S> {
    /// On a connection that is there.
    pub(crate) const fn over(stream: S, requests: Requests, body: Bytes) -> Self {
        Self { stream, requests, read: Vec::new(), body }
    }

    /// Lets go of what was reserved for reading, where the connection is to be idle now.
    pub(crate) fn rest(&mut self) {
        self.read = Vec::new();
    }

    async fn exchange(&mut self) -> anyhow::Result<()> {
        let request = self.requests.next();
        self.stream.write_all(&request).await.context("the request could not be sent")?;
        self.stream.flush().await.context("the request could not be sent")?;
        self.read.clear();
        self.read.reserve(if self.body.len() > SMALL { LARGE } else { SMALL });
        let head = loop {
            self.more().await?;
            if let Some(length) = head_of(&self.read, self.body.len())? {
                break length;
            }
            ensure!(self.read.len() < SMALL, "the answer's head does not end");
        };
        let mut done = 0;
        self.read.drain(..head);
        loop {
            let end = done + self.read.len();
            ensure!(end <= self.body.len(), "the answer is longer than it says");
            let same = self.body.get(done..end) == Some(&self.read);
            ensure!(same, "the answer's body is another one, between its bytes {done} and {end}");
            done = end;
            if done == self.body.len() {
                return Ok(());
            }
            self.read.clear();
            self.more().await.with_context(|| format!("{done} of {} bytes came", self.body.len()))?;
        }
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        let read = self.stream.read_buf(&mut self.read).await.context("the answer broke off")?;
        ensure!(read > 0, "the connection was closed instead of an answer");
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Caller for Http1<S> {
    async fn ask(&mut self) -> anyhow::Result<()> {
        self.exchange().await
    }
}

/// A connection that sends at once.
///
/// # Errors
/// If nobody accepts.
pub(super) async fn connect(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(to).await.with_context(|| format!("cannot connect to {to}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// How long the head is, once it is whole; it must promise a body of `expected` bytes.
fn head_of(read: &[u8], expected: usize) -> anyhow::Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(read).context("the answer is no HTTP")? else {
        return Ok(None);
    };
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    if response.code != Some(200) {
        let status = response.code.unwrap_or_default();
        bail!("the answer was {status} ({})", header("weft-error").unwrap_or("no reason given"));
    }
    let said = header("content-length").context("the answer does not say how long it is")?;
    ensure!(said.parse() == Ok(expected), "the answer has {said} bytes instead of {expected}");
    Ok(Some(length))
}

const SMALL: usize = 16 * 1024;
const LARGE: usize = 64 * 1024;
/// Prime.
const STRIDE: usize = 7919;
