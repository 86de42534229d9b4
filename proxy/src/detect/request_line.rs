//! HTTP by its first line: the HTTP/2 preface, or an HTTP/1 request line (RFC 9112 §3).
//!
//! A method and a space are not enough: `EHLO example.org`, `SET key value` and `USER anonymous` begin the same way.
//! A method of RFC 9110 (or PATCH) followed by a path decides at once; anything else must show ` HTTP/1.` as well.

use super::Detected;
use crate::message::text::{MAX_METHOD, is_token};

pub(super) fn detect(seen: &[u8]) -> Detected {
    if seen.starts_with(PREFACE) {
        return Detected::Http2;
    }
    if PREFACE.starts_with(seen) {
        return Detected::NeedMore;
    }
    match read(seen) {
        Line::Request => Detected::Http1,
        Line::Cut => Detected::NeedMore,
        Line::Other => Detected::Opaque,
    }
}

/// With no more bytes to come: a line that has been a request so far is HTTP, and is answered as one that is too
/// long. Otherwise a method nobody knows and a long enough path would be a way around every rule.
pub(super) fn at_the_bound(seen: &[u8]) -> Detected {
    let method_is_complete = skip_empty_lines(seen).iter().take(MAX_METHOD + 1).any(|byte| *byte == b' ');
    match read(seen) {
        Line::Cut if method_is_complete => Detected::Http1,
        _ => Detected::Opaque,
    }
}

enum Line {
    Request,
    /// A request line so far.
    Cut,
    Other,
}

fn read(seen: &[u8]) -> Line {
    let line = skip_empty_lines(seen);
    if line == b"\r" {
        return Line::Cut; // half an empty line
    }
    let Some(space) = line.iter().position(|byte| !is_token(*byte)) else {
        return if line.len() > MAX_METHOD { Line::Other } else { Line::Cut };
    };
    let (method, rest) = line.split_at(space);
    if method.is_empty() || method.len() > MAX_METHOD {
        return Line::Other;
    }
    let target = match rest {
        [b' ', target @ ..] => target,
        _ => return Line::Other,
    };
    match target.first() {
        None => Line::Cut,
        Some(b'/') if METHODS.contains(&method) => Line::Request,
        Some(_) => version_after(target),
    }
}

/// RFC 9112 §2.2: a server skips empty lines before a request line, so they must not hide one from us.
fn skip_empty_lines(mut seen: &[u8]) -> &[u8] {
    while let [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] = seen {
        seen = rest;
    }
    seen
}

/// `target SP HTTP/1.`: what stands after the target decides.
fn version_after(target: &[u8]) -> Line {
    let Some(end) = target.iter().position(|byte| *byte <= b' ' || *byte == 0x7f) else { return Line::Cut };
    let (_, rest) = target.split_at(end);
    if end == 0 || !(rest.starts_with(VERSION) || VERSION.starts_with(rest)) {
        return Line::Other;
    }
    if rest.len() < VERSION.len() { Line::Cut } else { Line::Request }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const VERSION: &[u8] = b" HTTP/1.";
const METHODS: [&[u8]; 9] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"];
