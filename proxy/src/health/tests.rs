//! The rule as tables, one question against real servers, good and bad, and the loop around both.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch::channel;
use weft_policy::health::Probe;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What is thought after each of these answers (`+` good, `-` bad): `w` well, `s` sick.
#[track_caller]
fn judged(healthy: u32, unhealthy: u32, answers: &str, want: &str) {
    let now = Instant::now();
    let mut judge = Judge::new(Thresholds { healthy, unhealthy }, now);
    let thought: String = answers
        .chars()
        .map(|answer| if judge.record(answer == '+', now, SECOND) == Some(true) { 'w' } else { 's' })
        .collect();
    assert_eq!(thought, want, "{answers} with {healthy}, {unhealthy}");
}

#[test]
fn it_takes_a_row_of_answers_to_change_a_judgement_and_one_to_make_it() {
    judged(2, 3, "+", "w");
    judged(2, 3, "-", "s");
    judged(2, 3, "+--+---", "wwwwwws");
    judged(2, 3, "-+-++", "ssssw");
    judged(1, 1, "+-+-", "wsws");
    judged(3, 1, "+-++-+++", "wssssssw");
}

#[test]
fn a_check_is_due_in_step_and_never_in_the_past() {
    let start = Instant::now();
    let mut judge = Judge::new(Thresholds { healthy: 1, unhealthy: 1 }, start);
    assert_eq!(judge.due(), start);
    judge.record(true, start + SECOND / 2, 10 * SECOND);
    assert_eq!(judge.due(), start + 10 * SECOND, "a slow answer does not stretch the interval");
    judge.record(true, start + 100 * SECOND, 10 * SECOND);
    assert_eq!(judge.due(), start + 110 * SECOND, "what was missed is not made up for");
    judge.record(true, start + 110 * SECOND, Duration::ZERO);
    assert!(judge.due() > start + 110 * SECOND, "no interval is no pause");
}

proptest! {
    #[test]
    fn a_judgement_changes_only_after_enough_answers_against_it(
        healthy in 1_u32..5, unhealthy in 1_u32..5, answers in prop::collection::vec(any::<bool>(), 1..60)
    ) {
        let now = Instant::now();
        let mut judge = Judge::new(Thresholds { healthy, unhealthy }, now);
        let thought: Vec<bool> = answers.iter().map(|good| judge.record(*good, now, SECOND).unwrap()).collect();
        for at in 1..thought.len() {
            if thought[at] != thought[at - 1] {
                let needed = if thought[at] { healthy } else { unhealthy } as usize;
                prop_assert!(at + 1 >= needed);
                prop_assert!(answers[at + 1 - needed..=at].iter().all(|answer| *answer == thought[at]));
            }
        }
    }
}

fn check(port: u16, probe: Probe) -> HealthCheck {
    HealthCheck {
        port,
        probe,
        interval: Duration::from_millis(10),
        timeout: 5 * SECOND,
        healthy_threshold: 2,
        unhealthy_threshold: 2,
    }
}

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn ask(port: u16, probe_kind: Probe) -> Result<(), Failure> {
    probe(&check(port, probe_kind), SocketAddr::new(HOST, port)).await
}

fn http(path: &str) -> Probe {
    Probe::Http { path: path.into() }
}

/// Answers every connection with these bytes, and keeps it open.
async fn says(bytes: &'static [u8]) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(bytes).await;
            kept.push(stream);
        }
    });
    (port, tasks)
}

/// A gRPC health service that serves `shop.Cart` only, and the whole server.
async fn grpc_server() -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = |request: http::Request<hyper::body::Incoming>| async move {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        assert_eq!(request.headers()["te"], "trailers");
        let asked = request.into_body().collect().await.unwrap().to_bytes();
        let (message, status): (&'static [u8], &str) = match &asked[5..] {
            [] => (&[0, 0, 0, 0, 2, 8, 1], "0"),
            [0x0a, _, name @ ..] if name == b"shop.Cart" => (&[0, 0, 0, 0, 2, 8, 1], "0"),
            [0x0a, _, name @ ..] if name == b"shop.Closed" => (&[0, 0, 0, 0, 2, 8, 2], "0"),
            _ => (&[], "5"),
        };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.parse().unwrap());
        let frames =
            [Ok::<_, Infallible>(Frame::data(Bytes::from_static(message))), Ok(Frame::trailers(trailers))];
        Ok::<_, Infallible>(Response::new(StreamBody::new(tokio_stream::iter(frames))))
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let served = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            connections.spawn(async move {
                let _ = served.await;
            });
        }
    });
    (port, tasks)
}

