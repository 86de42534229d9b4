//! The proxy's DNS: mesh names are answered here, everything else is asked of the system's own servers.
//!
//! A question is looked up in the mesh first ([`Names`]), because a Service's name in the cluster's own zone is a
//! mesh name too; only what the mesh does not know is forwarded. Within the mesh's own zone (`*.mesh`) nothing is
//! forwarded: no server outside knows those names, and asking would tell it which ones exist.
//!
//! The listeners are our own rather than those of hickory-server: that one ends its TCP listener at the first
//! connection that is aborted before it is accepted, spins while descriptors run out, and accepts without a limit.
//! Messages and the way upstream are hickory's.
//!
//! Bounds: [`MAX_AT_WORK`] questions and [`MAX_CONNECTIONS`] TCP connections at once, every question under
//! [`ANSWER_WITHIN`]; the address list of a mesh name is cut at [`MAX_ADDRESSES`].

mod question;
mod answer;
mod upstream;
mod stale;
mod listen;

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use answer::Answer;
use listen::Sockets;
use question::{Asked, Question};
use upstream::Upstream;

/// Knows the names of the mesh.
pub trait Names: Send + Sync + 'static {
    /// Looks a name up: lower case, without a trailing dot. May take its time (a name is subscribed to on first
    /// use); it is given up after [`ANSWER_WITHIN`], and the client asks again.
    fn lookup<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>>;
}

/// What the mesh knows of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is a mesh name, with these addresses of either family (none, if it has no endpoint that can be dialled).
    Addresses(Vec<IpAddr>),
    /// It is no mesh name.
    NotOurs,
    /// It cannot be told now: the control plane has not answered. The client is asked to try again, rather than
    /// told that the name does not exist, which it would remember.
    NotNow,
}

/// How DNS is served.
#[derive(Clone, Debug)]
pub struct DnsSettings {
    /// Each is bound for UDP and TCP. Bind addresses, not wildcards: a UDP reply leaves from the wrong address of a
    /// wildcard socket when the question was redirected. See [`loopback`].
    pub listen: Vec<SocketAddr>,
    /// Zones that are the mesh's alone (`mesh`). A name in them that the mesh does not know does not exist.
    pub zones: Vec<String>,
    /// Whom to ask about the rest; `None`: those of `/etc/resolv.conf`. Those that are this listener are left out.
    pub upstream: Option<Vec<SocketAddr>>,
}

/// 127.0.0.1 and ::1, which is where redirected questions arrive.
#[must_use]
pub const fn loopback(port: u16) -> [SocketAddr; 2] {
    [
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
        SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port),
    ]
}

/// Why DNS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// A socket cannot be bound.
    #[error("DNS cannot listen on {addr}: {source}; choose another port, or turn DNS off")]
    Bind {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No address to listen on is left: none was given, or this host has no IPv6.
    #[error("DNS has no address to listen on; give one, 127.0.0.1 for example")]
    NowhereToListen,
    /// A zone is no DNS name.
    #[error("`{0}` is no DNS zone; write a name like `mesh`")]
    BadZone(String),
    /// `/etc/resolv.conf` cannot be used.
    #[error(
        "the system's DNS servers are not known ({why}); name the servers to forward to in the configuration"
    )]
    NoSystemServers {
        /// What is wrong with it.
        why: String,
    },
    /// Every upstream is this listener.
    #[error(
        "every DNS server to forward to is this proxy itself: questions would go round in circles; name others in \
         the configuration"
    )]
    OnlyOurselves,
}

/// A bound DNS server. It answers while [`DnsServer::run`] is polled.
pub struct DnsServer {
    sockets: Vec<Sockets>,
    desk: Arc<Desk>,
}

impl DnsServer {
    /// Binds every socket, so that a failure is known before anything else starts. An IPv6 address on a host
    /// without IPv6 is left out.
    ///
    /// # Errors
    /// [`DnsError`].
    pub async fn bind(settings: &DnsSettings, names: Arc<dyn Names>) -> Result<Self, DnsError> {
        let zones =
            settings.zones.iter().map(|zone| question::canonical_zone(zone)).collect::<Result<_, _>>()?;
        let mut sockets = Vec::new();
        for addr in &settings.listen {
            match Sockets::bind(*addr).await {
                Ok(bound) => sockets.push(bound),
                Err(error) if addr.is_ipv6() && listen::means_no_ipv6(&error) => {
                    tracing::info!(%addr, "DNS does not listen there: this host has no IPv6");
                }
                Err(source) => return Err(DnsError::Bind { addr: *addr, source }),
            }
        }
        if sockets.is_empty() {
            return Err(DnsError::NowhereToListen);
        }
        let own: Vec<SocketAddr> = sockets.iter().map(Sockets::addr).collect();
        let upstream = Upstream::new(settings.upstream.as_deref(), Path::new(RESOLV_CONF), &own)?;
        let desk = Desk { names, zones, upstream, at_work: Semaphore::new(MAX_AT_WORK) };
        Ok(Self { sockets, desk: Arc::new(desk) })
    }

    /// Where it listens, in the order of the settings.
    pub fn addrs(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.sockets.iter().map(Sockets::addr)
    }

    /// Answers until dropped. Every task it starts ends with it.
    pub async fn run(self) {
        let mut open = JoinSet::new();
        for sockets in self.sockets {
            sockets.serve(&mut open, &self.desk);
        }
        while open.join_next().await.is_some() {}
    }
}

/// Where questions are answered: the same for UDP and TCP.
struct Desk {
    names: Arc<dyn Names>,
    zones: Vec<String>,
    upstream: Upstream,
    at_work: Semaphore,
}

impl Desk {
    /// The bytes of the reply, at most `limit` of them (unless the client allows more). `None` for what must not be
    /// answered: a reply, or bytes without so much as a header.
    async fn answer(&self, message: &[u8], limit: usize) -> Option<Vec<u8>> {
        let question = match Question::read(message) {
            Asked::Question(question) => question,
            Asked::Refuse(reply) => return Some(reply),
            Asked::Nothing => return None,
        };
        let answer = match self.at_work.try_acquire() {
            Ok(_at_work) => timeout(ANSWER_WITHIN, self.find(&question)).await.unwrap_or(Answer::NotNow),
            Err(_) => Answer::NotNow,
        };
        Some(answer.to_bytes(&question, limit))
    }

    async fn find(&self, question: &Question) -> Answer {
        let zone = self.zones.iter().find(|zone| question.is_in(zone));
        match self.names.lookup(question.name()).await {
            Found::Addresses(addresses) => Answer::Ours(addresses),
            Found::NotOurs => match zone {
                Some(zone) => Answer::NoSuchName { zone: zone.clone() },
                None => self.upstream.ask(question).await,
            },
            Found::NotNow => Answer::NotNow,
        }
    }
}

/// Questions that are being answered at once. Beyond it they get SERVFAIL at once, which clients take as "again".
pub const MAX_AT_WORK: usize = 512;

/// TCP connections at once. Beyond it nothing is accepted until one closes.
pub const MAX_CONNECTIONS: usize = 128;

/// The longest that a question is worked on: what common resolvers wait before they ask again.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How many addresses one mesh name is answered with.
pub const MAX_ADDRESSES: usize = 64;

/// What clients may remember of a mesh name. Endpoints change; a short life costs one question to loopback.
pub const MESH_TTL: Duration = Duration::from_secs(5);

const RESOLV_CONF: &str = "/etc/resolv.conf";

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
