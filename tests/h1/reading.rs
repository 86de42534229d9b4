//! A strict reader of HTTP/1.1 requests: what a proxy sends on must have one form only, so that no server can read
//! it in another way.
//!
//! It takes less than RFC 9112 lets a server take: CRLF alone ends a line, a name is a token, one space separates,
//! there is one Host and at most one length, a chunk has no extension.

/// What has arrived at an origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// All of it, as it came; empty where it did not come as HTTP/1.
    pub(crate) raw: Vec<u8>,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// What the bytes so far are.
#[derive(Debug)]
pub(crate) enum Reading {
    /// The beginning of a request. `expects`: its head is there and waits for `100 Continue`.
    More { expects: bool },
    /// A request, and how many bytes it took.
    Whole(Box<Seen>, usize),
    /// What no proxy may send, and why.
    Bad(String),
}

/// Reads the first request of `bytes`.
pub(crate) fn read(bytes: &[u8]) -> Reading {
    match head(bytes) {
        Ok(None) => Reading::More { expects: false },
        Err(why) => Reading::Bad(why),
        Ok(Some((mut seen, end))) => match body(&mut seen, &bytes[end..]) {
            Ok(Some(length)) => {
                seen.raw = bytes[..end + length].to_vec();
                Reading::Whole(Box::new(seen), end + length)
            }
            Ok(None) => Reading::More { expects: bytes.len() == end && seen.field("expect").is_some() },
            Err(why) => Reading::Bad(why),
        },
    }
}

/// A line without its CRLF, and where the next begins.
fn line(bytes: &[u8], from: usize) -> Result<Option<(&[u8], usize)>, String> {
    let rest = &bytes[from..];
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let line = rest[..end].strip_suffix(b"\r").ok_or("a line ends in LF alone")?;
    match line.iter().find(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
        Some(byte) => Err(format!("{byte:#04x} in a line")),
        None => Ok(Some((line, from + end + 1))),
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn head(bytes: &[u8]) -> Result<Option<(Seen, usize)>, String> {
    let Some((first, mut at)) = line(bytes, 0)? else { return Ok(None) };
    let first = text(first);
    let [method, target, "HTTP/1.1"] = first.split(' ').collect::<Vec<_>>()[..] else {
        return Err(format!("not `METHOD TARGET HTTP/1.1`: {first}"));
    };
    let origin_form = target.starts_with('/') || (target == "*" && method == "OPTIONS");
    if !is_token(method) || !origin_form || !target.is_ascii() || target.contains('#') {
        return Err(format!("a request line that servers may read in two ways: {first}"));
    }
    let mut seen = Seen { method: method.to_owned(), target: target.to_owned(), ..Seen::default() };
    loop {
        let Some((next, after)) = line(bytes, at)? else { return Ok(None) };
        at = after;
        if next.is_empty() {
            break;
        }
        seen.fields.push(field(next)?);
    }
    let count = |name: &str| seen.fields.iter().filter(|(have, _)| have == name).count();
    match (count("host"), count("content-length") + count("transfer-encoding")) {
        (1, 0 | 1) => Ok(Some((seen, at))),
        (hosts, lengths) => Err(format!("{hosts} Hosts, {lengths} lengths: {:?}", seen.fields)),
    }
}

fn field(line: &[u8]) -> Result<(String, String), String> {
    let line = text(line);
    let (name, value) = line.split_once(':').ok_or_else(|| format!("no colon: {line}"))?;
    if !is_token(name) {
        return Err(format!("{name:?} is no name"));
    }
    Ok((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
}

/// Reads a body into `seen`; how many bytes it took, once it is all there.
fn body(seen: &mut Seen, bytes: &[u8]) -> Result<Option<usize>, String> {
    match (seen.field("content-length"), seen.field("transfer-encoding")) {
        (None, None) => Ok(Some(0)),
        (Some(length), _) => {
            if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("{length:?} is no length"));
            }
            let length: usize = length.parse().map_err(|_| format!("{length} is too long"))?;
            let Some(body) = bytes.get(..length) else { return Ok(None) };
            seen.body = body.to_vec();
            Ok(Some(length))
        }
        (None, Some("chunked")) => chunks(seen, bytes),
        (None, Some(coding)) => Err(format!("the coding {coding:?}")),
    }
}

fn chunks(seen: &mut Seen, bytes: &[u8]) -> Result<Option<usize>, String> {
    let (mut at, mut all) = (0, Vec::new());
    loop {
        let Some((size, data)) = line(bytes, at)? else { return Ok(None) };
        if size.is_empty() || size.len() > 16 || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err(format!("{:?} is no chunk size", text(size)));
        }
        let size = usize::from_str_radix(&text(size), 16).map_err(|error| error.to_string())?;
        if size == 0 {
            at = data;
            break;
        }
        let Some(chunk) = bytes.get(data..data + size) else { return Ok(None) };
        all.extend(chunk);
        match bytes.get(data + size..data + size + 2) {
            None => return Ok(None),
            Some(b"\r\n") => at = data + size + 2,
            Some(other) => return Err(format!("{other:?} after a chunk")),
        }
    }
    loop {
        let Some((next, after)) = line(bytes, at)? else { return Ok(None) };
        at = after;
        if next.is_empty() {
            seen.body = all;
            return Ok(Some(at));
        }
        let (name, value) = field(next)?;
        if FRAMING.contains(&name.as_str()) {
            return Err(format!("{name} in trailers"));
        }
        seen.fields.push((name, value));
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// What no trailer may say (RFC 9110 §6.5.1).
const FRAMING: [&str; 6] =
    ["content-length", "transfer-encoding", "host", "authorization", "content-encoding", "content-type"];

#[test]
fn one_form_is_read_and_no_other() {
    let good = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let Reading::Whole(seen, used) = read(good) else { panic!("it is whole") };
    assert_eq!((used, &*seen.body), (good.len(), &b"abc"[..]));
    for cut in 0..good.len() {
        assert!(matches!(read(&good[..cut]), Reading::More { .. }), "{cut}");
    }
    for bad in [
        "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\n\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n",
    ] {
        assert!(matches!(read(bad.as_bytes()), Reading::Bad(_)), "{bad}");
    }
}
