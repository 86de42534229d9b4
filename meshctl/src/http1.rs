//! A small HTTP/1.1 client: one address, kept connections, bounded answers, a deadline on everything.
//!
//! For sidecars' admin pages and for the demo, which wants to count what it sends and to keep no request waiting
//! for a pool it cannot see into.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A client of one address.
#[derive(Debug)]
pub(crate) struct Http1 {
    addr: SocketAddr,
    idle: Mutex<VecDeque<SendRequest<Full<Bytes>>>>,
}

/// What came back, whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Status.
    pub(crate) status: StatusCode,
    /// Fields.
    pub(crate) headers: HeaderMap,
    /// At most [`MAX_BODY`] bytes.
    pub(crate) body: Bytes,
}

impl Http1 {
    /// A client of this address. Nothing is connected yet.
    pub(crate) const fn new(addr: SocketAddr) -> Self {
        Self { addr, idle: Mutex::new(VecDeque::new()) }
    }

    /// `GET target`, where `target` is a path, or for a proxy a whole URL.
    ///
    /// # Errors
    /// If there is no answer in time.
    pub(crate) async fn get(&self, host: &str, target: &str, within: Duration) -> anyhow::Result<Answer> {
        self.send(Method::GET, host, target, &HeaderMap::new(), within).await
    }

    /// Sends a request without a body.
    ///
    /// # Errors
    /// If there is no answer in time.
    pub(crate) async fn send(
        &self,
        method: Method,
        host: &str,
        target: &str,
        headers: &HeaderMap,
        within: Duration,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(target).header(http::header::HOST, host);
        if let Some(fields) = request.headers_mut() {
            fields.extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        let request =
            request.body(Full::default()).with_context(|| format!("`{target}` is no request target"))?;
        match tokio::time::timeout(within, self.exchange(request)).await {
            Ok(answer) => answer.with_context(|| format!("no answer from {}", self.addr)),
            Err(_) => bail!("no answer from {} within {within:?}", self.addr),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let mut connection = match self.kept() {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        // A kept connection may have been closed just now: hyper gives the request back if nothing of it left.
        let response = match connection.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => match error.take_message() {
                Some(request) => {
                    connection = self.connect().await?;
                    connection.send_request(request).await?
                }
                None => return Err(error.into_error().into()),
            },
        };
        let (parts, body) = response.into_parts();
        let body = match Limited::new(body, MAX_BODY).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) => bail!("the answer's body broke off, or is over {MAX_BODY} bytes: {error}"),
        };
        self.keep(connection).await;
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.addr).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It ends when its sender is dropped or the far end closes: its owner is the sender.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn kept(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let kept = idle.pop_back()?;
            if kept.is_ready() && !kept.is_closed() {
                return Some(kept);
            }
        }
    }

    async fn keep(&self, mut connection: SendRequest<Full<Bytes>>) {
        // Ready once the far end has been read to the end of the answer.
        if connection.ready().await.is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < MAX_IDLE {
                idle.push_back(connection);
            }
        }
    }
}

/// Metrics of a sidecar are some 100 KiB.
pub(crate) const MAX_BODY: usize = 4 << 20;
const MAX_IDLE: usize = 64;
