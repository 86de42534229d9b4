//! Questions to one proxy, on loopback: alive, ready, numbers, what it has been told.
//!
//! Whoever can reach this listener runs on this host. What must not be possible is that somebody else asks through them
//! (catalogue row 56): a page in their browser, by a request across origins or under a name that has been rebound to
//! loopback, or a server that fetches any URL it is given. So a request names this host, comes from no page, and gets an
//! answer that no page can read as anything else. The one thing that can be changed is what is logged, by a `POST` with a
//! header that no page can send across origins without asking first.
//!
//! Bound: by [`askers`], and by [`WHOLE`].

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::askers;
use crate::observe::metrics::CONTENT_TYPE as METRICS_TYPE;
use crate::shared::Shared;

/// The proxy that is asked about, once it is somebody: before its first certificate it is alive and nothing else, and
/// whoever watches over it must not take it for hanging.
pub(crate) type Asked = Arc<OnceLock<Arc<Shared>>>;

/// Answers until dropped.
pub(crate) async fn serve(listener: TcpListener, asked: Asked) {
    askers::serve(listener, WHOLE, |stream| answer_one(stream, Arc::clone(&asked))).await;
}

async fn answer_one(stream: TcpStream, asked: Asked) {
    let service = service_fn(move |request| {
        let response = answer(asked.get().map(|shared| &**shared), &request);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = askers::http1().half_close(true).serve_connection(TokioIo::new(stream), service);
    // The one who asks hears it.
    let _ = connection.await;
}

fn answer(shared: Option<&Shared>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = if !asks_this_host(request) {
        text(StatusCode::MISDIRECTED_REQUEST, "the Host of an admin request is localhost")
    } else if comes_from_a_page(request) {
        text(StatusCode::FORBIDDEN, "admin answers people and programs, not pages")
    } else if let Some(shared) = shared {
        answer_to(shared, request)
    } else if request.uri().path() == "/live" {
        text(StatusCode::OK, "alive")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, NOBODY_YET)
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response
}

fn answer_to(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, path) => tell(shared, path),
        (&Method::POST, "/log") => change_log(shared, request),
        (_, path) => {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET, and POST for /log");
            let allow = if path == "/log" { "GET, HEAD, POST" } else { "GET, HEAD" };
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            response
        }
    }
}

fn tell(shared: &Shared, path: &str) -> Response<Full<Bytes>> {
    match path {
        "/live" => text(StatusCode::OK, "alive"),
        "/ready" => match unready(Some(shared)) {
            None => text(StatusCode::OK, "ready"),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        "/metrics" => {
            let mut response = Response::new(Full::from(shared.observe.metrics.encode()));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
            response
        }
        "/snapshot" => as_json(&snapshot(shared)),
        "/breakers" => as_json(&breakers(shared)),
        "/identity" => as_json(&identity(shared)),
        "/log" => text(StatusCode::OK, LOG_USAGE),
        _ => {
            text(StatusCode::NOT_FOUND, "there are /live /ready /metrics /snapshot /breakers /identity /log")
        }
    }
}

/// `POST /log?debug` or `?info,weft_proxy::upstream=debug`, with the header `weft-admin: log`.
fn change_log(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let asked = request.headers().get("weft-admin").is_some_and(|value| value == "log");
    let (true, Some(filter)) = (asked, request.uri().query()) else {
        return text(StatusCode::BAD_REQUEST, LOG_USAGE);
    };
    match &shared.config.log_control {
        None => text(StatusCode::NOT_IMPLEMENTED, "this process does not own its log"),
        Some(control) if control.set(filter) => text(StatusCode::OK, "changed"),
        Some(_) => text(StatusCode::BAD_REQUEST, LOG_USAGE),
    }
}

/// Whether the request names this host, once, wherever it names one: a name that has been rebound to loopback is another.
fn asks_this_host(request: &Request<Incoming>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let target = request.uri().authority();
    host.to_str().is_ok_and(is_this_host) && target.is_none_or(|target| is_this_host(target.as_str()))
}

fn is_this_host(authority: &str) -> bool {
    let port = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = port.map_or(authority, |(name, _)| name);
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|this| name.eq_ignore_ascii_case(this))
}

/// Browsers say so of themselves: `Origin` where a page reads or changes something elsewhere, `Sec-Fetch-Site: none` alone
/// where a person has typed the address (Fetch, "Origin header"; Fetch Metadata §2.3).
fn comes_from_a_page(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    headers.contains_key(ORIGIN) || headers.get_all("sec-fetch-site").iter().any(|site| site != "none")
}

/// Why a proxy does not serve its application, if it does not.
pub(crate) fn unready(shared: Option<&Shared>) -> Option<&'static str> {
    let Some(shared) = shared else { return Some(NOBODY_YET) };
    if shared.drain.has_begun() {
        Some("shutting down")
    } else if !shared.interception.holds() {
        Some(NOT_REDIRECTED)
    } else if shared.current.snapshot().inbound.is_none() {
        Some("policy for the application has not arrived")
    } else {
        None
    }
}

fn snapshot(shared: &Shared) -> Value {
    let snapshot = shared.current.snapshot();
    let services: Vec<_> = snapshot
        .services
        .values()
        .map(|service| {
            let ports: Vec<_> = service.ports.iter().map(|port| port.number).collect();
            json!({ "service": service.name.to_string(), "ports": ports, "hosts": service.hosts.iter().map(|h| &**h).collect::<Vec<_>>() })
        })
        .collect();
    let endpoints: Vec<_> = snapshot
        .endpoints
        .values()
        .map(|set| {
            let each = set.endpoints().iter().map(|one| {
                json!({
                    "name": &*one.name,
                    "addr": one.addr.to_string(),
                    "port": one.target_port,
                    "identity": one.identity.as_ref().map(ToString::to_string),
                    "health": format!("{:?}", one.health),
                })
            });
            json!({ "of": set.of.to_string(), "endpoints": each.collect::<Vec<_>>() })
        })
        .collect();
    let routes: Vec<_> = snapshot.routes.keys().map(ToString::to_string).collect();
    let absent: Vec<_> = snapshot.absent.keys().map(ToString::to_string).collect();
    json!({
        "workload": shared.config.workload,
        "revision": snapshot.revision,
        "inbound": snapshot.inbound.as_ref().map(|inbound| inbound.ports.iter().map(|port| port.number).collect::<Vec<_>>()),
        "services": services,
        "routes": routes,
        "endpoints": endpoints,
        "absent": absent,
    })
}

fn breakers(shared: &Shared) -> Value {
    let each = shared.learned.breakers().into_iter().map(
        |((addr, port), state)| json!({ "addr": addr.to_string(), "port": port, "state": state.as_str() }),
    );
    Value::Array(each.collect())
}

fn identity(shared: &Shared) -> Value {
    let generation = shared.identity.generation();
    let us = generation.credentials().us();
    let since = us.not_after.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    json!({
        "identity": us.id.to_string(),
        "serial": us.serial.to_string(),
        "not_after_unix": since.as_secs(),
        "generation": generation.number(),
    })
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{text}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn as_json(value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{value:#}\n")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

const NOBODY_YET: &str = "waiting for the first certificate";
const NOT_REDIRECTED: &str =
    "the pod's connections do not come to the proxy: the rules of `weft-proxy redirect` are missing";
const LOG_USAGE: &str = "curl -X POST -H 'weft-admin: log' 'http://127.0.0.1:15020/log?debug'";
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// How long a request and its answer may take, read however slowly.
const WHOLE: Duration = Duration::from_secs(30);
