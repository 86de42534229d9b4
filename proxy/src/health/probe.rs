//! One question to the application, over a connection of its own, within the check's time.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use weft_policy::health::{HealthCheck, Probe};

use super::failure::{AGENT, Failure};
use super::grpc;

/// Asks once.
///
/// # Errors
/// [`Failure`], with what an operator needs to know.
pub async fn probe(check: &HealthCheck, address: SocketAddr) -> Result<(), Failure> {
    let asked = ask(&check.probe, address, None);
    timeout(check.timeout, asked).await.unwrap_or(Err(Failure::Timeout(check.timeout)))
}

/// Asks once, for as long as it takes; over HTTP with these headers, or with our own.
pub(crate) async fn ask(
    probe: &Probe,
    address: SocketAddr,
    headers: Option<HeaderMap>,
) -> Result<(), Failure> {
    let stream = TcpStream::connect(address).await.map_err(Failure::Connect)?;
    match probe {
        Probe::Tcp => Ok(()),
        Probe::Http { path } => http_get(stream, address, path, headers).await,
        Probe::Grpc { service } => grpc::check(stream, address, service).await,
    }
}

/// `GET`, as a kubelet does it: any status from 200 to 399 is well, a redirection is not followed.
async fn http_get(
    stream: TcpStream,
    address: SocketAddr,
    path: &str,
    headers: Option<HeaderMap>,
) -> Result<(), Failure> {
    let broken = |source: hyper::Error| Failure::Protocol { protocol: "HTTP", source: source.into() };
    let mut headers =
        headers.unwrap_or_else(|| HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(AGENT))]));
    let host = HeaderValue::try_from(address.to_string()).expect("an address is a header's value");
    headers.entry(HOST).or_insert(host);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let mut request = http::Request::get(path)
        .body(Empty::<Bytes>::new())
        .ok()
        .filter(|_| path.starts_with('/'))
        .ok_or_else(|| Failure::Path(path.to_owned()))?;
    *request.headers_mut() = headers;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answer = sender.send_request(request);
    // The connection is polled beside the answer and dropped with it: the body is of no interest.
    let status = tokio::select! {
        answer = answer => answer.map_err(broken)?.status().as_u16(),
        Err(error) = connection => return Err(broken(error)),
    };
    if !(200..400).contains(&status) {
        return Err(Failure::Status(status));
    }
    Ok(())
}

const MAX_HEAD: usize = 16 * 1024;
