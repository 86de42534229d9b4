//! Checks a head, line by line as its lines come in, and says how its body is framed.
//!
//! Stricter than hyper and, in places, than the RFC: of two ways to read a head one is an attack (catalogue rows 1-10,
//! 14-16, 21). Responses are held to the same, with one leave: an application may end its lines in a bare line feed
//! (RFC 9112 §2.2), since we alone read them and write them anew.

use memchr::memchr;

use super::rule::{REFUSED_METHOD, Rule};
use crate::message::text::{MAX_METHOD, is_authority, is_target, is_token, is_value};

/// A head that is coming in. It is fed from its first byte each time, and remembers how far it has looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    kind: Kind,
    /// Where the line begins that is not complete yet.
    line: usize,
    /// How far that line has been searched for its end.
    searched: usize,
    fields: u8,
    skipped_empty_line: bool,
    host: bool,
    expect: bool,
    upgrade: bool,
    chunked: bool,
    length: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The first line of a request has not come yet.
    Request,
    /// The first line of a response has not come yet.
    Response { to: Asked },
    /// Fields of a request.
    Asking { http_11: bool, method: Method },
    /// Fields of a response.
    Answering { http_11: bool, status: u16, to: Asked },
}

/// What of a method decides about framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Connect,
    /// `TRACE`, which has no body.
    Bodiless,
    Other,
}

/// What a request was, for whoever frames its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// `HEAD`: the response has no body, whatever it says.
    Head,
    /// `CONNECT`: a success has no body and begins a tunnel.
    Connect,
    /// Anything else.
    Other,
}

/// A complete head: where it ends, and what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Complete {
    /// Bytes of the head, the empty line included.
    pub(crate) length: usize,
    /// Fields in it.
    pub(crate) fields: u8,
    /// 1.1 rather than 1.0.
    pub(crate) http_11: bool,
    /// How its body is framed.
    pub(crate) body: Body,
    /// A request that asks to leave HTTP, or a response that agrees.
    pub(crate) tunnel: bool,
    /// A response that another one follows.
    pub(crate) interim: bool,
}

/// How a body is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes.
    Sized(u64),
    /// In the chunked transfer coding.
    Chunked,
    /// A response that ends with its connection.
    UntilClose,
}

impl Head {
    /// Before a request's first byte.
    pub(super) const fn of_request() -> Self {
        Self::begin(Kind::Request)
    }

    /// Before the first byte of a response to what was asked.
    pub(crate) const fn of_response(to: Asked) -> Self {
        Self::begin(Kind::Response { to })
    }

    const fn begin(kind: Kind) -> Self {
        Self {
            kind,
            line: 0,
            searched: 0,
            fields: 0,
            skipped_empty_line: false,
            host: false,
            expect: false,
            upgrade: false,
            chunked: false,
            length: None,
        }
    }

    /// Looks at `bytes`, which are all of the head so far and perhaps more. `None` until it is complete.
    ///
    /// # Errors
    /// The rule that the head breaks.
    pub(crate) fn look(&mut self, bytes: &[u8]) -> Result<Option<Complete>, Rule> {
        loop {
            let rest = bytes.get(self.searched..).unwrap_or_default();
            let Some(found) = memchr(b'\n', rest) else {
                self.searched = bytes.len();
                self.within_limits(bytes.len())?;
                return Ok(None);
            };
            let end = self.searched + found;
            let line = bytes.get(self.line..end).unwrap_or_default();
            let line = match line {
                [line @ .., b'\r'] => line,
                line if self.may_end_in_line_feed() => line,
                _ => return Err(Rule::BareLineFeed),
            };
            self.within_limits(end + 1)?;
            (self.line, self.searched) = (end + 1, end + 1);
            if line.is_empty() {
                match self.kind {
                    // RFC 9112 §2.2: an empty line before a request is ignored. One, not a stream of them.
                    Kind::Request if !self.skipped_empty_line => self.skipped_empty_line = true,
                    Kind::Request => return Err(Rule::RequestLine),
                    Kind::Response { .. } => return Err(Rule::StatusLine),
                    Kind::Asking { http_11, method } => return self.request(http_11, method).map(Some),
                    Kind::Answering { http_11, status, to } => {
                        return self.response(http_11, status, to).map(Some);
                    }
                }
                continue;
            }
            match self.kind {
                Kind::Request => self.kind = request_line(line)?,
                Kind::Response { to } => self.kind = status_line(line, to)?,
                Kind::Asking { http_11, .. } => self.field(line, Some(http_11))?,
                Kind::Answering { .. } => self.field(line, None)?,
            }
        }
    }

