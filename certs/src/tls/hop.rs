//! What is spoken inside the TLS of a hop: the ALPN names by which an inbound proxy knows mesh traffic at one
//! peek, and which protocol follows.

use std::fmt;

/// The protocol of a hop, as ALPN names it. The `1` is the version of the hop itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hop {
    /// `weft/1-h2`: requests of many streams between two sidecars, over HTTP/2.
    Http2,
    /// `weft/1-h1`: one request at a time between two sidecars, over HTTP/1.1.
    Http1,
    /// `weft/1-tcp`: one opaque connection between two sidecars.
    Tcp,
    /// `h2`: gRPC between a proxy and the control plane.
    ControlPlane,
}

impl Hop {
    /// What a sidecar accepts from its peers, best first.
    pub const BETWEEN_SIDECARS: [Self; 3] = [Self::Http2, Self::Http1, Self::Tcp];

    /// The ALPN protocol name.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Http2 => b"weft/1-h2",
            Self::Http1 => b"weft/1-h1",
            Self::Tcp => b"weft/1-tcp",
            Self::ControlPlane => b"h2",
        }
    }

    /// The hop of that ALPN name.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        [Self::Http2, Self::Http1, Self::Tcp, Self::ControlPlane]
            .into_iter()
            .find(|hop| hop.as_bytes() == name)
    }

    /// The hop that a handshake agreed on, from `alpn_protocol()`. rustls refuses a client that offers only
    /// foreign names, but lets one in that offers none: `None` here, and the caller closes.
    #[must_use]
    pub fn negotiated(alpn: Option<&[u8]>) -> Option<Self> {
        alpn.and_then(Self::parse)
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http2 => "weft/1-h2",
            Self::Http1 => "weft/1-h1",
            Self::Tcp => "weft/1-tcp",
            Self::ControlPlane => "h2",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_known_by_its_name_and_by_nothing_else() {
        for hop in [Hop::Http2, Hop::Http1, Hop::Tcp, Hop::ControlPlane] {
            assert_eq!(Hop::parse(hop.as_bytes()), Some(hop));
            assert_eq!(hop.to_string().as_bytes(), hop.as_bytes());
        }
        for name in [b"".as_slice(), b"http/1.1", b"weft/2-h2", b"weft/1-h2 ", b"WEFT/1-H2"] {
            assert_eq!(Hop::parse(name), None);
        }
        assert_eq!(Hop::negotiated(None), None);
    }
}
