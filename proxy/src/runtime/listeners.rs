//! The sockets of a proxy, opened before anything else: a port in use is said at once.
//!
//! The rules of `redirect` bring connections of both families to a port. So a listener at 127.0.0.1 has a twin at ::1,
//! and one at 0.0.0.0 a twin at ::, where this host has IPv6 at all; a listener at any other address is meant as it
//! is written.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::accept::{BindError, Way, bind};
use crate::config::Config;
use crate::interception;

/// Every socket that a proxy listens on.
pub(super) struct Listeners {
    pub(super) data: Vec<(StdListener, Way)>,
    pub(super) admin: TcpListener,
    /// For the kubelet, on each family.
    pub(super) probes: Vec<TcpListener>,
    /// Where the rules bring the proxy's own call to itself.
    pub(super) self_test: Option<TcpListener>,
    /// Of the inbound and the outbound listener.
    pub(super) twins: Vec<(StdListener, Way)>,
}

impl Listeners {
    /// Binds them all, and writes the ports that the system chose back into `config`.
    pub(super) async fn bind(config: &mut Config) -> Result<Self, BindError> {
        let admin = bind(config.admin, "admin").await?;
        let mut probes = Vec::new();
        if let Some(addr) = config.probe_listen {
            probes.push(bind(addr, "probes").await?);
            probes.extend(listen_as_twin(addr).and_then(|twin| TcpListener::from_std(twin).ok()));
        }
        let self_test = match config.redirected {
            Some(_) => Some(bind(interception::LISTEN, "self-test").await?),
            None => None,
        };
        let mut data = Vec::new();
        for (addr, way, what) in
            [(config.inbound, Way::Inbound, "inbound"), (config.outbound, Way::Outbound, "outbound")]
        {
            data.push((into_std(bind(addr, what).await?, addr)?, way));
        }
        for fixed in &config.local_ports {
            let listener = bind(fixed.listen, "a fixed local port").await?;
            data.push((into_std(listener, fixed.listen)?, Way::Fixed(fixed.target.clone())));
        }
        let bound = |listener: &StdListener, asked: SocketAddr| listener.local_addr().unwrap_or(asked);
        if let [(inbound, _), (outbound, _), ..] = data.as_slice() {
            config.inbound = bound(inbound, config.inbound);
            config.outbound = bound(outbound, config.outbound);
        }
        config.admin = admin.local_addr().unwrap_or(config.admin);
        let ways = [(config.inbound, Way::Inbound), (config.outbound, Way::Outbound)];
        let twins = ways.into_iter().filter_map(|(addr, way)| Some((listen_as_twin(addr)?, way))).collect();
        Ok(Self { data, admin, probes, self_test, twins })
    }

    /// Inbound, outbound, admin, then the fixed local ports.
    pub(super) fn addrs(&self) -> Vec<SocketAddr> {
        let data = self.data.iter().map(|(listener, _)| listener.local_addr());
        let mut addrs: Vec<_> = data.filter_map(Result::ok).collect();
        addrs.splice(addrs.len().min(2)..addrs.len().min(2), self.admin.local_addr());
        addrs
    }
}

/// The address at which a listener has its twin.
pub(super) fn twin(addr: SocketAddr) -> Option<SocketAddr> {
    let ip = match addr.ip() {
        IpAddr::V4(Ipv4Addr::LOCALHOST) => Ipv6Addr::LOCALHOST,
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv6Addr::UNSPECIFIED,
        _ => return None,
    };
    Some((ip, addr.port()).into())
}

fn listen_as_twin(addr: SocketAddr) -> Option<StdListener> {
    let twin = twin(addr)?;
    let listen = || -> io::Result<StdListener> {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_only_v6(true)?; // 0.0.0.0 has IPv4
        socket.set_reuse_address(true)?;
        socket.bind(&twin.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    // IPv6 may be absent or switched off, and nobody has asked for it.
    listen().inspect_err(|error| tracing::info!(addr = %twin, %error, "does not listen there")).ok()
}

/// Connections that wait to be accepted: what the standard library asks for.
const BACKLOG: i32 = 1024;

/// A listener that moves to the runtime of a worker.
fn into_std(listener: TcpListener, addr: SocketAddr) -> Result<StdListener, BindError> {
    listener.into_std().map_err(|source| BindError::new(addr, "handing over", source))
}
