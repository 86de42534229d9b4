//! The recorder on HTTP/2: hyper reads the requests, and the bytes beneath it are counted by frame.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{Arrival, Log, lock};
use crate::reading::Seen;

pub(super) async fn serve(stream: TcpStream, log: Arc<Mutex<Log>>) {
    let tee = Tee { stream, log: Arc::clone(&log), read: Vec::new(), counted: PREFACE };
    let service = service_fn(move |request| answer(request, Arc::clone(&log)));
    // How a proxy leaves is the proxy's business.
    let mut server = http2::Builder::new(TokioExecutor::new());
    let _ = server.max_header_list_size(MAX_HEAD).serve_connection(TokioIo::new(tee), service).await;
}

async fn answer(
    request: Request<Incoming>,
    log: Arc<Mutex<Log>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut open = Open::of(log);
    let (parts, mut body) = request.into_parts();
    let mut seen = Seen {
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        ..Seen::default()
    };
    let host = parts.uri.authority().map(|authority| ("host".to_owned(), authority.to_string()));
    seen.fields.extend(host);
    seen.keep(&parts.headers);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => match frame.into_data() {
                Ok(data) => {
                    lock(&open.log).raw.extend(&data);
                    seen.body.extend(data);
                }
                Err(frame) => seen.keep(frame.trailers_ref().unwrap_or(&parts.headers)),
            },
            Err(error) => {
                let raw =
                    format!("{} {} {:?}", seen.method, seen.target, seen.body.escape_ascii().to_string());
                open.ends(Arrival::Broken { raw: raw.into_bytes(), why: error.to_string() });
                return Ok(Response::default());
            }
        }
    }
    let said = if seen.method == "HEAD" { String::new() } else { format!("{} {}", seen.method, seen.target) };
    open.ends(Arrival::Whole(seen));
    Ok(Response::new(Full::new(said.into())))
}

impl Seen {
    fn keep(&mut self, headers: &http::HeaderMap) {
        let text =
            |value: &http::HeaderValue| value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
        self.fields.extend(headers.iter().map(|(name, value)| (name.to_string(), text(value))));
    }
}

/// A request that is under way. One that is dropped before its end was broken off.
struct Open {
    log: Arc<Mutex<Log>>,
    ended: bool,
}

impl Open {
    fn of(log: Arc<Mutex<Log>>) -> Self {
        lock(&log).open += 1;
        Self { log, ended: false }
    }

    fn ends(&mut self, arrival: Arrival) {
        self.ended = true;
        let mut log = lock(&self.log);
        log.arrivals.push(arrival);
        log.open -= 1;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.ended {
            self.ends(Arrival::Broken { raw: Vec::new(), why: "reset".to_owned() });
        }
    }
}

/// Counts what frames of requests carry.
struct Tee {
    stream: TcpStream,
    log: Arc<Mutex<Log>>,
    read: Vec<u8>,
    counted: usize,
}

impl Tee {
    /// RFC 9113 §4.1: three bytes of length, one of type, five more.
    fn count(&mut self) {
        while let Some([high, middle, low, kind, _, _, _, _, _]) =
            self.read.get(self.counted..self.counted + 9)
        {
            let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            if matches!(kind, 0 | 1 | 9) {
                lock(&self.log).bytes += length;
            }
            self.counted += 9 + length;
        }
    }
}

impl AsyncRead for Tee {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let had = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.read.extend_from_slice(&buf.filled()[had..]);
        self.count();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tee {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// More than a proxy lets in.
const MAX_HEAD: u32 = 256 << 10;
/// `PRI * HTTP/2.0 …` (RFC 9113 §3.4).
const PREFACE: usize = 24;
