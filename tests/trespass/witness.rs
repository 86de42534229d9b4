//! An application that remembers exactly what has reached it, trailers included.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use weft_tests::peer::Peer;

/// A running one. Dropping it closes everything of it.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _peer: Peer,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Path and query, as they were written.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
}

impl Seen {
    /// Every field of the head and the trailers, as `name: value`.
    pub(crate) fn fields(&self) -> Vec<String> {
        let all = self.headers.iter().chain(&self.trailers);
        all.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect()
    }
}

impl Witness {
    /// Starts one on a port of its own. It answers 200 and nothing else.
    pub(crate) async fn start() -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let shared = Arc::clone(&seen);
        let peer = Peer::start(move |stream| {
            let seen = Arc::clone(&shared);
            async move {
                let service = service_fn(move |request| remember(Arc::clone(&seen), request));
                // How a client leaves is the client's business.
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                Ok(())
            }
        })
        .await;
        Self { addr: peer.addr, seen, _peer: peer }
    }

    /// All that has arrived since this was last asked.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn remember(
    seen: Arc<Mutex<Vec<Seen>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let trailers = body.collect().await.ok().and_then(|body| body.trailers().cloned()).unwrap_or_default();
    let path = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let one = Seen { path, headers: parts.headers, trailers };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(one);
    Ok(Response::new(Full::from("here")))
}
