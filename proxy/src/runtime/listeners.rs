//! The sockets of a proxy, opened before anything else: a port in use is said at once.

use std::net::{SocketAddr, TcpListener as StdListener};

use tokio::net::TcpListener;

use crate::accept::{BindError, Way, bind};
use crate::config::Config;

/// Every socket that a proxy listens on.
pub(super) struct Listeners {
    pub(super) data: Vec<(StdListener, Way)>,
    pub(super) admin: TcpListener,
}

impl Listeners {
    /// Binds them all, and writes the ports that the system chose back into `config`.
    pub(super) async fn bind(config: &mut Config) -> Result<Self, BindError> {
        let admin = bind(config.admin, "admin").await?;
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
        Ok(Self { data, admin })
    }

    /// Inbound, outbound, admin, then the fixed local ports.
    pub(super) fn addrs(&self) -> Vec<SocketAddr> {
        let data = self.data.iter().map(|(listener, _)| listener.local_addr());
        let mut addrs: Vec<_> = data.filter_map(Result::ok).collect();
        addrs.splice(addrs.len().min(2)..addrs.len().min(2), self.admin.local_addr());
        addrs
    }
}

/// A listener that moves to the runtime of a worker.
fn into_std(listener: TcpListener, addr: SocketAddr) -> Result<StdListener, BindError> {
    listener.into_std().map_err(|source| BindError::new(addr, "handing over", source))
}
