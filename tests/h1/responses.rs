//! Every vector of `vectors/responses`: an origin that answers with these bytes, in plaintext behind one sidecar and
//! over mTLS behind two.
//!
//! What can be expected:
//! - `refused`: the client gets 502 and `weft-error`. `accept STATUS [BODY]`: it gets this.
//! - `cut`: it gets a response that breaks off, or `refused`.
//! - `or …`: that would be right as well.
//! - `keeps`: the origin's connection may be used again. Without it, it must be closed, and carries nothing more.
//! - `asks METHOD`: instead of GET. POST leaves out half of its body until an answer has come; with `stalls` it never
//!   sends the rest, and goes when others have been answered.
//!
//! Always: no client gets two lengths, and the next one gets the answer to its own request.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use weft_tests::eventually::PATIENCE;
use weft_tests::figures::report;
use weft_tests::mesh::Mesh;
use weft_tests::peer::Peer;

use crate::client::{Client, Missing, Response};
use crate::corpus::{self, Step, Vector, unescape};
use crate::reading::{Reading, read};
use crate::recorder::show;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_breaks_http_harms_the_request_that_asked_it_and_no_other() {
    let vectors = corpus::read("responses");
    let mesh = Mesh::start(
        "{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop}, spec: {selector: {app: api},
          ports: [{name: it, port: 80, targetPort: it, appProtocol: http}]}}",
    )
    .await;
    let (near, far) = (Evil::start().await, Evil::start().await);
    let alone = mesh.beside("shop/alone").port("it", near.addr).start().await;
    let _api = mesh.beside("shop/api").port("it", far.addr).start().await;
    let web = mesh.beside("shop/web").set("WEFT_LOCAL_PORTS", "127.0.0.1:0=api.shop:80").start().await;
    mesh.serves("shop/api", 80, 1).await;
    let lanes = [("inbound", alone.inbound, &near), ("mesh", web.fixed[0], &far)];
    let mut table = String::new();
    let mut count = 0;
    for vector in &vectors {
        for (lane, addr, evil) in &lanes {
            if let Err(fault) = try_one(vector, *addr, evil).await {
                count += 1;
                let _ = writeln!(table, "{lane:<11} {:<28} {} | {fault}", vector.id, vector.title);
            }
        }
    }
    assert!(count == 0, "{count} faults:\n{table}");
    report(
        2,
        format!(
            "{} responses of a hostile origin on {} ways, 0 harmed another request",
            vectors.len(),
            lanes.len()
        ),
        true,
    );
}

