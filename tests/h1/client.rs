//! A client that sends bytes and reads responses as strictly as the recorder reads requests.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use weft_tests::eventually::PATIENCE;

use crate::recorder::show;

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    ended: bool,
}

/// A response as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// HTTP/1.0
    pub(crate) old: bool,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Why there is no response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The connection is closed, and nothing was said.
    Closed,
    /// It was closed within a response.
    Cut(String),
    /// Nothing for too long.
    Silent(String),
    /// What came is not HTTP, or says two things.
    Bad(String),
}

impl Response {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn says_close(&self) -> bool {
        match self.field("connection") {
            Some(value) => value.to_ascii_lowercase().contains("close"),
            None => self.old,
        }
    }
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = weft_tests::call::connect(addr).await;
        stream.set_nodelay(true).expect("an open socket");
        Self { stream, buffer: Vec::new(), ended: false }
    }

    /// Sends, as far as the other end takes it: it may refuse before it has all.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes)).await;
    }

    /// Sends byte by byte, each in a segment of its own.
    pub(crate) async fn send_in_pieces(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn end(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Interim responses are skipped, but for the one that is waited for.
    pub(crate) async fn response(&mut self, method: &str, interim: Option<u16>) -> Result<Response, Missing> {
        loop {
            let head =
                self.until(|buffer| buffer.windows(4).position(|end| end == b"\r\n\r\n").map(|end| end + 4));
            let end = head.await?;
            let mut response = head_of(&self.buffer[..end]).map_err(Missing::Bad)?;
            self.buffer.drain(..end);
            if interim == Some(response.status) {
                return Ok(response);
            }
            if (100..200).contains(&response.status) && response.status != 101 {
                continue;
            }
            response.body = self.body(&response, method).await?;
            return Ok(response);
        }
    }

    async fn body(&mut self, response: &Response, method: &str) -> Result<Vec<u8>, Missing> {
        let lengths: Vec<_> = response.fields.iter().filter(|(name, _)| name == "content-length").collect();
        let coding = response.field("transfer-encoding");
        if lengths.len() + usize::from(coding.is_some()) > 1 {
            return Err(Missing::Bad(format!("two lengths: {:?}", response.fields)));
        }
        if method == "HEAD" || matches!(response.status, 101 | 204 | 304) {
            return Ok(Vec::new());
        }
        if let Some((_, length)) = lengths.first() {
            let length: usize = length.parse().map_err(|_| Missing::Bad(format!("length {length}")))?;
            self.until(|buffer| (buffer.len() >= length).then_some(length)).await?;
            return Ok(self.buffer.drain(..length).collect());
        }
        match coding {
            Some("chunked") => self.chunks().await,
            Some(other) => Err(Missing::Bad(format!("coding {other}"))),
            None => {
                while self.more().await? {}
                Ok(std::mem::take(&mut self.buffer))
            }
        }
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, Missing> {
        let mut body = Vec::new();
        loop {
            let end = self.until(|buffer| buffer.windows(2).position(|end| end == b"\r\n")).await?;
            let size = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            let size = usize::from_str_radix(&size, 16).map_err(|_| Missing::Bad(format!("chunk {size}")))?;
            self.buffer.drain(..end + 2);
            if size == 0 {
                let end = self.until(|buffer| match buffer.starts_with(b"\r\n") {
                    true => Some(2),
                    false => buffer.windows(4).position(|end| end == b"\r\n\r\n").map(|end| end + 4),
                });
                let end = end.await?;
                self.buffer.drain(..end);
                return Ok(body);
            }
            self.until(|buffer| (buffer.len() >= size + 2).then_some(())).await?;
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
    }

    /// Reads exactly these bytes.
    pub(crate) async fn echo(&mut self, wanted: &[u8]) -> Result<(), Missing> {
        self.until(|buffer| (buffer.len() >= wanted.len()).then_some(())).await?;
        let got: Vec<_> = self.buffer.drain(..wanted.len()).collect();
        if got == wanted { Ok(()) } else { Err(Missing::Bad(show(&got))) }
    }

    /// Waits for the end of the connection; what comes instead is an error.
    pub(crate) async fn closed(&mut self) -> Result<(), String> {
        match self.more().await {
            Ok(false) | Err(Missing::Closed) if self.buffer.is_empty() => Ok(()),
            Err(Missing::Silent(_)) => Err("the connection stays open".to_owned()),
            _ => Err(format!("after the last response: {}", show(&self.buffer))),
        }
    }

    async fn until<T>(&mut self, found: impl Fn(&[u8]) -> Option<T>) -> Result<T, Missing> {
        loop {
            if let Some(found) = found(&self.buffer) {
                return Ok(found);
            }
            if !self.more().await? {
                return Err(match self.buffer.is_empty() {
                    true => Missing::Closed,
                    false => Missing::Cut(show(&self.buffer)),
                });
            }
        }
    }

    /// `false` at the end.
    async fn more(&mut self) -> Result<bool, Missing> {
        if self.ended {
            return Ok(false);
        }
        match timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await {
            Err(_) => Err(Missing::Silent(show(&self.buffer))),
            Ok(Ok(1..)) => Ok(true),
            // Closed with bytes of ours unread, it is reset.
            Ok(Ok(0) | Err(_)) => {
                self.ended = true;
                Ok(false)
            }
        }
    }
}

fn head_of(bytes: &[u8]) -> Result<Response, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let first = lines.next().unwrap_or_default();
    let old = first.starts_with("HTTP/1.0 ");
    let status = first.strip_prefix("HTTP/1.1 ").or_else(|| first.strip_prefix("HTTP/1.0 "));
    let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| format!("no status line: {first}"))?;
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("no colon: {line}"))?;
        if line.starts_with([' ', '\t']) || line.contains(['\r', '\n', '\0']) {
            return Err(format!("not one field: {line:?}"));
        }
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Response { status, old, fields, body: Vec::new() })
}
