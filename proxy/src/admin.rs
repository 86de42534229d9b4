//! Questions to one proxy, on loopback: alive, ready, numbers, what it has been told.
//!
//! Only requests whose `Host` is this host are answered: a page in a browser that has rebound its name to
//! loopback has another (catalogue row 56). The one thing that can be changed is what is logged, by a `POST` with
//! a header that no page can send across origins without asking first.

use std::convert::Infallible;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::observe::metrics::CONTENT_TYPE as METRICS_TYPE;
use crate::shared::Shared;

/// Answers until dropped.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                };
                if open.len() >= MAX_OPEN {
                    continue;
                }
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let response = answer(&shared, &request);
                    async move { Ok::<_, Infallible>(response) }
                });
                open.spawn(async move {
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(std::time::Duration::from_secs(30))
                        .serve_connection(TokioIo::new(stream), service);
                    // The one who asks hears it.
                    let _ = connection.await;
                });
            }
            Some(_) = open.join_next() => {}
        }
    }
}

fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !asks_this_host(request) {
        return text(StatusCode::MISDIRECTED_REQUEST, "the Host of an admin request is localhost");
    }
    if request.method() == Method::POST && request.uri().path() == "/log" {
        return change_log(shared, request);
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET");
    }
    match request.uri().path() {
        "/live" => text(StatusCode::OK, "alive"),
        "/ready" => match unready(shared) {
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

fn asks_this_host(request: &Request<Incoming>) -> bool {
    let Some(host) = request.headers().get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    matches!(name.map_or(host, |(name, _)| name), "localhost" | "127.0.0.1" | "[::1]")
}

fn unready(shared: &Shared) -> Option<&'static str> {
    if shared.drain.has_begun() {
        Some("shutting down")
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
            let each = set.endpoints.iter().map(|one| {
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
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

fn as_json(value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{value:#}\n")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

const LOG_USAGE: &str = "curl -X POST -H 'weft-admin: log' 'http://127.0.0.1:15020/log?debug'";
/// Enough for Prometheus, a kubelet and a few people.
const MAX_OPEN: usize = 64;
