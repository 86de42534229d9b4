//! What is known of one request (or one opaque connection) when a decision is asked for.
//!
//! Borrowed throughout: the proxy fills it from a head it holds, and nothing is copied or allocated.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Method};

use crate::identity::SpiffeId;

/// Everything a decision may look at. What is not here cannot influence it.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who is calling.
    pub source: Source<'a>,
    /// Where the connection was going before it reached a proxy.
    pub destination: Destination<'a>,
    /// The request, or `None` for bytes nobody parses.
    pub request: Option<Request<'a>>,
}

/// Who is calling, as far as it is proven.
#[derive(Clone, Copy, Debug, Default)]
pub struct Source<'a> {
    /// From the certificate of a completed mTLS handshake; `None` in plaintext. Never from a header.
    pub identity: Option<&'a SpiffeId>,
    /// The far end of the accepted socket. An address is not an identity.
    pub addr: Option<IpAddr>,
}

impl<'a> Source<'a> {
    /// The namespace inside the proven identity. Plaintext callers have none.
    #[must_use]
    pub fn namespace(&self) -> Option<&'a str> {
        Some(self.identity?.as_workload()?.namespace)
    }
}

/// Where a connection was going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination<'a> {
    /// By address: `SO_ORIGINAL_DST`, or a SOCKS5 address.
    Addr(SocketAddr),
    /// By name: a proxy request, `CONNECT`, SOCKS5 with a name, a fixed local port.
    Name {
        /// Lower case, without a trailing dot and without port.
        host: &'a str,
        /// The port that goes with the name.
        port: u16,
    },
}

impl Destination<'_> {
    /// The port that was dialled.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::Addr(addr) => addr.port(),
            Self::Name { port, .. } => *port,
        }
    }
}

/// The head of an HTTP request, in its canonical form: the same value is matched, authorized and forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// As sent; methods are case-sensitive (RFC 9110 §9.1).
    pub method: &'a Method,
    /// Host without its port, lower case (RFC 9110 §7.2; the port is ignored for matching, Gateway API).
    pub host: &'a str,
    /// Canonical path, without query.
    pub path: &'a str,
    /// After `?`, without it.
    pub query: Option<&'a str>,
    /// All fields, repeated ones included.
    pub headers: &'a HeaderMap,
    /// `content-type: application/grpc…` over HTTP/2: answers are trailers, not statuses.
    pub grpc: bool,
}
