//! A destination that a client, or the configuration, names.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use weft_policy::facts::Destination;

/// Where to go: an address, or a name that the mesh (or DNS) knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// By address. Never a v4-mapped one.
    Addr(SocketAddr),
    /// By name.
    Name {
        /// A DNS name: lower case, without a trailing dot, at most 253 bytes, every label 1 to 63 of letters,
        /// digits, `-` and `_`. It is safe to log and to compare.
        host: Box<str>,
        /// Never 0.
        port: u16,
    },
}

impl Target {
    /// Makes a target of a host (a name, an IPv4 or IPv6 address in text, brackets allowed) and a port.
    ///
    /// # Errors
    /// [`BadTarget`], if the host is neither a name nor an address, or the port is 0.
    pub fn new(host: &str, port: u16) -> Result<Self, BadTarget> {
        if port == 0 {
            return Err(BadTarget::Port);
        }
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self::Addr(SocketAddr::new(ip.to_canonical(), port)));
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        if !is_dns_name(name) {
            return Err(BadTarget::Host);
        }
        Ok(Self::Name { host: name.to_ascii_lowercase().into_boxed_str(), port })
    }

    /// As decisions name it.
    #[must_use]
    pub fn destination(&self) -> Destination<'_> {
        match self {
            Self::Addr(addr) => Destination::Addr(*addr),
            Self::Name { host, port } => Destination::Name { host, port: *port },
        }
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::Addr(addr) => addr.port(),
            Self::Name { port, .. } => *port,
        }
    }
}

impl FromStr for Target {
    type Err = BadTarget;

    /// Reads `host:port`, `10.0.0.1:80` or `[fd00::1]:80`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text.rsplit_once(':').ok_or(BadTarget::Port)?;
        // Without brackets the last group of an IPv6 address would pass for a port.
        if host.contains(':') && !host.starts_with('[') {
            return Err(BadTarget::Host);
        }
        // `u16::from_str` takes a plus sign, which no URI and no proxy protocol does.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits).ok_or(BadTarget::Port)?;
        Self::new(host, port)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(addr) => write!(f, "{addr}"),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Why something is no destination. The text itself is not repeated: it is a stranger's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Neither a DNS name nor an address.
    #[error("the host is neither a DNS name nor an IP address")]
    Host,
    /// No port, or none from 1 to 65535.
    #[error("the port is missing or not a number from 1 to 65535")]
    Port,
}

/// RFC 1035 §2.3.4 lengths; RFC 1123 §2.1 characters, and `_`, which names of services use.
///
/// A name whose last label is a number is refused: resolvers read `127.1` and `0x7f.1` as addresses, which would
/// be a way past every check of the address that the name stands for (WHATWG URL, "ends in a number").
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let number = last.bytes().all(|byte| byte.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    name.len() <= 253 && name.split('.').all(label) && !number
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(text: &str, want: &str) {
        let target: Target = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(target.to_string(), want, "{text}");
        assert_eq!(want.parse(), Ok(target), "{text}: what is printed reads back");
    }

    #[test]
    fn a_target_is_read_into_its_one_form() {
        reads("shop.default.svc.cluster.local:80", "shop.default.svc.cluster.local:80");
        reads("Shop.Mesh.:443", "shop.mesh:443");
        reads("_grpc._tcp.shop:1", "_grpc._tcp.shop:1");
        reads("10.0.0.7:8080", "10.0.0.7:8080");
        reads("[FD00::1]:8080", "[fd00::1]:8080");
        reads("[::ffff:10.0.0.7]:80", "10.0.0.7:80");
        reads("[10.0.0.7]:80", "10.0.0.7:80");
    }

    #[test]
    fn what_is_no_destination_is_refused() {
        let long = format!("{}:80", "a.".repeat(127) + "a");
        let label = format!("{}.mesh:80", "a".repeat(64));
        for text in [
            "",
            ":",
            ":80",
            "shop",
            "shop:",
            "shop:0",
            "shop:+80",
            "shop:65536",
            "shop:80:80",
            "fd00::1:80",
            "..:80",
            "a..b:80",
            "a b:80",
            "a\n:80",
            "a%00:80",
            "a/b:80",
            "user@a:80",
            "ä.mesh:80",
            "*.mesh:80",
            "127.1:80",
            "1:80",
            "2130706433:80",
            "0x7f.0x1:80",
            "0x7f000001:80",
            "a.0x:80",
            "[fe80::1%eth0]:80",
            "[shop]:80",
            &long,
            &label,
        ] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
    }
}
