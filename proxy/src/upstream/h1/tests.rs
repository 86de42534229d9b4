//! A connection and the server at its other end, which is a script.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::LocalSet;

use super::*;
use crate::gate::Rule;
use crate::message::body::Source;

/// A body that is sent in pieces, one each virtual millisecond.
struct Sent {
    pieces: VecDeque<Result<Frame<Bytes>, io::ErrorKind>>,
    length: Option<u64>,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Source for Sent {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_millis(1))));
        ready!(pause.as_mut().poll(cx));
        self.pause = None;
        let piece = self.pieces.pop_front();
        Poll::Ready(piece.map(|piece| piece.map_err(|kind| Broken::from(io::Error::from(kind)))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn data(text: &'static str) -> Result<Frame<Bytes>, io::ErrorKind> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn trailer(name: &'static str) -> Result<Frame<Bytes>, io::ErrorKind> {
    Ok(Frame::trailers(HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static("1"))])))
}

fn sent(length: Option<u64>, pieces: impl IntoIterator<Item = Result<Frame<Bytes>, io::ErrorKind>>) -> Body {
    Body::read(Box::new(Sent { pieces: pieces.into_iter().collect(), length, pause: None }))
}

fn request(method: &str, fields: &[(&'static str, &'static str)], body: Body) -> Box<Request<Body>> {
    let mut request = Request::builder().method(method).uri("/a?b").header("host", "api");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    Box::new(request.body(body).unwrap())
}

fn get() -> Box<Request<Body>> {
    request("GET", &[], Body::empty())
}

/// Where connections come back to.
#[derive(Clone, Default)]
struct Home(Rc<RefCell<Vec<Connection>>>);

impl Home {
    fn back(&self) -> impl FnOnce(Connection) + 'static {
        let home = self.clone();
        move |connection| home.0.borrow_mut().push(connection)
    }

    fn is_back(&self) -> bool {
        !self.0.borrow().is_empty()
    }
}

fn connection() -> (Connection, DuplexStream) {
    let (near, far) = duplex(1 << 16);
    (Connection::new(Box::new(near)), far)
}

/// Runs on one thread, as a worker does.
fn on_a_worker<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

/// All that a server hears until there is silence.
async fn heard(far: &mut DuplexStream) -> String {
    let (mut heard, mut piece) = (Vec::new(), [0; 512]);
    while let Ok(Ok(n @ 1..)) = tokio::time::timeout(Duration::from_millis(50), far.read(&mut piece)).await {
        heard.extend_from_slice(&piece[..n]);
    }
    String::from_utf8(heard).unwrap()
}

#[test]
fn a_request_is_written_as_its_body_is_framed() {
    const HEAD: &str = "/a?b HTTP/1.1\r\nhost: api\r\n";
    let table = [
        (get(), format!("GET {HEAD}\r\n")),
        (request("POST", &[], Body::empty()), format!("POST {HEAD}content-length: 0\r\n\r\n")),
        (
            request("GET", &[("content-length", "0")], Body::empty()),
            format!("GET {HEAD}content-length: 0\r\n\r\n"),
        ),
        (
            request("POST", &[], Body::full(Bytes::from_static(b"hi"))),
            format!("POST {HEAD}content-length: 2\r\n\r\nhi"),
        ),
        (
            request("PUT", &[("content-length", "7")], sent(Some(4), [data("ab"), data("cd")])),
            format!("PUT {HEAD}content-length: 4\r\n\r\nabcd"),
        ),
        (
            request("GET", &[], sent(None, [data("ab"), data(""), data("0123456789abcdef")])),
            format!(
                "GET {HEAD}transfer-encoding: chunked\r\n\r\n2\r\nab\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
            ),
        ),
        (
            request("PUT", &[("trailer", "x-a, x-b")], sent(None, [data("ab"), trailer("x-b")])),
            format!(
                "PUT {HEAD}trailer: x-a, x-b\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-b: 1\r\n\r\n"
            ),
        ),
        (
            request("PUT", &[("trailer", "x-a")], sent(None, [data("ab"), trailer("x-b")])),
            format!("PUT {HEAD}trailer: x-a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"),
        ),
    ];
    let mut without_path = get();
    *without_path.uri_mut() = "http://api?b".parse().unwrap();
    let table = table.into_iter().chain([(without_path, "GET /?b HTTP/1.1\r\nhost: api\r\n\r\n".to_owned())]);
    for (request, want) in table {
        on_a_worker(async {
            let (connection, mut far) = connection();
            tokio::task::spawn_local(async move { drop(connection.send(request, |_| {}).await) });
            assert_eq!(heard(&mut far).await, want);
        });
    }
}