    const fn may_end_in_line_feed(&self) -> bool {
        matches!(self.kind, Kind::Response { .. } | Kind::Answering { .. })
    }

    const fn within_limits(&self, length: usize) -> Result<(), Rule> {
        match self.kind {
            Kind::Request if length > MAX_TARGET => Err(Rule::TargetTooLong),
            _ if length > MAX_HEAD => Err(Rule::HeadTooLarge),
            _ => Ok(()),
        }
    }

    /// One field line. `http_11` of a request: its framing fields are held to more.
    fn field(&mut self, line: &[u8], request: Option<bool>) -> Result<(), Rule> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Rule::Fold);
        }
        self.fields += 1;
        if usize::from(self.fields) > MAX_FIELDS {
            return Err(Rule::TooManyFields);
        }
        let name_ends = line.iter().position(|byte| !is_token(*byte)).unwrap_or(line.len());
        let (name, rest) = line.split_at(name_ends);
        let [b':', value @ ..] = rest else { return Err(Rule::FieldName) };
        if name.is_empty() {
            return Err(Rule::FieldName);
        }
        if let Some(bad) = value.iter().find(|byte| !is_value(**byte)) {
            return Err(if *bad == b'\r' { Rule::BareCarriageReturn } else { Rule::FieldValue });
        }
        // Few names matter here, and most are told apart by their length.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") && request.is_some() => self.host(trim(value)),
            6 if name.eq_ignore_ascii_case(b"expect") && request.is_some() => self.expect(trim(value)),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade = true;
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(trim(value)),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(trim(value)),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), Rule> {
        if std::mem::replace(&mut self.host, true) || !is_authority(value) {
            return Err(Rule::Host);
        }
        Ok(())
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Rule> {
        if std::mem::replace(&mut self.expect, true) || !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Rule::Expect);
        }
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Rule> {
        let digits = (1..=MAX_LENGTH_DIGITS).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        if self.length.is_some() || !digits {
            return Err(Rule::ContentLength);
        }
        self.length = Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')));
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Rule> {
        if std::mem::replace(&mut self.chunked, true) {
            return Err(Rule::TransferEncoding);
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            return Ok(());
        }
        // A list whose codings all exist is honest, and still not carried; the rest tries something.
        let known = value
            .split(|byte| *byte == b',')
            .map(trim)
            .all(|coding| CODINGS.iter().any(|known| coding.eq_ignore_ascii_case(known.as_bytes())));
        let twice = value.windows(7).filter(|seven| seven.eq_ignore_ascii_case(b"chunked")).count() > 1;
        Err(if known && !twice { Rule::UnknownCoding } else { Rule::TransferEncoding })
    }

    fn request(&self, http_11: bool, method: Method) -> Result<Complete, Rule> {
        // A `CONNECT` says in its target all that Host could, and some clients leave it at that.
        if http_11 && !self.host && method != Method::Connect {
            return Err(Rule::Host);
        }
        let body = self.framing(http_11)?.unwrap_or(Body::Sized(0));
        if method != Method::Other && body != Body::Sized(0) {
            return Err(Rule::Body);
        }
        let tunnel = method == Method::Connect || self.upgrade;
        Ok(self.complete(http_11, body, tunnel, false))
    }

    fn response(&self, http_11: bool, status: u16, asked: Asked) -> Result<Complete, Rule> {
        let framing = self.framing(http_11)?;
        let success = (200..300).contains(&status);
        let interim = (100..200).contains(&status) && status != SWITCHING;
        let tunnel = status == SWITCHING || (asked == Asked::Connect && success);
        let bodiless = interim || tunnel || asked == Asked::Head || matches!(status, 204 | 304);
        let body = if bodiless { Body::Sized(0) } else { framing.unwrap_or(Body::UntilClose) };
        Ok(self.complete(http_11, body, tunnel, interim))
    }

    const fn complete(&self, http_11: bool, body: Body, tunnel: bool, interim: bool) -> Complete {
        Complete { length: self.line, fields: self.fields, http_11, body, tunnel, interim }
    }

    fn framing(&self, http_11: bool) -> Result<Option<Body>, Rule> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Rule::TwoLengths),
            // RFC 9112 §6.1: HTTP/1.0 knows no transfer codings.
            (true, None) if !http_11 => Err(Rule::TransferEncoding),
            (true, None) => Ok(Some(Body::Chunked)),
            (false, length) => Ok(length.map(Body::Sized)),
        }
    }
}

