//! HTTP/2 by prior knowledge: a few connections, many streams on each.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use h2::client::SendRequest;
use http::{Request, StatusCode};
use hyper::body::Bytes;
use tokio::task::JoinSet;

use super::{Asked, Caller, http1};

/// One stream after the other, on a connection that others use too.
#[derive(Debug)]
pub(crate) struct Http2 {
    sender: SendRequest<Bytes>,
    request: Request<()>,
    body: Bytes,
    /// Dropping the last one ends the task that moves the bytes.
    _moving: Arc<JoinSet<()>>,
}

/// A connection, and the task that moves its bytes.
pub(super) struct Moving {
    pub(super) sender: SendRequest<Bytes>,
    pub(super) moving: Arc<JoinSet<()>>,
}

/// Opens one.
///
/// # Errors
/// If nobody accepts, or speaks something else.
pub(super) async fn connect(to: SocketAddr) -> anyhow::Result<Moving> {
    let stream = http1::connect(to).await?;
    let mut settings = h2::client::Builder::new();
    settings.initial_window_size(1 << 20).initial_connection_window_size(1 << 24).enable_push(false);
    let (sender, connection) = settings.handshake(stream).await.context("no HTTP/2")?;
    let mut moving = JoinSet::new();
    // The streams are told what has gone wrong.
    moving.spawn(async move { drop(connection.await) });
    Ok(Moving { sender, moving: Arc::new(moving) })
}

impl Http2 {
    /// `streams` callers on one new connection.
    ///
    /// # Errors
    /// If nobody accepts, or speaks something else.
    pub(crate) async fn open(to: SocketAddr, asked: &Asked, streams: usize) -> anyhow::Result<Vec<Self>> {
        let Moving { sender, moving } = connect(to).await?;
        let path = asked.paths.first().map_or("/", String::as_str);
        let request = Request::get(format!("http://{}{path}", asked.host)).body(())?;
        let caller = || Self {
            sender: sender.clone(),
            request: request.clone(),
            body: asked.body.clone(),
            _moving: Arc::clone(&moving),
        };
        Ok((0..streams).map(|_| caller()).collect())
    }

    async fn exchange(&mut self) -> anyhow::Result<()> {
        // The clone waits for the server's leave to open one more stream, and takes it along.
        let mut sender = self.sender.clone().ready().await.context("the connection has ended")?;
        let (response, _) = sender.send_request(self.request.clone(), true)?;
        let response = response.await.context("the stream broke off")?;
        ensure!(response.status() == StatusCode::OK, "the answer was {}", response.status());
        let mut incoming = response.into_body();
        let mut done = 0;
        while let Some(data) = incoming.data().await {
            let data = data.context("the answer broke off")?;
            incoming.flow_control().release_capacity(data.len())?;
            let end = done + data.len();
            let same = self.body.get(done..end) == Some(&data);
            ensure!(same, "the answer's body is another one, between its bytes {done} and {end}");
            done = end;
        }
        ensure!(done == self.body.len(), "the answer has {done} bytes instead of {}", self.body.len());
        Ok(())
    }
}

impl Caller for Http2 {
    async fn ask(&mut self) -> anyhow::Result<()> {
        self.exchange().await
    }
}
