//! One line of JSON per request, and per opaque connection, for people who search logs.
//!
//! A worker serialises the line and hands it to a thread through a bounded channel; if the disk (or whoever reads
//! standard output) is slow, lines are dropped and counted, and no request waits.
//!
//! What is never in a line: header values, bodies, query strings. What a peer chose (method, path) is cut to a length
//! and escaped to printable ASCII, so that a line stays one line and a terminal stays as it was.

mod ascii;
mod connection;
mod timestamp;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use serde::ser::{SerializeMap as _, Serializer as _};

use super::metrics::{Count, Direction};
use super::trace::TraceId;
pub use connection::Connection;

/// Where lines go. Cheap to clone; [`AccessLog::off`] costs a comparison per request.
#[derive(Clone, Debug)]
pub struct AccessLog(Option<Sink>);

#[derive(Clone, Debug)]
struct Sink {
    lines: SyncSender<Box<[u8]>>,
    dropped: Count,
}

/// The other end of an [`AccessLog`]: run it on a thread of its own.
#[derive(Debug)]
pub struct AccessLogWriter(Receiver<Box<[u8]>>);

/// A request, as its line tells it. Borrowed: nothing is copied before it is known that there is a log.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When the request head was complete.
    pub time: SystemTime,
    /// The trace it belongs to.
    pub trace_id: Option<TraceId>,
    /// Which way.
    pub direction: Direction,
    /// The proven identity of the caller.
    pub peer: Option<&'a str>,
    /// The service it was for.
    pub service: Option<&'a str>,
    /// The route object that matched (`HTTPRoute shop/split`).
    pub route: Option<&'a str>,
    /// Which rule of it: its name, or its position.
    pub rule: Option<&'a str>,
    /// The backend that was chosen.
    pub backend: Option<&'a str>,
    /// The endpoint that answered, or was tried last.
    pub endpoint: Option<SocketAddr>,
    /// The method, as sent.
    pub method: &'a str,
    /// The path. A query string, should one be left in it, is cut off.
    pub path: &'a str,
    /// The status that the client got.
    pub status: u16,
    /// The code of a gRPC call, whose HTTP status is 200 whatever became of it; `None` where it has not been said.
    pub grpc_status: Option<u16>,
    /// The token of the refusal, where the proxy answered.
    pub refusal: Option<&'a str>,
    /// The policy object that the refusal names.
    pub policy: Option<&'a str>,
    /// The rule of HTTP that the request broke, or the response.
    pub broken: Option<&'a str>,
    /// From the complete request head to the end of the response.
    pub took: Duration,
    /// Body bytes from the client.
    pub request_bytes: u64,
    /// Body bytes to the client.
    pub response_bytes: u64,
    /// How many times the request was sent again.
    pub retries: u32,
    /// The seed of every draw of this request: with it, `meshctl explain --draw` repeats the choice.
    pub draw: u64,
}

impl AccessLog {
    /// No log.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// A log that holds at most `capacity` lines which are not written yet; `dropped` counts the others.
    #[must_use]
    pub fn bounded(capacity: usize, dropped: Count) -> (Self, AccessLogWriter) {
        let (lines, waiting) = sync_channel(capacity);
        (Self(Some(Sink { lines, dropped })), AccessLogWriter(waiting))
    }

    /// Whether it is worth making an [`Entry`].
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Hands a request's line over, or drops it. Never waits.
    pub fn write(&self, entry: &Entry<'_>) {
        self.hand_over(|| entry.line());
    }

    /// Hands an opaque connection's line over, or drops it. Never waits.
    pub fn write_connection(&self, connection: &Connection<'_>) {
        self.hand_over(|| connection.line());
    }

    fn hand_over(&self, line: impl FnOnce() -> Vec<u8>) {
        let Some(sink) = &self.0 else { return };
        if sink.lines.try_send(line().into_boxed_slice()).is_err() {
            sink.dropped.increment();
        }
    }
}

impl AccessLogWriter {
    /// Writes lines until every [`AccessLog`] is gone, flushing whenever none is waiting. Blocks; give it a thread.
    ///
    /// # Errors
    /// The first error of `out`. From then on, lines are dropped and counted.
    pub fn run(self, out: impl Write) -> io::Result<()> {
        let mut out = io::BufWriter::with_capacity(BUFFER, out);
        while let Ok(line) = self.0.recv() {
            out.write_all(&line)?;
            while let Ok(line) = self.0.try_recv() {
                out.write_all(&line)?;
            }
            out.flush()?;
        }
        out.flush()
    }
}

type Json<'l> = serde_json::Serializer<&'l mut Vec<u8>, ascii::PrintableAscii>;

/// A line, with its line break.
fn line(fields: impl FnOnce(&mut Json<'_>) -> serde_json::Result<()>) -> Vec<u8> {
    let mut line = Vec::with_capacity(TYPICAL_LINE);
    let mut json = serde_json::Serializer::with_formatter(&mut line, ascii::PrintableAscii);
    fields(&mut json).expect("text and numbers are JSON, and a Vec takes every byte");
    line.push(b'\n');
    line
}

impl Entry<'_> {
    fn line(&self) -> Vec<u8> {
        line(|json| self.fields(json))
    }

    fn fields(&self, json: &mut Json<'_>) -> serde_json::Result<()> {
        let mut map = json.serialize_map(None)?;
        map.serialize_entry("time", &timestamp::rfc3339(self.time))?;
        if let Some(trace_id) = self.trace_id {
            map.serialize_entry("trace_id", &trace_id.to_string())?;
        }
        map.serialize_entry("direction", self.direction.label())?;
        for (name, text) in [
            ("peer", self.peer),
            ("service", self.service),
            ("route", self.route),
            ("rule", self.rule),
            ("backend", self.backend),
        ] {
            if let Some(text) = text {
                map.serialize_entry(name, cut(text, MAX_NAME))?;
            }
        }
        if let Some(endpoint) = self.endpoint {
            map.serialize_entry("endpoint", &endpoint.to_string())?;
        }
        let path = self.path.split(['?', '#']).next().unwrap_or_default();
        map.serialize_entry("method", cut(self.method, MAX_METHOD))?;
        map.serialize_entry("path", cut(path, MAX_PATH))?;
        map.serialize_entry("status", &self.status)?;
        if let Some(code) = self.grpc_status {
            map.serialize_entry("grpc_status", &code)?;
        }
        for (name, text) in [("refusal", self.refusal), ("policy", self.policy), ("broken_rule", self.broken)]
        {
            if let Some(text) = text {
                map.serialize_entry(name, cut(text, MAX_NAME))?;
            }
        }
        map.serialize_entry("duration_us", &micros(self.took))?;
        map.serialize_entry("request_bytes", &self.request_bytes)?;
        map.serialize_entry("response_bytes", &self.response_bytes)?;
        map.serialize_entry("retries", &self.retries)?;
        // As text: beyond 2^53, readers of JSON make another number of it.
        map.serialize_entry("draw", &format!("{:016x}", self.draw))?;
        map.end()
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// At most `limit` bytes, whole characters.
fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// A SPIFFE ID may have 2048 bytes; those in use have a tenth.
const MAX_NAME: usize = 512;
const MAX_METHOD: usize = 32;
const MAX_PATH: usize = 1024;
const TYPICAL_LINE: usize = 512;
const BUFFER: usize = 64 * 1024;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
