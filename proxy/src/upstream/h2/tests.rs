//! A connection and the server at its other end, which is the library's own.

use std::time::Duration;

use h2::{Reason, server};
use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::*;

/// What a server does with each request.
type Does = fn(server::SendResponse<Bytes>, Request<h2::RecvStream>);

/// A connection to a server that does this, and goes when it is told to.
async fn to(does: Does) -> Channel {
    let (near, far) = duplex(1 << 20);
    spawn_local(async move {
        let mut server = server::handshake(far).await.unwrap();
        while let Some(Ok((request, respond))) = server.accept().await {
            does(respond, request);
        }
    });
    Channel::open(Box::new(near)).await.unwrap()
}

fn get() -> Box<Request<Body>> {
    Box::new(Request::get("http://api.shop/").body(Body::empty()).unwrap())
}

/// Runs on one thread, as a worker does.
fn on_a_worker<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

/// The answer's body to its end.
async fn body_of(answer: Result<(Response<Body>, Held), Unanswered>) -> Result<Bytes, String> {
    let Ok((answer, _held)) = answer else { return Err("no answer".to_owned()) };
    Ok(answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes())
}

#[test]
fn a_server_that_wants_no_more_of_the_request_may_end_its_answer_so_but_not_in_the_midst_of_it() {
    type Row = (&'static str, Option<&'static str>, Reason, Result<&'static str, ()>);
    const ANSWERS: [Row; 4] = [
        ("all of it", Some("4"), Reason::NO_ERROR, Ok("body")),
        ("of unknown length", None, Reason::NO_ERROR, Ok("body")),
        ("half of it", Some("8"), Reason::NO_ERROR, Err(())),
        ("given up", None, Reason::CANCEL, Err(())),
    ];
    for (what, length, reason, heard) in ANSWERS {
        let answered = on_a_worker(async {
            let (near, far) = duplex(1 << 20);
            spawn_local(async move {
                let mut server = server::handshake(far).await.unwrap();
                let (_request, mut respond) = server.accept().await.unwrap().unwrap();
                let mut head = Response::builder().status(StatusCode::OK);
                head = length.into_iter().fold(head, |head, length| head.header(CONTENT_LENGTH, length));
                let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
                stream.send_data(Bytes::from_static(b"body"), false).unwrap();
                spawn_local(async move {
                    sleep(Duration::from_millis(1)).await;
                    stream.send_reset(reason);
                });
                while let Some(Ok(_)) = server.accept().await {}
            });
            let channel = Channel::open(Box::new(near)).await.unwrap();
            body_of(channel.place().send(get()).await).await
        });
        assert_eq!(answered.as_deref().map_err(|_| ()), heard.map(str::as_bytes), "{what}: {answered:?}");
    }
}

#[test]
fn a_place_is_taken_until_the_answer_has_ended_or_the_request_has_left() {
    on_a_worker(async {
        let channel = to(|mut respond, _| {
            // Nobody is answered, and nobody is told so.
            spawn_local(async move { poll_fn(|cx| respond.poll_reset(cx)).await });
        })
        .await;
        let asked: Vec<_> = (0..STREAMS)
            .map(|_| {
                let lane = channel.place();
                spawn_local(async move { lane.send(get()).await.map(|_| ()).is_ok() })
            })
            .collect();
        sleep(Duration::from_millis(1)).await;
        assert!(!channel.has_room(), "{} places are all there are", STREAMS);
        asked.iter().for_each(tokio::task::JoinHandle::abort);
        let left = async {
            while !channel.is_idle() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(5), left).await.expect("all leave, a few at once and then the rest");
        assert!(channel.has_room());
    });
}

#[test]
fn a_far_end_that_answers_no_ping_is_left_at_the_second_doubt_and_only_while_somebody_waits() {
    on_a_worker(async {
        // It greets and says no more.
        let (near, mut far): (_, DuplexStream) = duplex(1 << 20);
        far.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut channel = Channel::open(Box::new(near)).await.unwrap();
        for _ in 0..3 {
            channel.doubt();
            sleep(Duration::from_secs(10)).await;
        }
        assert!(!channel.is_closed(), "nobody waits for anything");
        let lane = channel.place();
        let asked = spawn_local(async move { matches!(lane.send(get()).await, Err(Unanswered::Failed(_))) });
        channel.doubt();
        sleep(Duration::from_secs(10)).await;
        assert!(!channel.is_closed(), "it is asked first");
        channel.doubt();
        assert!(asked.await.unwrap(), "whoever waited hears of it");
        assert!(channel.is_closed());
        drop(far);
    });
}

#[test]
fn what_is_sent_after_a_server_says_goodbye_comes_back_unsent() {
    on_a_worker(async {
        let (near, far) = duplex(1 << 20);
        let (going, gone) = tokio::sync::oneshot::channel::<()>();
        spawn_local(async move {
            let mut server = server::handshake(far).await.unwrap();
            gone.await.unwrap();
            server.graceful_shutdown();
            while let Some(Ok(_)) = server.accept().await {}
        });
        let mut channel = Channel::open(Box::new(near)).await.unwrap();
        let lane = channel.place();
        going.send(()).unwrap();
        sleep(Duration::from_millis(10)).await;
        assert!(channel.is_closed());
        assert!(matches!(lane.send(get()).await, Err(Unanswered::Unsent(_))));
    });
}