#[test]
fn a_body_that_is_not_as_long_as_it_says_does_not_go_on_as_if_it_were() {
    for pieces in [vec![data("abc")], vec![data("ab"), data("cde")], vec![data("ab")], vec![]] {
        on_a_worker(async {
            let (connection, mut far) = connection();
            let request = request("PUT", &[], sent(Some(4), pieces));
            let answer =
                tokio::task::spawn_local(async move { connection.send(request, |_| {}).await.is_ok() });
            heard(&mut far).await;
            far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok();
            far.shutdown().await.ok();
            answer.await.unwrap();
            assert_eq!(far.read(&mut [0]).await.unwrap_or(0), 0, "the connection is closed");
        });
    }
}

/// What becomes of an answer: its status, body and trailers; whether its connection can be used again.
type Came = Result<(u16, &'static str, Option<&'static str>, bool), Option<Rule>>;

#[test]
fn an_answer_ends_where_it_says_and_leaves_a_connection_that_is_clean_or_none() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let table: &[(&str, String, Came)] = &[
        ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".into(), Ok((200, "hi", None, true))),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n".into(), Ok((204, "", None, true))),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n".into(), Ok((200, "", None, true))),
        ("GET", "HTTP/1.1 200 OK\ncontent-length: 2\n\nhi".into(), Ok((200, "hi", None, true))),
        (
            "GET",
            "HTTP/1.1 103 \r\nlink: a\r\n\r\nHTTP/1.1 200 \r\ncontent-length: 1\r\n\r\na".into(),
            Ok((200, "a", None, true)),
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 1\r\n\r\na".into(),
            Ok((200, "a", None, false)),
        ),
        ("GET", "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na".into(), Ok((200, "a", None, false))),
        (
            "GET",
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na".into(),
            Ok((200, "a", None, true)),
        ),
        ("GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end".into(), Ok((200, "until the end", None, false))),
        // What nobody asked for would be the answer to somebody else's request.
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 200 OK\r\n".into(),
            Ok((200, "a", None, false)),
        ),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".into(), Ok((200, "", None, false))),
        ("GET", format!("{CHUNKED}2\r\nhi\r\n1;x\r\n!\r\n0\r\n\r\n"), Ok((200, "hi!", None, true))),
        ("GET", format!("{CHUNKED}2\r\nhi\r\n0\r\nx-a: 1\r\n\r\n"), Ok((200, "hi", Some("x-a=1"), true))),
        ("GET", format!("{CHUNKED}0\r\n\r\nmore"), Ok((200, "", None, false))),
        ("GET", format!("{CHUNKED}2\r\nhi"), Err(None)),
        ("GET", format!("{CHUNKED}2\r\nhi\r\n0x1\r\n"), Err(Some(Rule::ChunkSize))),
        ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi".into(), Err(None)),
        ("GET", "HTTP/1.1 200 OK\r\ncontent-le".into(), Err(None)),
        ("GET", String::new(), Err(None)),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na".into(),
            Err(Some(Rule::ContentLength)),
        ),
        ("GET", "HTTP/1.1 100 \r\n\r\n".repeat(17), Err(Some(Rule::TooManyInterim))),
        ("GET", "SSH-2.0-OpenSSH\r\n".into(), Err(Some(Rule::StatusLine))),
    ];
    for (method, said, want) in table {
        for size in [1, 7, said.len().max(1)] {
            on_a_worker(async {
                let (connection, mut far) = connection();
                let home = Home::default();
                let pieces = async {
                    for piece in said.as_bytes().chunks(size) {
                        far.write_all(piece).await.ok();
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    far.shutdown().await.ok();
                };
                let came = async {
                    let (answer, _) = connection
                        .send(request(method, &[], Body::empty()), home.back())
                        .await
                        .map_err(|error| match error {
                            Unanswered::Failed(error) => Rule::behind(&error),
                            _ => panic!("the request has left"),
                        })?;
                    let status = answer.status().as_u16();
                    let body = answer.into_body().collect().await.map_err(|error| Rule::behind(&error))?;
                    let trailers = body.trailers().map(|all| {
                        all.iter()
                            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
                            .collect()
                    });
                    Ok((status, body.to_bytes(), trailers))
                };
                let ((), came) = tokio::join!(pieces, came);
                // In pieces, what comes after the end comes when the connection has gone back.
                let mut clean = home.0.borrow_mut().pop();
                let clean =
                    clean.as_mut().is_some_and(|connection| said.is_empty() || !connection.is_quiet());
                let came = came
                    .map(|(status, body, trailers): (_, _, Option<String>)| (status, body, trailers, clean));
                let got = came.as_ref().map(|(status, body, trailers, clean)| {
                    (*status, std::str::from_utf8(body).unwrap(), trailers.as_deref(), *clean)
                });
                let got = got.map_err(|rule| *rule);
                match want {
                    Ok((status, body, trailers, true)) => {
                        assert_eq!(got, Ok((*status, *body, *trailers, true)), "{said:?}")
                    }
                    Ok((status, body, trailers, false)) => {
                        assert_eq!(
                            got.map(|got| (got.0, got.1, got.2)),
                            Ok((*status, *body, *trailers)),
                            "{said:?}"
                        );
                    }
                    Err(rule) => assert_eq!(got.map(|_| ()), Err(*rule), "{said:?} in pieces of {size}"),
                }
            });
        }
    }
}

