//! The recorder on HTTP/1: a socket, the strict reader, and answers that say what they answer.
//!
//! The path says what is done besides: `/switch` switches protocols and repeats every byte.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Arrival, Log, lock};
use crate::reading::{Reading, Seen, read};

pub(super) async fn serve(mut stream: TcpStream, log: Arc<Mutex<Log>>) {
    let mut buffer = Vec::new();
    let mut continued = false;
    loop {
        match read(&buffer) {
            Reading::Whole(seen, used) => {
                buffer.drain(..used);
                continued = false;
                let switches = seen.target == "/switch" && seen.field("upgrade").is_some();
                let answer = if switches { SWITCHED.to_owned() } else { answer(&seen) };
                {
                    let mut log = lock(&log);
                    log.arrivals.push(Arrival::Whole(*seen));
                    log.open -= usize::from(buffer.is_empty());
                }
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return given_up(&log, &buffer, "the proxy takes no answer");
                }
                if switches {
                    return tunnel(stream, log, buffer).await;
                }
                continue;
            }
            Reading::Bad(why) => return given_up(&log, &buffer, &why),
            Reading::More { expects } => {
                if expects && !continued {
                    continued = true;
                    let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
                }
            }
        }
        let had = buffer.len();
        match stream.read_buf(&mut buffer).await {
            Ok(1..) => {
                let mut log = lock(&log);
                log.bytes += buffer.len() - had;
                log.raw.extend_from_slice(&buffer[had..]);
                log.open += usize::from(had == 0);
            }
            Ok(0) => return given_up(&log, &buffer, "cut short"),
            Err(error) => return given_up(&log, &buffer, &error.to_string()),
        }
    }
}

/// The connection ends here; what was left of a request is written down.
fn given_up(log: &Mutex<Log>, left: &[u8], why: &str) {
    if !left.is_empty() {
        let mut log = lock(log);
        log.arrivals.push(Arrival::Broken { raw: left.to_vec(), why: why.to_owned() });
        log.open -= 1;
    }
}

async fn tunnel(mut stream: TcpStream, log: Arc<Mutex<Log>>, early: Vec<u8>) {
    let mut chunk = early;
    if !chunk.is_empty() {
        // It came before we had switched.
        return given_up(&log, &chunk, "bytes before the switch");
    }
    while let Ok(1..) = stream.read_buf(&mut chunk).await {
        lock(&log).arrivals.push(Arrival::Tunnelled(chunk.clone()));
        if stream.write_all(&chunk).await.is_err() {
            return;
        }
        chunk.clear();
    }
}

fn answer(seen: &Seen) -> String {
    let said = format!("{} {}", seen.method, seen.target);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", said.len());
    if seen.method == "HEAD" { head } else { head + &said }
}

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
