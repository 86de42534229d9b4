//! Where a connection was going before it reached the proxy.
//!
//! A redirected connection keeps that in the kernel's connection tracking (`SO_ORIGINAL_DST`); one that came in
//! through an explicit way says it in its first bytes. Both become the same [`OriginalDst`], and both are refused
//! here when they aim at the proxy itself: a connection straight to our port has itself as its original
//! destination, so forwarding it would be an endless loop, and one aimed at the admin port would let a stranger
//! speak to it with the proxy's own voice.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Instant;

use socket2::SockRef;
use tokio::net::TcpStream;

mod this_host;

/// Where the application meant to connect. Never a v4-mapped IPv6 address, never one of our own listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OriginalDst(SocketAddr);

impl OriginalDst {
    /// Asks the kernel about an accepted connection.
    ///
    /// # Errors
    /// [`NoOriginalDst`]: the connection was not redirected, or it was aimed at the proxy itself.
    pub fn of_redirected(stream: &TcpStream, own: &OwnListeners) -> Result<Self, NoOriginalDst> {
        let local = canonical(stream.local_addr().map_err(|source| NoOriginalDst::Unknown { source })?);
        let socket = SockRef::from(stream);
        // A dual-stack listener hands out IPv4 connections as v4-mapped ones; connection tracking knows them as IPv4.
        let asked = if local.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
        let dst = asked
            .and_then(|addr| addr.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData)))
            .map_err(|source| NoOriginalDst::Unknown { source })?;
        Self::judge(dst, local, own)
    }

    /// Takes a destination that the client named itself (SOCKS5, `CONNECT`, a fixed local port).
    ///
    /// # Errors
    /// [`NoOriginalDst::Loop`] if it is one of our listeners.
    pub fn named(dst: SocketAddr, own: &OwnListeners) -> Result<Self, NoOriginalDst> {
        let dst = canonical(dst);
        if own.contains(dst) {
            return Err(NoOriginalDst::Loop { dst });
        }
        Ok(Self(dst))
    }

    /// The address and port.
    #[must_use]
    pub const fn addr(self) -> SocketAddr {
        self.0
    }

    /// `local` is the near end of the accepted socket: a connection that nobody redirected has it as its goal.
    fn judge(dst: SocketAddr, local: SocketAddr, own: &OwnListeners) -> Result<Self, NoOriginalDst> {
        let dst = canonical(dst);
        if same_place(dst, canonical(local)) {
            return Err(NoOriginalDst::Loop { dst });
        }
        Self::named(dst, own)
    }
}

/// Every address on which this proxy itself accepts: both data ports, explicit ways in, DNS, readiness, admin.
#[derive(Clone, Debug, Default)]
pub struct OwnListeners {
    listeners: Vec<SocketAddr>,
    ips: Vec<IpAddr>,
}

impl OwnListeners {
    /// `listeners` as they are bound, wildcards included; `ips` are addresses of this host (the pod's IPs), under which
    /// a wildcard listener can be reached. Loopback addresses need not be listed, and those that are not listed are
    /// found out when they matter.
    #[must_use]
    pub fn new(
        listeners: impl IntoIterator<Item = SocketAddr>,
        ips: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        Self {
            listeners: listeners.into_iter().map(canonical).collect(),
            ips: ips.into_iter().map(|ip| ip.to_canonical()).collect(),
        }
    }

    /// Whether a connection to `dst` would arrive at this proxy.
    #[must_use]
    pub fn contains(&self, dst: SocketAddr) -> bool {
        let ip = dst.ip().to_canonical();
        // The kernel takes a connection to 0.0.0.0 or :: as one to loopback.
        let unspecified = ip.is_unspecified();
        self.listeners.iter().filter(|own| own.port() == dst.port()).any(|own| match own.ip() {
            own if own.is_unspecified() => {
                unspecified || ip.is_loopback() || self.ips.contains(&ip) || this_host::has(dst)
            }
            own => own == ip || (unspecified && own.is_loopback()),
        })
    }
}

/// Whether the far end of a connection is on this host. Whatever comes in by an outbound listener goes out with the
/// workload's own identity, so it must be the workload's: a listener on the wildcard is no proxy for the network.
///
/// Asked for every connection of an application whose source is not loopback, so the kernel's answer is good for a second.
#[must_use]
pub fn is_from_this_host(peer: SocketAddr) -> bool {
    let peer = canonical(peer);
    peer.ip().is_loopback() || this_host::had_lately(peer, Instant::now())
}

/// Why a connection has no destination that the proxy may forward it to. The answer is to close it.
#[derive(Debug, thiserror::Error)]
pub enum NoOriginalDst {
    /// Forwarding would come back to the proxy.
    #[error(
        "the connection is aimed at the proxy itself ({dst}) and was refused as a loop; connect to the \
         application's own port"
    )]
    Loop {
        /// The proxy's own address that was dialled.
        dst: SocketAddr,
    },
    /// The kernel has no record of a redirection.
    #[error(
        "the kernel does not know where the connection was going ({source}): is the redirection in place \
         (`weft-proxy redirect`), or should this listener be an explicit one?"
    )]
    Unknown {
        /// What the system said: "not found" without connection tracking of this connection, "protocol not
        /// available" without connection tracking at all.
        source: io::Error,
    },
}

/// An address in the one form in which addresses are compared: `::ffff:10.0.0.1` is `10.0.0.1`, and an IPv6 flow
/// label is nothing that a destination is known by.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match (addr.ip().to_canonical(), addr) {
        (IpAddr::V6(ip), SocketAddr::V6(v6)) => {
            SocketAddr::V6(SocketAddrV6::new(ip, v6.port(), 0, v6.scope_id()))
        }
        (ip, _) => SocketAddr::new(ip, addr.port()),
    }
}

/// Equal, or reaching the same socket because one of them is written as the unspecified address.
fn same_place(dst: SocketAddr, local: SocketAddr) -> bool {
    let ip = match dst.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    // Without the scope: `SO_ORIGINAL_DST` leaves it out where the socket has it.
    dst.port() == local.port() && ip == local.ip()
}

#[cfg(test)]
mod tests;
