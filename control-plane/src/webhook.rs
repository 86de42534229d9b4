//! What an API server asks before it takes an object: `POST /inject` puts the proxy into a pod, `POST /validate` refuses
//! what nobody could act by. Over HTTPS, by a certificate of our own authority for the name of our Service (`front`);
//! that the API server trusts it, `registered` sees to.
//!
//! Who asks is not known: an API server shows no certificate unless it is told to. So nothing is told here that is a
//! secret, and nothing changes: a review goes in, a verdict comes out.
//!
//! Bound: so many connections, so many bytes of a review, so much time, and a few reviews judged at one moment, because
//! one of megabytes takes ten times its size while it is.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::serve::few;

mod asked;
mod front;
mod neighbours;
mod objects;
mod pods;
mod proof;
mod registered;
mod review;
mod verdict;

pub use front::Fronts;
pub use neighbours::{Place, Turn};
pub use pods::{Pods, ProxySettings};
pub use registered::{Failure, Registered, keep_registered};
pub use review::{BadReview, Review};
pub use verdict::Verdict;

/// Answers reviews.
#[derive(Debug)]
pub struct Webhooks {
    pods: Pods,
    judging: Semaphore,
}

impl Webhooks {
    /// Pods are judged, and changed, by `pods`.
    #[must_use]
    pub fn new(pods: Pods) -> Self {
        Self { pods, judging: Semaphore::new(JUDGED_AT_ONCE) }
    }

    /// Serves until it is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, fronts: Arc<Fronts>) {
        few::serve(listener, "cannot accept a connection of the API server", |socket| {
            let serving = Arc::clone(&self).connection(socket, Arc::clone(&fronts));
            // An API server keeps its connection and opens another when this one has ended.
            async move { drop(timeout(LONGEST, serving).await) }
        })
        .await;
    }

    async fn connection(self: Arc<Self>, socket: TcpStream, fronts: Arc<Fronts>) {
        let Some(config) = fronts.server_config() else { return };
        let handshake = timeout(PATIENCE, TlsAcceptor::from(config).accept(socket)).await;
        let Ok(Ok(tls)) = handshake else {
            // In most cases an API server that has not read the new `caBundle` yet.
            tracing::info!("a handshake at the webhooks came to nothing");
            return;
        };
        let service = service_fn(move |request| {
            let answering = Arc::clone(&self).answer(request);
            async move { Ok::<_, Infallible>(answering.await) }
        });
        let mut server = hyper::server::conn::http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(IDLE);
        // Whoever hangs up has its reasons.
        let _hung_up = server.serve_connection(TokioIo::new(tls), service).await;
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let judge: fn(&Self, &Review) -> Verdict = match request.uri().path() {
            "/inject" => |webhooks, review| webhooks.pods.judge(review),
            "/validate" => |_, review| objects::judge(review),
            _ => return refuse(StatusCode::NOT_FOUND, "there are /inject and /validate"),
        };
        if request.method() != Method::POST {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "reviews are POSTed");
        }
        let read = timeout(PATIENCE, Limited::new(request.into_body(), MAX_REVIEW).collect());
        let body = match read.await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return refuse(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    &format!("over {MAX_REVIEW} bytes are not read"),
                );
            }
            Ok(Err(_)) => return refuse(StatusCode::BAD_REQUEST, "the review broke off"),
            Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the review did not arrive in time"),
        };
        let _judging = self.judging.acquire().await.expect("it is never closed");
        // One of a megabyte takes some ten milliseconds, in which others go on.
        let webhooks = Arc::clone(&self);
        let judged = tokio::task::spawn_blocking(move || {
            let review = Review::read(&body)?;
            Ok::<_, BadReview>(judge(&webhooks, &review).answer(&review).to_string())
        });
        match judged.await {
            Ok(Ok(answer)) => {
                let mut response = Response::new(Full::from(answer));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
            Ok(Err(bad)) => refuse(StatusCode::BAD_REQUEST, &bad.to_string()),
            Err(error) => {
                tracing::error!(%error, "judging a review panicked; a defect");
                refuse(StatusCode::INTERNAL_SERVER_ERROR, "a defect; the control plane's log says more")
            }
        }
    }
}

fn refuse(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{why}\n")));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// An API server takes requests of up to 3 MiB, and etcd objects of half of that: the object and the one before it fit.
const MAX_REVIEW: usize = 3 << 20;
const JUDGED_AT_ONCE: usize = 2;
/// For a handshake, and for a review to arrive. An API server itself waits for five seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between reviews.
const IDLE: Duration = Duration::from_secs(120);
/// An hour: by then the certificate may be another one.
const LONGEST: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