#[test]
fn a_connection_on_which_more_came_than_was_asked_for_carries_no_other_request() {
    for said in [
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nmore",
    ] {
        on_a_worker(async {
            let (connection, mut far) = connection();
            let home = Home::default();
            far.write_all(said.as_bytes()).await.unwrap();
            let (answer, _) = connection.send(get(), home.back()).await.unwrap_or_else(|_| panic!("{said}"));
            answer.into_body().collect().await.unwrap();
            assert!(!home.is_back(), "{said:?}");
        });
    }
}

#[test]
fn a_large_answer_comes_in_large_pieces_and_all_that_came_before_it_broke() {
    for (length, sent) in [(200_000, 200_000), (200_000, 150_000)] {
        on_a_worker(async {
            let (near, mut far) = duplex(1 << 20);
            far.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes())
                .await
                .unwrap();
            far.write_all(&vec![b'a'; sent]).await.unwrap();
            far.shutdown().await.unwrap();
            let Ok((answer, _)) = Connection::new(Box::new(near)).send(get(), |_| {}).await else {
                panic!("it came")
            };
            let (mut body, mut came, mut pieces) = (answer.into_body(), 0, 0);
            let broke = loop {
                match body.frame().await {
                    None => break false,
                    Some(Err(_)) => break true,
                    Some(Ok(frame)) => (came, pieces) = (came + frame.into_data().unwrap().len(), pieces + 1),
                }
            };
            assert_eq!((came, broke), (sent, sent < length));
            assert!(pieces <= 6, "{pieces} pieces");
        });
    }
}

#[test]
fn one_that_says_something_unasked_or_closes_is_not_asked_again() {
    on_a_worker(async {
        for said in ["HTTP/1.1 408 Request Timeout\r\n\r\n", ""] {
            let (mut connection, mut far) = connection();
            assert!(connection.is_quiet());
            far.write_all(said.as_bytes()).await.unwrap();
            far.shutdown().await.unwrap();
            assert!(!connection.is_quiet(), "{said:?}");
        }
    });
}

