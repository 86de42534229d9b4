//! A kubelet's questions to real sockets: what is asked of the application, and what is answered.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// An application that answers every request so, and tells what it was asked.
async fn application(answer: &'static str) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, hear) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap_or(0);
            let _gone = told.send(String::from_utf8_lossy(&head[..read]).into_owned());
            let _gone = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, hear)
}

/// A desk for these questions; its address.
async fn desk(questions: &str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let questions = question::questions(questions).unwrap().into();
    tokio::spawn(Desk { questions, proxy: Asked::default() }.serve(listener));
    addr
}

async fn ask(desk: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(desk).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_question_reaches_the_application_as_its_author_has_written_it() {
    let (port, mut heard) = application("HTTP/1.1 204 No Content\r\n\r\n").await;
    let desk =
        desk(&format!(r#"[{{"at":"/probe/api/readiness","port":{port},"http":"/ready?deep=1"}}]"#)).await;
    let own = format!(
        "GET /probe/api/readiness HTTP/1.1\r\nHost: {desk}\r\nUser-Agent: kube-probe/1.34\r\nX-Why: probe\r\n\r\n"
    );
    let answer = ask(desk, &own).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let asked = heard.recv().await.unwrap().to_ascii_lowercase();
    for part in [
        "get /ready?deep=1 http/1.1\r\n",
        "user-agent: kube-probe/1.34",
        "x-why: probe",
        &format!(":{port}\r\n"),
    ] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    ask(desk, "GET /probe/api/readiness HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    let asked = heard.recv().await.unwrap().to_ascii_lowercase();
    assert!(asked.contains("host: shop.example\r\n") && asked.matches("host:").count() == 1, "{asked}");
}

#[tokio::test]
async fn each_gets_its_answer_and_nothing_else_of_the_application() {
    let (sick, _) = application("HTTP/1.1 500 Oh\r\nContent-Length: 6\r\n\r\nsecret").await;
    let (moved, _) = application("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n").await;
    let (_kept, closed) = closed_port();
    let desk = desk(&format!(
        r#"[{{"at":"/probe/a/liveness","port":{sick},"http":"/"}},{{"at":"/probe/b/liveness","port":{moved},"http":"/"}},
            {{"at":"/probe/c/startup","port":{moved}}},{{"at":"/probe/d/startup","port":{closed}}},
            {{"at":"/probe/e/liveness","port":{sick},"grpc":""}}]"#
    ))
    .await;
    for (asked, expected) in [
        ("GET /probe/a/liveness", "503"),
        ("GET /probe/b/liveness", "200"),
        ("GET /probe/c/startup", "200"),
        ("GET /probe/d/startup", "503"),
        ("GET /probe/e/liveness", "503"),
        ("GET /probe/a/readiness", "404"),
        ("GET /", "404"),
        ("GET /ready", "503"),
        ("POST /probe/c/startup", "405"),
    ] {
        let answer = ask(desk, &format!("{asked} HTTP/1.1\r\nHost: {desk}\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{asked}: {answer}");
        assert!(!answer.contains("secret"), "{answer}");
    }
}

/// A port that stays bound and never listens: every connection to it is refused.
fn closed_port() -> (tokio::net::TcpSocket, u16) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

#[test]
fn the_setting_is_understood_or_refused_whole() {
    for (text, expected) in [
        ("[]", Ok(0)),
        (r#"[{"at":"/probe/a/startup","port":80}]"#, Ok(1)),
        ("", Err("no list")),
        (r#"{"at":"/probe/a"}"#, Err("no list")),
        (r#"[{"at":"/probe/a/startup","port":80,"exec":"rm"}]"#, Err("unknown field")),
        (r#"[{"at":"/ready","port":80}]"#, Err("begins with")),
        (r#"[{"at":"/probe/a/startup","port":0}]"#, Err("no port")),
        (r#"[{"at":"/probe/a/startup","port":80,"http":"/","grpc":""}]"#, Err("name one")),
    ] {
        match (question::questions(text), expected) {
            (Ok(found), Ok(count)) => assert_eq!(found.len(), count, "{text}"),
            (Err(why), Err(part)) => assert!(why.contains(part), "{text}: {why}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }
}
