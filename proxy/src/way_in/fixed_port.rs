//! A local port that stands for one destination: `9001=shop.mesh:80`, for programs that cannot be told about proxies.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use super::{BadTarget, Target};

/// Every connection to `listen` goes to `target`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedPort {
    /// Where the proxy listens. Loopback, unless an address was given.
    pub listen: SocketAddr,
    /// Where what arrives there goes.
    pub target: Target,
}

impl FromStr for FixedPort {
    type Err = BadFixedPort;

    /// Reads `9001=shop.mesh:80` or `127.0.0.1:9001=shop.mesh:80`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |source| BadFixedPort::Target { text: text.to_owned(), source };
        let (listen, target) = text.split_once('=').ok_or_else(|| BadFixedPort::Form(text.to_owned()))?;
        let listen = match listen.parse::<u16>() {
            Ok(port) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
            Err(_) => listen.parse::<SocketAddr>().map_err(|_| BadFixedPort::Form(text.to_owned())),
        }?;
        Ok(Self { listen, target: target.parse().map_err(bad)? })
    }
}

/// The text names no port that stands for a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFixedPort {
    /// Not `LISTEN=HOST:PORT`.
    #[error("`{0}` is no fixed port: write PORT=HOST:PORT (9001=shop.mesh:80) or ADDRESS:PORT=HOST:PORT")]
    Form(String),
    /// The right-hand side is no destination.
    #[error("`{text}`: the destination cannot be used: {source}")]
    Target {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: BadTarget,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_port_listens_on_loopback_only() {
        let fixed: FixedPort = "9001=shop.mesh:80".parse().unwrap();
        assert_eq!(fixed.listen, "127.0.0.1:9001".parse().unwrap());
        assert_eq!(fixed.target.to_string(), "shop.mesh:80");
        let fixed: FixedPort = "[::1]:9001=[fd00::7]:80".parse().unwrap();
        assert_eq!((fixed.listen, fixed.target.port()), ("[::1]:9001".parse().unwrap(), 80));
    }

    #[test]
    fn what_is_no_fixed_port_is_refused_with_the_form_to_write() {
        for text in ["", "9001", "9001=", "=shop:80", "shop:80", "x=shop:80", "9001=shop", "9001=shop:0"] {
            let error = text.parse::<FixedPort>().expect_err(text);
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
