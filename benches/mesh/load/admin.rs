//! Questions besides the load: whether something is ready, and whether it carries requests.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{Caller, HANG};

/// Asks until the first right answer: what has been started needs a moment until it carries requests.
///
/// # Errors
/// The last failure, when `patience` is over.
pub(crate) async fn await_answer<C: Caller>(
    open: impl AsyncFn() -> anyhow::Result<C>,
    patience: Duration,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let once = async { open().await?.ask().await };
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
    let answer = answer(addr, "localhost", path).await?;
    Ok((answer.status(), String::from_utf8_lossy(answer.body()).into_owned()))
}

/// A header of the answer to `GET path`.
///
/// # Errors
/// If nobody answers.
pub(crate) async fn header(
    addr: SocketAddr,
    host: &str,
    path: &str,
    name: &str,
) -> anyhow::Result<Option<String>> {
    let answer = answer(addr, host, path).await?;
    Ok(answer.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()))
}

async fn answer(addr: SocketAddr, host: &str, path: &str) -> anyhow::Result<Response<Bytes>> {
    let stream = TcpStream::connect(addr).await.with_context(|| format!("cannot connect to {addr}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let ask = async {
        let request = Request::get(path).header(header::HOST, host).body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        anyhow::Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    };
    tokio::pin!(ask);
    tokio::select! {
        answered = &mut ask => answered,
        // Our question ends with the connection, whatever came of it.
        _ = connection => ask.await,
    }
}

/// Whoever refuses at once is not asked a million times.
const AFTER_FAILURE: Duration = Duration::from_millis(20);