async fn try_one(vector: &Vector, addr: SocketAddr, evil: &Evil) -> Result<(), String> {
    evil.play(vector);
    let method = vector.all("asks").next().unwrap_or("GET");
    let mut client = Client::connect(addr).await;
    let body = if method == "POST" { "Content-Length: 10\r\n\r\nhello" } else { "\r\n" };
    client.send(format!("{method} /evil HTTP/1.1\r\nHost: api.shop\r\n{body}").as_bytes()).await;
    let got = client.response(method, None).await;
    let stalls = vector.all("stalls").next().is_some();
    if method == "POST" && !stalls {
        client.send(b"world").await;
    }
    let told = match &got {
        Ok(response) => format!("got {} {:?} {}", response.status, response.fields, show(&response.body)),
        Err(missing) => format!("got {missing:?}"),
    };
    let right = vector.expected.iter().any(|(word, argument)| match (word.as_str(), argument.as_str()) {
        ("or", text) => {
            let (word, argument) = text.split_once(' ').unwrap_or((text, ""));
            is_right(word, argument, &got)
        }
        (word, argument) => is_right(word, argument, &got),
    });
    let mut faults = Vec::new();
    if !right {
        faults.push(told);
    }
    let client = stalls.then_some(client);
    for nth in 0..2 {
        let mut next = Client::connect(addr).await;
        let target = format!("/next/{nth}");
        next.send(format!("GET {target} HTTP/1.1\r\nHost: api.shop\r\n\r\n").as_bytes()).await;
        match next.response("GET", None).await {
            Ok(response) if response.status == 200 && response.body == target.as_bytes() => {}
            other => faults.push(format!("the next client gets {other:?}")),
        }
    }
    drop(client);
    if vector.all("keeps").next().is_none() {
        faults.extend(evil.abandoned().await.err());
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

fn is_right(word: &str, argument: &str, got: &Result<Response, Missing>) -> bool {
    let is_refused = |response: &Response| response.status == 502 && response.field("weft-error").is_some();
    match (word, got) {
        ("refused", Ok(response)) => is_refused(response),
        ("cut", Err(Missing::Closed | Missing::Cut(_))) => true,
        ("cut", Ok(response)) => is_refused(response),
        ("accept", Ok(response)) => {
            let (status, body) = argument.split_once(' ').unwrap_or((argument, ""));
            response.status.to_string() == status && unescape(body).is_ok_and(|body| body == response.body)
        }
        _ => false,
    }
}

/// An origin that answers `/evil` with the bytes of a vector and everything else as it should.
#[derive(Debug)]
struct Evil {
    addr: SocketAddr,
    play: Arc<Mutex<Play>>,
    _peer: Peer,
}

/// What is played now, and what became of the connections it was played on.
#[derive(Debug, Default)]
struct Play {
    steps: Vec<(Vec<u8>, bool)>,
    /// Which vector it is.
    turn: usize,
    /// The connection goes on as if nothing had been.
    keeps: bool,
    /// Connections that carried it and are still open.
    open: usize,
    /// What came on them afterwards.
    after: Vec<u8>,
    /// The request that was under way may still send the rest of its body.
    rest: usize,
}

impl Evil {
    async fn start() -> Self {
        let play = Arc::<Mutex<Play>>::default();
        let shared = Arc::clone(&play);
        let peer = Peer::start(move |stream| {
            let play = Arc::clone(&shared);
            async move {
                serve(stream, play).await;
                Ok(())
            }
        })
        .await;
        Self { addr: peer.addr, play, _peer: peer }
    }

    fn play(&self, vector: &Vector) {
        let steps = vector.steps.iter().map(|step| match step {
            Step::Send(bytes) => (bytes.clone(), false),
            Step::End => (Vec::new(), true),
            other => panic!("{}: an origin cannot {other:?}", vector.id),
        });
        let steps = steps.collect();
        let keeps = vector.all("keeps").next().is_some();
        let rest = if vector.all("asks").any(|method| method == "POST") { "helloworld".len() } else { 0 };
        let mut play = lock(&self.play);
        *play = Play { steps, keeps, rest, turn: play.turn + 1, ..Play::default() };
    }

    /// Waits until every connection that carried the vector is closed, and nothing has come on it.
    async fn abandoned(&self) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        loop {
            {
                let play = lock(&self.play);
                if play.after.len() > play.rest {
                    return Err(format!("the origin's connection was used again: {}", show(&play.after)));
                }
                if play.open == 0 {
                    return Ok(());
                }
            }
            if Instant::now() > end {
                return Err("the origin's connection stays open".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn serve(mut stream: TcpStream, play: Arc<Mutex<Play>>) {
    let mut buffer = Vec::new();
    let mut answered = false;
    loop {
        let is_evil = buffer.windows(4).any(|end| end == b"\r\n\r\n") && has(&buffer, b" /evil ");
        if is_evil && !answered {
            if !lock(&play).keeps {
                return perform(stream, &play).await;
            }
            let steps: Vec<u8> = lock(&play).steps.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
            answered = true;
            if stream.write_all(&steps).await.is_err() {
                return;
            }
        }
        if let Reading::Whole(seen, used) = read(&buffer) {
            buffer.drain(..used);
            if std::mem::take(&mut answered) {
                continue;
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", seen.target.len());
            if stream.write_all((head + &seen.target).as_bytes()).await.is_err() {
                return;
            }
            continue;
        }
        if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

/// Answers with what is played, and listens to what comes then.
async fn perform(mut stream: TcpStream, play: &Mutex<Play>) {
    let (steps, turn) = {
        let mut play = lock(play);
        play.open += 1;
        (play.steps.clone(), play.turn)
    };
    let (mut read, mut write) = stream.split();
    let saying = async {
        for (bytes, ends) in &steps {
            // Whoever refuses an answer need not take all of it.
            let _ = write.write_all(bytes).await;
            if *ends {
                let _ = write.shutdown().await;
            }
        }
        std::future::pending::<()>().await;
    };
    let hearing = async {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = read.read(&mut chunk).await {
            let mut play = lock(play);
            if play.turn == turn {
                play.after.extend_from_slice(&chunk[..count]);
            }
        }
    };
    tokio::select! {
        () = saying => {}
        () = hearing => {}
    }
    drop(stream);
    let mut play = lock(play);
    if play.turn == turn {
        play.open -= 1;
    }
}

fn has(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn lock(play: &Mutex<Play>) -> MutexGuard<'_, Play> {
    play.lock().unwrap_or_else(PoisonError::into_inner)
}
