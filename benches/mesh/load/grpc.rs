//! gRPC by hand, over HTTP/2: a message goes out, the same one must come back, and a call that ends must end well.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{Request, StatusCode};
use hyper::body::Bytes;
use tokio::task::JoinSet;

use super::http2::{self, Moving};
use super::{Asked, Caller};

/// One call after the other.
#[derive(Debug)]
pub(crate) struct Unary {
    sender: SendRequest<Bytes>,
    call: Call,
    _moving: Arc<JoinSet<()>>,
}

/// One call for all messages.
#[derive(Debug)]
pub(crate) struct Streaming {
    send: SendStream<Bytes>,
    receive: RecvStream,
    message: Bytes,
    _moving: Arc<JoinSet<()>>,
}

#[derive(Clone, Debug)]
struct Call {
    request: Request<()>,
    /// With the five bytes before it (flag and length).
    message: Bytes,
}

impl Call {
    fn of(asked: &Asked) -> anyhow::Result<Self> {
        let request = Request::post(format!("http://{}/weft.bench.v1.Echo/Say", asked.host))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let length = u32::try_from(asked.body.len()).context("a message is at most 4 GB")?;
        let message = [&[0], &length.to_be_bytes()[..], &asked.body].concat().into();
        Ok(Self { request, message })
    }
}

/// `streams` callers of single calls on one new connection.
///
/// # Errors
/// If nobody accepts, or speaks something else.
pub(crate) async fn unary(to: SocketAddr, asked: &Asked, streams: usize) -> anyhow::Result<Vec<Unary>> {
    let Moving { sender, moving } = http2::connect(to).await?;
    let call = Call::of(asked)?;
    let caller = || Unary { sender: sender.clone(), call: call.clone(), _moving: Arc::clone(&moving) };
    Ok((0..streams).map(|_| caller()).collect())
}

/// `streams` calls that stay, on one new connection.
///
/// # Errors
/// If nobody accepts, or one of them is refused.
pub(crate) async fn streaming(
    to: SocketAddr,
    asked: &Asked,
    streams: usize,
) -> anyhow::Result<Vec<Streaming>> {
    let Moving { sender, moving } = http2::connect(to).await?;
    let call = Call::of(asked)?;
    let mut all = Vec::with_capacity(streams);
    for _ in 0..streams {
        let mut sender = sender.clone().ready().await.context("the connection has ended")?;
        let (response, mut send) = sender.send_request(call.request.clone(), false)?;
        // Some answer the head only when they have heard something.
        send.send_data(call.message.clone(), false)?;
        let receive = answered(response.await.context("the call broke off")?)?;
        let mut streaming =
            Streaming { send, receive, message: call.message.clone(), _moving: Arc::clone(&moving) };
        hear(&mut streaming.receive, &streaming.message).await?;
        all.push(streaming);
    }
    Ok(all)
}

impl Caller for Unary {
    async fn ask(&mut self) -> anyhow::Result<()> {
        let mut sender = self.sender.clone().ready().await.context("the connection has ended")?;
        let (response, mut send) = sender.send_request(self.call.request.clone(), false)?;
        send.send_data(self.call.message.clone(), true)?;
        let mut receive = answered(response.await.context("the call broke off")?)?;
        hear(&mut receive, &self.call.message).await?;
        ensure!(receive.data().await.is_none(), "more came than one message");
        let trailers = receive.trailers().await.context("the call broke off")?.context("no trailers")?;
        let status = trailers.get("grpc-status").context("no grpc-status")?;
        ensure!(status == "0", "grpc-status {status:?}");
        Ok(())
    }
}

impl Caller for Streaming {
    async fn ask(&mut self) -> anyhow::Result<()> {
        self.send.send_data(self.message.clone(), false)?;
        hear(&mut self.receive, &self.message).await
    }
}

fn answered(response: http::Response<RecvStream>) -> anyhow::Result<RecvStream> {
    let (status, grpc) = (response.status(), response.headers().get("grpc-status"));
    if status != StatusCode::OK || grpc.is_some() {
        bail!("the answer was {status}, grpc-status {grpc:?}");
    }
    Ok(response.into_body())
}

/// Reads one message, which must be `expected`.
async fn hear(receive: &mut RecvStream, expected: &[u8]) -> anyhow::Result<()> {
    let mut done = 0;
    while done < expected.len() {
        let data = receive.data().await.context("the call ended early")?.context("the call broke off")?;
        receive.flow_control().release_capacity(data.len())?;
        let end = done + data.len();
        ensure!(expected.get(done..end) == Some(&data), "another message came back");
        done = end;
    }
    Ok(())
}
