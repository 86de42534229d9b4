//! What protocol a connection speaks, from the first bytes its client sends. Nothing is consumed: the caller peeks.
//!
//! [`detect`] is a function of the bytes so far, and its answers are final: once it has said something other than
//! [`Detected::NeedMore`], more bytes never change it. So it does not matter how the network cuts the bytes up,
//! and a caller that peeks again and again may simply ask again.
//!
//! Which way it errs: what could be HTTP to a lenient server is called HTTP, because the HTTP path refuses what is
//! malformed, while the opaque path would carry it past every rule about paths and methods. What is not HTTP beyond
//! doubt is opaque, because a binary protocol on the HTTP path would break.
//!
//! Bound: after [`MAX_PEEK`] bytes there is always an answer.

mod client_hello;
mod request_line;

pub use client_hello::ClientHello;

/// What the first bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detected {
    /// Not decided: peek for more, until a deadline.
    NeedMore,
    /// A complete TLS ClientHello.
    Tls(ClientHello),
    /// The HTTP/2 connection preface (RFC 9113 §3.4): h2c with prior knowledge.
    Http2,
    /// An HTTP/1 request line, or something that an HTTP/1 server could take for one.
    Http1,
    /// A SOCKS5 greeting. Only a listener that is meant for it should act on this; elsewhere it is opaque.
    Socks5,
    /// Anything else, a malformed or overlong ClientHello included.
    Opaque,
}

/// Recognises the protocol from the first bytes of a connection. At most [`MAX_PEEK`] of them are looked at.
#[must_use]
pub fn detect(first: &[u8]) -> Detected {
    let seen = first.get(..MAX_PEEK).unwrap_or(first);
    let found = match seen {
        [] => Detected::NeedMore,
        [client_hello::HANDSHAKE, ..] => client_hello::detect(seen),
        [SOCKS5] => Detected::NeedMore,
        [SOCKS5, methods, ..] if *methods > 0 => Detected::Socks5,
        _ => request_line::detect(seen),
    };
    match found {
        Detected::NeedMore if seen.len() == MAX_PEEK => request_line::at_the_bound(seen),
        found => found,
    }
}

/// How many bytes are enough for any answer. A ClientHello with a post-quantum key share has about 1.8 KiB; one that
/// is larger than this is not read.
pub const MAX_PEEK: usize = 16 * 1024;

/// RFC 1928 §3.
const SOCKS5: u8 = 5;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
