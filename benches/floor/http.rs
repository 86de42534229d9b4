//! Requests: hyper's server on one side, hyper's client on the other. Connections to a server of HTTP/1.1 are used again,
//! the one that came back last first; all requests share one connection of HTTP/2.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Context;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{http1 as client1, http2 as client2};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::spawn_local;

use crate::{Speaks, Way};

/// Serves one connection to its end.
pub(crate) async fn serve(way: &Way, upstream: Rc<Upstream>, stream: TcpStream) -> anyhow::Result<()> {
    let service = service_fn(move |request| {
        let upstream = Rc::clone(&upstream);
        async move { upstream.ask(request).await }
    });
    match way.from {
        Speaks::Http1 => http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?,
        Speaks::Http2Tls => {
            let stream = way.hop.as_ref().context("a hop without certificates")?.accept(stream).await?;
            server().serve_connection(TokioIo::new(stream), service).await?;
        }
        _ => server().serve_connection(TokioIo::new(stream), service).await?,
    }
    Ok(())
}

/// What requests go to.
pub(crate) struct Upstream {
    way: Rc<Way>,
    idle: RefCell<Vec<client1::SendRequest<Incoming>>>,
    shared: Mutex<Option<client2::SendRequest<Incoming>>>,
}

impl Upstream {
    /// Nothing is open yet.
    pub(crate) fn new(way: Rc<Way>) -> Self {
        Self { way, idle: RefCell::default(), shared: Mutex::default() }
    }

    async fn ask(&self, mut request: Request<Incoming>) -> anyhow::Result<Response<Incoming>> {
        if self.way.to == Speaks::Http1 {
            if let Some(authority) = request.uri().authority() {
                let host = HeaderValue::from_str(authority.as_str())?;
                let path = request.uri().path_and_query().cloned();
                request.headers_mut().insert(HOST, host);
                *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
            }
            let mut connection = match self.idle() {
                Some(connection) => connection,
                None => self.open().await?,
            };
            let response = connection.send_request(request).await?;
            // It is ready again when the body has been read.
            self.idle.borrow_mut().push(connection);
            return Ok(response);
        }
        if let Some(host) = request.headers_mut().remove(HOST) {
            let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
            *request.uri_mut() = Uri::try_from(format!("http://{}{path}", host.to_str()?))?;
        }
        let mut connection = self.shared().await?;
        Ok(connection.send_request(request).await?)
    }

    /// The newest that is ready.
    fn idle(&self) -> Option<client1::SendRequest<Incoming>> {
        let mut idle = self.idle.borrow_mut();
        let at = idle.iter().rposition(client1::SendRequest::is_ready)?;
        Some(idle.remove(at))
    }

    async fn open(&self) -> anyhow::Result<client1::SendRequest<Incoming>> {
        let (sender, connection) = client1::handshake(TokioIo::new(self.dial().await?)).await?;
        spawn_local(connection);
        Ok(sender)
    }

    async fn shared(&self) -> anyhow::Result<client2::SendRequest<Incoming>> {
        let mut shared = self.shared.lock().await;
        if let Some(open) = shared.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let stream = self.dial().await?;
        let sender = match &self.way.hop {
            Some(hop) if self.way.to == Speaks::Http2Tls => share(hop.connect(stream).await?).await?,
            _ => share(stream).await?,
        };
        Ok(shared.insert(sender).clone())
    }

    async fn dial(&self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(self.way.next).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

async fn share<S>(stream: S) -> anyhow::Result<client2::SendRequest<Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = client2::Builder::new(Local);
    builder
        .max_frame_size(FRAME)
        .initial_stream_window_size(STREAM)
        .initial_connection_window_size(CONNECTION);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    spawn_local(connection);
    Ok(sender)
}

fn server() -> http2::Builder<Local> {
    let mut builder = http2::Builder::new(Local);
    builder
        .max_frame_size(FRAME)
        .initial_stream_window_size(STREAM)
        .initial_connection_window_size(CONNECTION);
    builder
}

/// hyper's own tasks, on this thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output: 'static> + 'static> Executor<F> for Local {
    fn execute(&self, task: F) {
        spawn_local(task);
    }
}

/// Frames and windows as between two sidecars of ours.
const FRAME: u32 = (80 << 10) - 9;
const STREAM: u32 = 256 << 10;
const CONNECTION: u32 = 16 << 20;
