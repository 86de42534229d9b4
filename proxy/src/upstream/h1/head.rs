//! Heads as bytes: a request's is written, a response's is taken apart once the gate's rules have found it good.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use memchr::memchr;

/// How a request's body is framed (RFC 9112 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are left.
    Sized(u64),
    /// In the chunked transfer coding.
    Chunked,
}

/// The head of `request`, whose body is framed so. What its fields say of that is left out.
pub(super) fn write<B>(request: &Request<B>, framing: Option<&Framing>) -> BytesMut {
    let mut head = BytesMut::with_capacity(ROOM);
    head.put_slice(request.method().as_str().as_bytes());
    head.put_u8(b' ');
    // Of `http://host?query` there is a query and no path; asked for its path, it has one.
    let target = request.uri().path_and_query();
    head.put_slice(target.map_or("/", PathAndQuery::path).as_bytes());
    if let Some(query) = target.and_then(PathAndQuery::query) {
        head.put_u8(b'?');
        head.put_slice(query.as_bytes());
    }
    head.put_slice(b" HTTP/1.1\r\n");
    for (name, value) in request.headers() {
        if *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING {
            write_field(&mut head, name, value);
        }
    }
    match framing {
        None => {}
        // Writing to memory does not fail.
        Some(Framing::Sized(length)) => _ = write!(head, "content-length: {length}\r\n"),
        Some(Framing::Chunked) => head.put_slice(b"transfer-encoding: chunked\r\n"),
    }
    head.put_slice(b"\r\n");
    head
}

/// One field's line.
pub(super) fn write_field(into: &mut BytesMut, name: &HeaderName, value: &HeaderValue) {
    into.put_slice(name.as_str().as_bytes());
    into.put_slice(b": ");
    into.put_slice(value.as_bytes());
    into.put_slice(b"\r\n");
}

/// Takes apart a head that is good: its status line, then `fields` lines. `None` where it is not, which the gate's rules
/// leave no room for.
pub(super) fn take_apart(bytes: &Bytes, fields: u8, http_11: bool) -> Option<Response<()>> {
    let mut lines = Lines { bytes, at: 0 };
    let (begin, end) = lines.next()?;
    let line = bytes.get(begin..end)?;
    let status = StatusCode::from_bytes(line.get(9..12)?).ok()?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = if http_11 { Version::HTTP_11 } else { Version::HTTP_10 };
    // Some clients show it to people.
    let reason = line.get(13..).unwrap_or_default();
    if !reason.is_empty()
        && status.canonical_reason().is_none_or(|usual| usual.as_bytes() != reason)
        && let Ok(reason) = ReasonPhrase::try_from(reason)
    {
        response.extensions_mut().insert(reason);
    }
    *response.headers_mut() = fields_of(bytes, lines, usize::from(fields))?;
    Some(response)
}

/// Takes apart a trailer section that is good.
pub(super) fn trailers(bytes: &Bytes) -> Option<HeaderMap> {
    fields_of(bytes, Lines { bytes, at: 0 }, 0)
}

fn fields_of(bytes: &Bytes, lines: Lines<'_>, room: usize) -> Option<HeaderMap> {
    let mut fields = HeaderMap::with_capacity(room);
    for (begin, end) in lines {
        if begin == end {
            break;
        }
        let line = bytes.get(begin..end)?;
        let colon = memchr(b':', line)?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..)?;
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let skipped = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
        let length = value.iter().rposition(|byte| !blank(byte)).map_or(0, |last| last + 1 - skipped);
        let at = begin + colon + 1 + skipped;
        let value = HeaderValue::from_maybe_shared(bytes.slice(at..at + length)).ok()?;
        fields.try_append(HeaderName::from_bytes(name).ok()?, value).ok()?;
    }
    Some(fields)
}

/// Where lines begin and end, their ends not included.
struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Iterator for Lines<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let begin = self.at;
        let rest = self.bytes.get(begin..)?;
        let length = memchr(b'\n', rest)?;
        self.at = begin + length + 1;
        let ends_in_both = length.checked_sub(1).and_then(|last| rest.get(last)) == Some(&b'\r');
        Some((begin, begin + length - usize::from(ends_in_both)))
    }
}

/// Whether the connection goes on after this response (RFC 9112 §9.3).
pub(super) fn keeps<B>(response: &Response<B>) -> bool {
    let says = |word| are_listing(response.headers().get_all(CONNECTION), word);
    match response.version() {
        Version::HTTP_11 => !says("close"),
        _ => says("keep-alive") && !says("close"),
    }
}

/// Whether a list of words, in so many fields, has this one (RFC 9110 §5.6.1).
pub(super) fn are_listing<'v>(lists: impl IntoIterator<Item = &'v HeaderValue>, word: &str) -> bool {
    let mut words = lists.into_iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    words.any(|this| this.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

/// Most heads fit.
const ROOM: usize = 512;
