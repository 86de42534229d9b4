//! HTTP/1.1, as little of it as an application needs that is asked by programs we know: requests without bodies, each
//! answered in one write.

use std::io;

use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The whole answer, head and body.
pub(super) fn answer(length: usize) -> Bytes {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n");
    let mut answer = head.into_bytes();
    answer.extend_from_slice(&super::body(length));
    answer.into()
}

/// Answers the requests of one connection.
pub(super) async fn serve(mut stream: TcpStream, answer: &[u8]) -> io::Result<()> {
    let mut read = Vec::with_capacity(ROOM);
    loop {
        while let Some(end) = head_ends(&read)? {
            read.drain(..end);
            stream.write_all(answer).await?;
        }
        if read.len() >= ROOM || stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
}

/// How long the first head in `read` is; `None`: it is not whole yet.
fn head_ends(read: &[u8]) -> io::Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let parsed = httparse::Request::new(&mut headers).parse(read);
    match parsed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete(length) => {
            let body = headers.iter().any(|header| {
                header.name.eq_ignore_ascii_case("transfer-encoding")
                    || (header.name.eq_ignore_ascii_case("content-length") && header.value != b"0")
            });
            if body { Err(io::Error::other("a request with a body")) } else { Ok(Some(length)) }
        }
    }
}

/// More than any head that a proxy makes of ours.
const ROOM: usize = 8192;
