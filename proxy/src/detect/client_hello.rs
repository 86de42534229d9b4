//! The TLS ClientHello (RFC 8446 §4.1.2): which server is asked for, and which protocols are offered.
//!
//! Read by hand and only as far as those two answers need, because nothing is terminated here: the bytes go on,
//! untouched, to rustls or to the application. The message may be spread over several records, and records over
//! any number of reads. A message that is not well formed is not TLS for us, and so opaque: no rule about a server
//! name can match a name that two readers could read differently.

use super::{Detected, MAX_PEEK};

/// What a client says about itself before anything is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The server name (RFC 6066 §3): lower case, a DNS name. `None` if the client sent none.
    pub sni: Option<Box<str>>,
    /// The protocols offered (RFC 7301), the preferred one first.
    pub alpn: Vec<Box<[u8]>>,
}

impl ClientHello {
    /// Whether this protocol is among those offered.
    #[must_use]
    pub fn offers(&self, protocol: &[u8]) -> bool {
        self.alpn.iter().any(|offered| **offered == *protocol)
    }
}

/// The record type that a TLS connection begins with.
pub(super) const HANDSHAKE: u8 = 22;

pub(super) fn detect(seen: &[u8]) -> Detected {
    match message(seen).and_then(|message| parse(&message).ok_or(Cut::Malformed)) {
        Ok(hello) => Detected::Tls(hello),
        Err(Cut::Short) => Detected::NeedMore,
        Err(Cut::Malformed) => Detected::Opaque,
    }
}

/// Why there is no message.
enum Cut {
    /// More bytes may complete it.
    Short,
    /// No bytes can.
    Malformed,
}

/// Takes the records off: the body of the ClientHello, in one piece.
fn message(seen: &[u8]) -> Result<Vec<u8>, Cut> {
    let mut message = Vec::new();
    let mut rest = seen;
    loop {
        // Type, and the major version; whatever follows the first bytes that are wrong cannot mend them.
        match rest {
            [] | [HANDSHAKE] | [HANDSHAKE, 3] => return Err(Cut::Short),
            [HANDSHAKE, 3, minor, ..] if *minor <= 4 => {}
            _ => return Err(Cut::Malformed),
        }
        let Some(([_, _, _, high, low], after)) = rest.split_first_chunk::<5>() else {
            return Err(Cut::Short);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > MAX_RECORD {
            return Err(Cut::Malformed);
        }
        message.extend_from_slice(after.get(..length).unwrap_or(after));

        // Type and length of the message, as soon as they are there.
        match message.as_slice() {
            [] => {}
            [CLIENT_HELLO, a, b, c, body @ ..] => {
                let wanted =
                    usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).map_err(|_| Cut::Malformed)?;
                if wanted > MAX_PEEK {
                    return Err(Cut::Malformed);
                }
                if let Some(body) = body.get(..wanted) {
                    return Ok(body.to_vec());
                }
            }
            [CLIENT_HELLO, ..] => {}
            _ => return Err(Cut::Malformed),
        }
        rest = after.get(length..).ok_or(Cut::Short)?;
    }
}

fn parse(body: &[u8]) -> Option<ClientHello> {
    let mut body = Reader(body);
    body.take(2 + 32)?; // legacy_version, random
    let session = body.vector8()?;
    let suites = body.vector16()?;
    let compression = body.vector8()?;
    if session.0.len() > 32 || suites.0.is_empty() || suites.0.len() % 2 != 0 || compression.0.is_empty() {
        return None;
    }
    if body.0.is_empty() {
        return Some(ClientHello::default()); // TLS 1.2 without extensions
    }
    let mut extensions = body.vector16()?;
    if !body.0.is_empty() {
        return None;
    }
    let (mut sni, mut alpn) = (None, None);
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let data = extensions.vector16()?;
        // RFC 8446 §4.2: no extension twice. A second name would be one that somebody else reads.
        match kind {
            SERVER_NAME if sni.is_some() => return None,
            SERVER_NAME => sni = Some(server_name(data)?),
            ALPN if alpn.is_some() => return None,
            ALPN => alpn = Some(protocols(data)?),
            _ => {}
        }
    }
    Some(ClientHello { sni, alpn: alpn.unwrap_or_default() })
}

/// RFC 6066 §3: a list, of which every client sends exactly one `host_name`.
fn server_name(mut data: Reader<'_>) -> Option<Box<str>> {
    let mut list = data.vector16()?;
    let kind = list.u8()?;
    let name = list.vector16()?.0;
    if kind != 0 || !list.0.is_empty() || !data.0.is_empty() || !(1..=253).contains(&name.len()) {
        return None;
    }
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !name.iter().all(fits) {
        return None;
    }
    Some(std::str::from_utf8(name).ok()?.to_ascii_lowercase().into_boxed_str())
}

/// RFC 7301 §3.1.
fn protocols(mut data: Reader<'_>) -> Option<Vec<Box<[u8]>>> {
    let mut list = data.vector16()?;
    if list.0.is_empty() || !data.0.is_empty() {
        return None;
    }
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        let protocol = list.vector8()?.0;
        if protocol.is_empty() {
            return None;
        }
        protocols.push(protocol.into());
    }
    Some(protocols)
}

/// What is left of a message. Every step says `None` instead of reading beyond the end.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn u16(&mut self) -> Option<u16> {
        let (first, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*first))
    }

    fn vector8(&mut self) -> Option<Self> {
        let length = self.u8()?;
        self.take(usize::from(length)).map(Self)
    }

    fn vector16(&mut self) -> Option<Self> {
        let length = self.u16()?;
        self.take(usize::from(length)).map(Self)
    }
}

/// RFC 8446 §5.1.
const MAX_RECORD: usize = 1 << 14;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
