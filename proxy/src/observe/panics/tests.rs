//! A panic is counted, and ends what panicked and nothing beside it.

use std::future::pending;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::task::LocalSet;

use super::*;
use crate::drain::Drainer;
use crate::gate::{self, Client, LocalExecutor};
use crate::memory::Memory;
use crate::message::{Body, Http};
use crate::observe::metrics::{Metrics, SeriesLimit};

/// `/panic` panics, `/wait` waits, all else is answered.
async fn answer(request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/panic" => panic!("asked to"),
        "/wait" => pending().await,
        _ => Response::new(Body::full(Bytes::from_static(b"here"))),
    }
}

#[test]
fn a_panic_ends_its_own_stream_is_counted_and_nothing_else_notices() {
    watch();
    let metrics = Metrics::new(SeriesLimit::default(), &[]);
    let before = count();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (near, far) = tokio::io::duplex(64 << 10);
        let counted = metrics.clone();
        tokio::task::spawn_local(async move {
            let drainer = Drainer::new();
            let answer: gate::Answer = std::rc::Rc::new(|request| Box::pin(answer(request)));
            let (far, memory) = (Box::new(far), Memory::unlimited());
            gate::serve(far, Http::H2, Client::Anybody, &counted, &memory, drainer.drain(), answer).await
        });
        let (client, connection) =
            hyper::client::conn::http2::handshake(LocalExecutor, TokioIo::new(near)).await.unwrap();
        tokio::task::spawn_local(connection);

        let mut waiting = client.clone();
        let waiting = tokio::task::spawn_local(async move { ask(&mut waiting, "/wait").await });
        for _ in 0..3 {
            assert_eq!(ask(&mut client.clone(), "/").await.unwrap(), "here");
            ask(&mut client.clone(), "/panic").await.expect_err("the stream is reset");
        }
        assert_eq!(ask(&mut client.clone(), "/").await.unwrap(), "here", "the same connection goes on");
        assert!(!waiting.is_finished(), "and so do the streams that were open");
    });
    assert!(count() >= before + 3);
    let printed = metrics.encode();
    let line = printed.lines().find(|line| line.starts_with("weft_panics_total ")).unwrap_or_default();
    assert!(line.split(' ').nth(1).unwrap().parse::<u64>().unwrap() >= before + 3, "{line}");
    println!(
        "scorecard: {{\"row\":13,\"ours\":\"a panic ends one stream of a connection and is counted\",\"pass\":true}}"
    );
}

async fn ask(client: &mut SendRequest<Empty<Bytes>>, path: &str) -> Result<Bytes, hyper::Error> {
    let request = Request::get(format!("http://a{path}")).body(Empty::new()).unwrap();
    let response = client.send_request(request).await?;
    Ok(response.into_body().collect().await?.to_bytes())
}