#[test]
fn what_is_left_of_a_request_goes_on_after_the_answer_and_the_connection_with_it() {
    on_a_worker(async {
        let (connection, mut far) = connection();
        let home = Home::default();
        let request = request("PUT", &[], sent(Some(6), [data("ab"), data("cd"), data("ef")]));
        far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n").await.unwrap();
        let Ok((answer, _)) = connection.send(request, home.back()).await else {
            panic!("an answer has come")
        };
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(heard(&mut far).await.ends_with("\r\n\r\nabcdef"), "nobody reads the answer, and it goes on");
        far.write_all(b"done").await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "done");
        assert!(home.is_back());
    });
}

#[test]
fn an_answer_before_the_end_of_its_request_leaves_no_connection() {
    on_a_worker(async {
        let (connection, mut far) = connection();
        let home = Home::default();
        let request = request("PUT", &[], sent(Some(6), [data("ab"), data("cd"), data("ef")]));
        far.write_all(b"HTTP/1.1 413 \r\ncontent-length: 2\r\n\r\nno").await.unwrap();
        let Ok((answer, _)) = connection.send(request, home.back()).await else {
            panic!("an answer has come")
        };
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "no");
        assert!(heard(&mut far).await.ends_with("abcdef"), "the server may read the rest");
        assert!(!home.is_back());
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0, "and then it is closed");
    });
}

#[test]
fn an_answer_is_heard_from_a_server_that_takes_no_more() {
    on_a_worker(async {
        let (near, mut far) = duplex(16);
        let home = Home::default();
        let request =
            request("PUT", &[], sent(Some(100_000), vec![Ok(Frame::data(vec![b'a'; 100_000].into()))]));
        let answer = tokio::task::spawn_local(Connection::new(Box::new(near)).send(request, home.back()));
        far.read_exact(&mut [0; 8]).await.unwrap();
        far.write_all(b"HTTP/1.1 413 \r\n\r\n").await.unwrap();
        drop(far);
        let Ok(Ok((answer, _))) = answer.await else { panic!("it has been said") };
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
        drop(answer);
        assert!(!home.is_back());
    });
}

#[test]
fn a_request_of_which_nothing_left_is_given_back_whole() {
    on_a_worker(async {
        let (connection, far) = connection();
        drop(far);
        let request = request("PUT", &[("x-a", "1")], sent(Some(2), [data("hi")]));
        let Err(Unanswered::Unsent(request)) = connection.send(request, |_| {}).await else {
            panic!("nobody is there")
        };
        assert_eq!(request.headers()["x-a"], "1");
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "hi");
    });
}

#[test]
fn a_client_that_breaks_off_is_to_blame_itself() {
    on_a_worker(async {
        let (connection, _far) = connection();
        let request = request("PUT", &[], sent(None, [data("ab"), Err(io::ErrorKind::ConnectionReset)]));
        assert!(matches!(connection.send(request, |_| {}).await, Err(Unanswered::BrokenOff(_))));
    });
}

#[test]
fn a_server_that_switches_leaves_a_tunnel_with_all_that_it_has_said_since() {
    on_a_worker(async {
        let (connection, mut far) = connection();
        let home = Home::default();
        far.write_all(b"HTTP/1.1 101 \r\nupgrade: x\r\n\r\nhello").await.unwrap();
        let request = request("GET", &[("connection", "upgrade"), ("upgrade", "x")], Body::empty());
        let Ok((answer, Some(mut tunnel))) = connection.send(request, home.back()).await else {
            panic!("it has agreed")
        };
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut said = [0; 5];
        tunnel.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"hello");
        heard(&mut far).await;
        tunnel.write_all(b"\0").await.unwrap();
        assert_eq!(heard(&mut far).await, "\0");
        assert!(!home.is_back());
    });
}
