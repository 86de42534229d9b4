//! An HTTP/1.1 application that writes down every byte it gets, and answers a request once it is whole.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft_tests::peer::Peer;

/// A running one.
#[derive(Debug)]
pub(crate) struct Recorder {
    peer: Peer,
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let connections: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let all = Arc::clone(&connections);
        let peer = Peer::start(move |stream| record(stream, Arc::clone(&all))).await;
        Self { peer, connections }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.peer.addr
    }

    /// What came on each connection since this was asked last, those without a byte left out.
    pub(crate) fn take(&self) -> Vec<String> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let text = |bytes: &mut Vec<u8>| String::from_utf8_lossy(&std::mem::take(bytes)).into_owned();
        connections.iter_mut().map(text).filter(|text| !text.is_empty()).collect()
    }
}

async fn record(mut stream: TcpStream, all: Arc<Mutex<Vec<Vec<u8>>>>) -> std::io::Result<()> {
    let nth = {
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Vec::new());
        all.len() - 1
    };
    let mut request = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        all.lock().unwrap_or_else(PoisonError::into_inner)[nth].extend_from_slice(&chunk[..read]);
        request.extend_from_slice(&chunk[..read]);
        if is_whole(&String::from_utf8_lossy(&request)) {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
            return stream.shutdown().await;
        }
    }
}

/// Whether this is a whole request, or more.
pub(crate) fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return body == "0\r\n\r\n" || body.contains("\r\n0\r\n");
    }
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    body.len() >= length.unwrap_or(0)
}