#[tokio::test]
async fn an_application_that_answers_is_well() {
    let (port, _server) = says(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    ask(port, Probe::Tcp).await.unwrap();
    ask(port, http("/healthz?full=1")).await.unwrap();
    let (port, _server) = says(b"HTTP/1.1 302 Found\r\nlocation: /login\r\n\r\n").await;
    ask(port, http("/")).await.unwrap();
    let (port, _server) = grpc_server().await;
    for service in ["", "shop.Cart"] {
        ask(port, Probe::Grpc { service: service.into() })
            .await
            .unwrap_or_else(|error| panic!("{service}: {error}"));
    }
}

#[tokio::test]
async fn an_answer_that_is_not_well_says_what_is_wrong() {
    let (port, _server) = says(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
    assert!(matches!(ask(port, http("/")).await, Err(Failure::Status(503))));
    assert!(matches!(ask(port, http("no path")).await, Err(Failure::Path(_))));
    assert!(matches!(ask(port, http("http://elsewhere/")).await, Err(Failure::Path(_))));
    let (port, _server) = says(b"SSH-2.0-OpenSSH\r\n").await;
    assert!(matches!(ask(port, http("/")).await, Err(Failure::Protocol { protocol: "HTTP", .. })));
    assert!(matches!(
        ask(port, Probe::Grpc { service: "".into() }).await,
        Err(Failure::Protocol { protocol: "gRPC", .. })
    ));
    let endless: &'static [u8] =
        Vec::leak([&b"HTTP/1.1 200 OK\r\n"[..], &b"a: b\r\n".repeat(20_000)].concat());
    let (port, _server) = says(endless).await;
    assert!(matches!(ask(port, http("/")).await, Err(Failure::Protocol { .. })));
    let (port, _server) = grpc_server().await;
    assert!(matches!(
        ask(port, Probe::Grpc { service: "shop.Closed".into() }).await,
        Err(Failure::NotServing("NOT_SERVING"))
    ));
    let unknown = ask(port, Probe::Grpc { service: "nobody".into() }).await;
    assert!(matches!(unknown, Err(Failure::GrpcStatus(status)) if status == "5"));
}

#[tokio::test]
async fn an_application_that_is_not_there_or_silent_is_not_well() {
    let gone = 1; // nobody is given it
    for kind in [Probe::Tcp, http("/"), Probe::Grpc { service: "".into() }] {
        assert!(matches!(ask(gone, kind).await, Err(Failure::Connect(_))));
    }
    let (port, _server) = says(b"").await;
    for kind in [http("/"), Probe::Grpc { service: "".into() }] {
        let check = HealthCheck { timeout: Duration::from_millis(50), ..check(port, kind) };
        assert!(matches!(probe(&check, SocketAddr::new(HOST, port)).await, Err(Failure::Timeout(_))));
    }
}

/// A server that is well while a flag says so.
async fn moody() -> (u16, Arc<AtomicBool>, JoinSet<()>) {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let well = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&well);
    let answer = move |_request| {
        let status = if flag.load(Ordering::Relaxed) { 200 } else { 500 };
        async move { Response::builder().status(status).body(Full::<Bytes>::default()) }
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let served = hyper::server::conn::http1::Builder::new();
            let _ = served.serve_connection(TokioIo::new(stream), service_fn(answer.clone())).await;
        }
    });
    (port, well, tasks)
}

#[tokio::test]
async fn the_watch_tells_changes_of_all_checks_together() {
    let (port, well, _server) = moody().await;
    let (told, mut heard) = channel(AppHealth::Unknown);
    let mut tasks = JoinSet::new();
    tasks.spawn(watch(vec![check(port, Probe::Tcp), check(port, http("/"))], HOST, told));
    heard.wait_for(|health| *health == AppHealth::Well).await.unwrap();
    well.store(false, Ordering::Relaxed);
    let sick = heard.wait_for(|health| matches!(health, AppHealth::Sick { .. })).await.unwrap().clone();
    assert_eq!(sick, AppHealth::Sick { why: format!("port {port}: the answer has status 500") });
    well.store(true, Ordering::Relaxed);
    heard.wait_for(|health| *health == AppHealth::Well).await.unwrap();
}

#[tokio::test]
async fn an_application_without_checks_is_well() {
    let (told, mut heard) = channel(AppHealth::Unknown);
    let mut tasks = JoinSet::new();
    tasks.spawn(watch(vec![], HOST, told));
    heard.wait_for(|health| *health == AppHealth::Well).await.unwrap();
}
