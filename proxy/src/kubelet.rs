//! Answers the kubelet in the application's place: on a port of its own, by a path for each question that the pod's author
//! has asked, as the injector has written them down.
//!
//! The kubelet has no identity. Were it let through to the application's ports, so would be everybody who takes its
//! address; here nobody gets more out of the application than whether it is well. A question is put to the address that
//! was called, which is the pod's: whoever listens on loopback alone is no more ready than he would be without a proxy.
//!
//! Bound: by [`askers`], and by [`WHOLE`]. When the one who asks hangs up, the application is not asked any longer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::admin::{self, Asked};
use crate::{askers, health};

pub mod question;

use question::Question;

/// What is asked, and of whom.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    /// The questions that may be asked.
    pub(crate) questions: Arc<[Question]>,
    /// Of the proxy itself, whether it is ready.
    pub(crate) proxy: Asked,
}

impl Desk {
    /// Answers until dropped.
    pub(crate) async fn serve(self, listener: TcpListener) {
        askers::serve(listener, WHOLE, |stream| self.clone().answer_one(stream)).await;
    }

    async fn answer_one(self, stream: TcpStream) {
        let Ok(called) = stream.local_addr() else { return };
        let desk = Arc::new(self);
        let service = service_fn(move |request: Request<Incoming>| {
            let desk = Arc::clone(&desk);
            async move { Ok::<_, Infallible>(desk.answer(called, &request).await) }
        });
        let connection = askers::http1().serve_connection(TokioIo::new(stream), service);
        // The one who asks hears it.
        let _ = connection.await;
    }

    async fn answer(&self, called: SocketAddr, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET {
            return text(StatusCode::METHOD_NOT_ALLOWED, "GET only".to_owned());
        }
        let path = request.uri().path();
        if path == "/ready" {
            return match admin::unready(self.proxy.get().map(|shared| &**shared)) {
                None => text(StatusCode::OK, "ready".to_owned()),
                Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, why.to_owned()),
            };
        }
        let Some(question) = self.questions.iter().find(|question| *question.at == *path) else {
            return text(StatusCode::NOT_FOUND, "this pod has no such probe".to_owned());
        };
        let application = SocketAddr::new(called.ip(), question.port);
        match health::ask(&question.probe, application, Some(passed_on(request.headers(), called))).await {
            Ok(()) => text(StatusCode::OK, "well".to_owned()),
            Err(failure) => {
                text(StatusCode::SERVICE_UNAVAILABLE, format!("port {}: {failure}", question.port))
            }
        }
    }
}

/// What the kubelet says besides, which is what the pod's author has told it to say. A `Host` that only names this port
/// is not his.
fn passed_on(said: &HeaderMap, called: SocketAddr) -> HeaderMap {
    let mut headers = said.clone();
    headers.remove(CONNECTION);
    let own = format!(":{}", called.port());
    let is_own = |host: &HeaderValue| host.to_str().is_ok_and(|host| host.ends_with(&own));
    if headers.get(HOST).is_none_or(is_own) {
        headers.remove(HOST);
    }
    headers
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text + "\n"));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// How long a question may take. The kubelet's own patience is the author's to set, and ends it before.
const WHOLE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
