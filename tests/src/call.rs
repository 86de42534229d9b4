//! Clients, as applications are: a plain HTTP client that knows a proxy, one that does not, and HTTP/2.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::eventually::soon;

/// A request with a body that is there at once.
pub type Request = http::Request<Full<Bytes>>;

/// `GET url`.
///
/// # Panics
/// If it is no URL.
#[must_use]
pub fn get(url: &str) -> Request {
    request(Method::GET, url, "")
}

/// A request.
///
/// # Panics
/// If it is no URL.
#[must_use]
pub fn request(method: Method, url: &str, body: &str) -> Request {
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    http::Request::builder().method(method).uri(url).body(body).expect("a URL")
}

/// One more header.
#[must_use]
pub fn with(mut request: Request, name: &'static str, value: &str) -> Request {
    request.headers_mut().append(name, value.parse().expect("a header's value"));
    request
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// In which version.
    pub version: Version,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// What came after the body.
    pub trailers: HeaderMap,
}

impl Reply {
    /// Collects a response.
    ///
    /// # Panics
    /// If its body breaks off.
    pub async fn collect(response: http::Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = soon("the end of a response", body.collect()).await.expect("a whole response");
        let trailers = body.trailers().cloned().unwrap_or_default();
        let (status, version, headers) = (parts.status, parts.version, parts.headers);
        Self { status, version, headers, body: body.to_bytes(), trailers }
    }

    /// A header as text; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The cause of an answer that a proxy made itself: the token of `weft-error`.
    #[must_use]
    pub fn refusal(&self) -> &str {
        self.header("weft-error").split(';').next().unwrap_or_default()
    }

    /// The body as an [origin](crate::origin::Origin)'s report.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Which origin answered.
    ///
    /// # Panics
    /// If it was none.
    #[must_use]
    pub fn origin(&self) -> String {
        self.json()["origin"].as_str().expect("an origin says its name").to_owned()
    }
}

/// Sends a request to a proxy, in absolute form.
///
/// # Panics
/// If no response comes.
pub async fn through(proxy: SocketAddr, request: Request) -> Reply {
    let response = soon("a response", try_through(proxy, request)).await;
    Reply::collect(response.unwrap_or_else(|error| panic!("no response: {error:?}"))).await
}

/// As [`through`]: the response's head, or why there is none.
///
/// # Errors
/// The client's.
///
/// # Panics
/// If nobody listens there.
pub async fn try_through(proxy: SocketAddr, mut request: Request) -> hyper::Result<http::Response<Incoming>> {
    // RFC 9112 §3.2.2: the target is absolute, and `Host` says the same.
    if let Some(authority) = request.uri().authority().cloned() {
        let host = authority.as_str().parse().expect("an authority is a header's value");
        request.headers_mut().entry(http::header::HOST).or_insert(host);
    }
    let mut client = http1(proxy).await;
    client.send_request(request).await
}

/// Sends a request straight to a server, in origin form with `Host`.
///
/// # Panics
/// If no response comes.
pub async fn to(server: SocketAddr, mut request: Request) -> Reply {
    if let Some(authority) = request.uri().authority().cloned() {
        let host = authority.as_str().parse().expect("an authority is a header's value");
        request.headers_mut().entry(http::header::HOST).or_insert(host);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).parse().expect("a path");
    *request.uri_mut() = path;
    let mut client = http1(server).await;
    let response = soon("a response", client.send_request(request)).await;
    Reply::collect(response.unwrap_or_else(|error| panic!("no response: {error:?}"))).await
}

/// An HTTP/1.1 connection.
///
/// # Panics
/// If nobody listens there.
pub async fn http1(addr: SocketAddr) -> hyper::client::conn::http1::SendRequest<Full<Bytes>> {
    let stream = connect(addr).await;
    let (client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("nothing is sent yet");
    // It ends with its client.
    tokio::spawn(connection.with_upgrades());
    client
}

/// An HTTP/2 connection in plaintext, with prior knowledge.
///
/// # Panics
/// If nobody listens there, or it does not speak HTTP/2.
pub async fn http2<B>(addr: SocketAddr) -> hyper::client::conn::http2::SendRequest<B>
where
    B: hyper::body::Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
{
    let stream = connect(addr).await;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (client, connection) = soon("an HTTP/2 handshake", handshake).await.expect("it speaks HTTP/2");
    // It ends with its client.
    tokio::spawn(connection);
    client
}

/// A connection.
///
/// # Panics
/// If nobody listens there.
pub async fn connect(addr: SocketAddr) -> TcpStream {
    soon("a connection", TcpStream::connect(addr)).await.unwrap_or_else(|error| panic!("{addr}: {error}"))
}
