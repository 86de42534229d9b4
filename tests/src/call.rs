//! Clients, as applications are: a plain HTTP client that knows a proxy, one that does not, and HTTP/2.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
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

/// One HTTP/1.1 connection, kept for many requests.
#[derive(Debug)]
pub struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    form: Form,
}

/// How a client writes a request's target (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As to a proxy.
    Absolute,
    /// As to a server.
    Origin,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// If nobody listens there.
    pub async fn connect(addr: SocketAddr, form: Form) -> Self {
        Self::on(connect(addr).await, form).await
    }

    /// On a connection that is there already.
    pub async fn on<S>(stream: S, form: Form) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self { sender: http1_on(stream).await, form }
    }

    /// Sends one request and takes the whole response.
    ///
    /// # Panics
    /// If no response comes.
    pub async fn send(&mut self, request: Request) -> Reply {
        let response = soon("a response", self.try_send(request)).await;
        Reply::collect(response.unwrap_or_else(|error| panic!("no response: {error:?}"))).await
    }

    /// Sends one request: the response's head, or why there is none.
    ///
    /// # Errors
    /// The client's.
    ///
    /// # Panics
    /// If its target is no URL.
    pub async fn try_send(&mut self, mut request: Request) -> hyper::Result<http::Response<Incoming>> {
        if let Some(authority) = request.uri().authority().cloned() {
            let host = authority.as_str().parse().expect("an authority is a header's value");
            request.headers_mut().entry(http::header::HOST).or_insert(host);
        }
        if self.form == Form::Origin {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            *request.uri_mut() = path.parse().expect("a path");
        }
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}

/// Sends a request to a proxy, on a connection of its own.
///
/// # Panics
/// If no response comes.
pub async fn through(proxy: SocketAddr, request: Request) -> Reply {
    Client::connect(proxy, Form::Absolute).await.send(request).await
}

/// Sends a request straight to a server, on a connection of its own.
///
/// # Panics
/// If no response comes.
pub async fn to(server: SocketAddr, request: Request) -> Reply {
    Client::connect(server, Form::Origin).await.send(request).await
}

/// An HTTP/1.1 client on a connection that is there already.
///
/// # Panics
/// Never: nothing is sent yet.
pub async fn http1_on<S>(stream: S) -> http1::SendRequest<Full<Bytes>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (client, connection) = http1::handshake(TokioIo::new(stream)).await.expect("nothing is sent yet");
    // It ends with its client.
    tokio::spawn(connection.with_upgrades());
    client
}

/// An HTTP/2 connection in plaintext, with prior knowledge.
///
/// # Panics
/// If nobody listens there, or it does not speak HTTP/2.
pub async fn h2c<B>(addr: SocketAddr) -> http2::SendRequest<B>
where
    B: hyper::body::Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
{
    let stream = connect(addr).await;
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
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
    let connected = soon("a connection", TcpStream::connect(addr)).await;
    let stream = connected.unwrap_or_else(|error| panic!("{addr}: {error}"));
    stream.set_nodelay(true).expect("a connected socket");
    stream
}