fn request_line(line: &[u8]) -> Result<Kind, Rule> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Rule::RequestLine);
    };
    let is_method = (1..=MAX_METHOD).contains(&method.len()) && method.iter().all(|byte| is_token(*byte));
    if !is_method || method == REFUSED_METHOD.as_bytes() {
        return Err(Rule::Method);
    }
    if !target.iter().all(|byte| is_target(*byte)) {
        return Err(Rule::Target);
    }
    let in_form = match (target, method) {
        (_, b"CONNECT") => is_authority(target),
        ([b'/', ..], _) => true,
        (b"*", b"OPTIONS") => true,
        _ => is_absolute(target),
    };
    if !in_form {
        return Err(Rule::Target);
    }
    let method = match method {
        b"CONNECT" => Method::Connect,
        b"TRACE" => Method::Bodiless,
        _ => Method::Other,
    };
    Ok(Kind::Asking { http_11: is_http_11(version, Rule::RequestLine)?, method })
}

fn status_line(line: &[u8], to: Asked) -> Result<Kind, Rule> {
    let (version, rest) = line.split_at_checked(8).ok_or(Rule::StatusLine)?;
    let [b' ', a, b, c, reason @ ..] = rest else { return Err(Rule::StatusLine) };
    let digits = [a, b, c];
    let is_reason = matches!(reason, [] | [b' ', ..]) && reason.iter().all(|byte| is_value(*byte));
    if !is_reason || !digits.iter().all(|digit| digit.is_ascii_digit()) || *a == b'0' {
        return Err(Rule::StatusLine);
    }
    let status = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(**digit - b'0'));
    Ok(Kind::Answering { http_11: is_http_11(version, Rule::StatusLine)?, status, to })
}

/// Whether it is 1.1 rather than 1.0. `malformed` is the rule for what is no version at all.
fn is_http_11(version: &[u8], malformed: Rule) -> Result<bool, Rule> {
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Rule::Version)
        }
        _ => Err(malformed),
    }
}

/// `scheme://authority…` (RFC 3986 §4.3), without userinfo (RFC 9110 §4.2.4).
fn is_absolute(target: &[u8]) -> bool {
    let Some(scheme) = target.windows(3).position(|three| three == b"://") else { return false };
    let (name, rest) = target.split_at(scheme);
    let rest = rest.get(3..).unwrap_or_default();
    let authority = rest.split(|byte| matches!(byte, b'/' | b'?')).next().unwrap_or_default();
    name.first().is_some_and(u8::is_ascii_alphabetic)
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        && is_authority(authority)
}

fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

const SWITCHING: u16 = 101;
/// 10^18 fits a signed 64-bit integer, in which some servers count.
const MAX_LENGTH_DIGITS: usize = 18;
/// Most that the line of a request may have, in bytes.
pub(crate) const MAX_TARGET: usize = 32 << 10;
/// Most a head may have, in bytes.
pub(crate) const MAX_HEAD: usize = 64 << 10;
/// Most fields a head may have: as many as hyper takes.
const MAX_FIELDS: usize = 100;
/// The registered codings (RFC 9112 §7), and their old names.
const CODINGS: [&str; 7] = ["chunked", "gzip", "x-gzip", "deflate", "compress", "x-compress", "identity"];

#[cfg(test)]
mod tests;
