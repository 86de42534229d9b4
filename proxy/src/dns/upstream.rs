//! Whom to ask about names outside the mesh, and what to say when nobody answers.
//!
//! `/etc/resolv.conf` is read again when it has changed: a laptop that joins another network must not need a restart.
//! When no server answers, the last good answer is given once more (RFC 8767): an address that was right a minute ago
//! is a better answer than none.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Record;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Semantic, NetError};
use hickory_resolver::{TokioResolver, system_conf};
use tokio::time::timeout;

use super::answer::Answer;
use super::question::Question;
use super::stale::LastGood;
use super::{ANSWER_WITHIN, DnsError};

/// A resolver that forwards and remembers.
pub(super) struct Upstream {
    servers: ArcSwap<Servers>,
    last_good: LastGood,
    file: Option<Watched>,
}

/// Whom to ask at the moment.
struct Servers {
    resolver: TokioResolver,
    ips: Vec<IpAddr>,
}

/// The file that names the servers, and when it was last looked at.
struct Watched {
    path: PathBuf,
    own: Vec<SocketAddr>,
    seen: Mutex<Seen>,
}

struct Seen {
    at: Instant,
    modified: Option<SystemTime>,
}

impl Upstream {
    /// `servers`, or those that `file` names. Those among `own` are left out, since they would ask us.
    pub(super) fn new(
        servers: Option<&[SocketAddr]>,
        file: &Path,
        own: &[SocketAddr],
    ) -> Result<Self, DnsError> {
        let (servers, file) = match servers {
            Some(servers) => (servers.iter().copied().map(server).collect(), None),
            None => {
                let seen = Mutex::new(Seen { at: Instant::now(), modified: modified(file) });
                (servers_of(file)?, Some(Watched { path: file.to_owned(), own: own.to_vec(), seen }))
            }
        };
        let servers = ArcSwap::from_pointee(Servers::new(servers, own)?);
        Ok(Self { servers, last_good: LastGood::default(), file })
    }

    pub(super) async fn ask(&self, question: &Question) -> Answer {
        self.look_at_the_file(Instant::now());
        let (name, kind) = (question.name(), question.query.query_type());
        let old = self.last_good.recall(name, kind, Instant::now());
        let patience = if old.is_some() { WITH_AN_OLD_ANSWER } else { WITHOUT };
        match timeout(patience, self.forward(question)).await.unwrap_or(Answer::NotNow) {
            Answer::NotNow => match old {
                Some(answers) => {
                    Answer::Theirs { code: ResponseCode::NoError, answers, authorities: Vec::new() }
                }
                None => Answer::NotNow,
            },
            Answer::Theirs { code, answers, authorities } => {
                self.last_good.remember(name, kind, &answers, Instant::now());
                Answer::Theirs { code, answers, authorities }
            }
            other => other,
        }
    }

    async fn forward(&self, question: &Question) -> Answer {
        let mut name = question.query.name().clone();
        name.set_fqdn(true); // no search list: the client has applied its own
        let servers = self.servers.load_full();
        match servers.resolver.lookup(name, question.query.query_type()).await {
            Ok(found) => Answer::Theirs {
                code: ResponseCode::NoError,
                answers: found.answers().iter().take(MAX_RECORDS).cloned().collect(),
                authorities: Vec::new(),
            },
            Err(NetError::Dns(Semantic::NoRecordsFound(none)))
                if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
            {
                let soa = none.soa.map(|soa| soa.into_record_of_rdata());
                Answer::Theirs {
                    code: none.response_code,
                    answers: Vec::new(),
                    authorities: soa.into_iter().collect::<Vec<Record>>(),
                }
            }
            Err(error) => {
                tracing::debug!(%error, "no DNS server of ours could answer");
                Answer::NotNow
            }
        }
    }

    /// Takes over the servers of a file that has changed. One that cannot be used leaves the old ones in place.
    fn look_at_the_file(&self, now: Instant) {
        let Some(file) = &self.file else { return };
        let Ok(mut seen) = file.seen.try_lock() else { return }; // somebody else is looking
        if now.saturating_duration_since(seen.at) < LOOK_EVERY {
            return;
        }
        seen.at = now;
        let modified = modified(&file.path);
        if modified == seen.modified {
            return;
        }
        seen.modified = modified;
        match servers_of(&file.path).and_then(|servers| Servers::new(servers, &file.own)) {
            Ok(next) => {
                tracing::info!(file = %file.path.display(), servers = ?next.ips, "the DNS servers have changed");
                self.servers.store(next.into());
            }
            Err(error) => tracing::warn!(%error, "the changed DNS servers cannot be used; the old ones stay"),
        }
    }
}

impl Servers {
    fn new(servers: Vec<NameServerConfig>, own: &[SocketAddr]) -> Result<Self, DnsError> {
        let servers: Vec<NameServerConfig> =
            servers.into_iter().filter_map(|one| without(one, own)).collect();
        if servers.is_empty() {
            return Err(DnsError::OnlyOurselves);
        }
        let ips = servers.iter().map(|server| server.ip).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = Duration::from_secs(2);
        options.attempts = 1;
        options.max_active_requests = super::MAX_AT_WORK;
        options.try_tcp_on_error = true;
        // The client's own resolver has read the hosts file before it asked.
        options.use_hosts_file = ResolveHosts::Never;
        // A server that says "remember for 0 seconds" is asked once a second and not once a question.
        options.positive_min_ttl = Some(Duration::from_secs(1));
        options.positive_max_ttl = Some(Duration::from_secs(300));
        options.negative_max_ttl = Some(Duration::from_secs(30));
        options.cache_size = 4096;
        let resolver =
            builder.build().map_err(|error| DnsError::NoSystemServers { why: error.to_string() })?;
        Ok(Self { resolver, ips })
    }
}

fn servers_of(file: &Path) -> Result<Vec<NameServerConfig>, DnsError> {
    let none = |why: String| DnsError::NoSystemServers { why };
    let text = fs::read(file).map_err(|error| none(format!("{}: {error}", file.display())))?;
    let (config, _) = system_conf::parse_resolv_conf(text).map_err(|error| none(error.to_string()))?;
    if config.name_servers().is_empty() {
        return Err(none(format!("{} names none", file.display())));
    }
    Ok(config.name_servers().to_vec())
}

fn modified(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

fn server(addr: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(addr.ip());
    for connection in &mut server.connections {
        connection.port = addr.port();
    }
    server
}

/// The server without the connections that would come back to us; `None` if none is left.
fn without(mut server: NameServerConfig, own: &[SocketAddr]) -> Option<NameServerConfig> {
    let ip = server.ip.to_canonical();
    let ours = |connection: &ConnectionConfig| {
        let plain = matches!(connection.protocol, ProtocolConfig::Udp | ProtocolConfig::Tcp);
        // 0.0.0.0 as a server means this host.
        let here = |own: &SocketAddr| own.ip() == ip || ip.is_unspecified();
        plain && own.iter().any(|own| own.port() == connection.port && here(own))
    };
    server.connections.retain(|connection| !ours(connection));
    (!server.connections.is_empty()).then_some(server)
}

/// How many records of an upstream answer are passed on.
const MAX_RECORDS: usize = 256;

/// How long servers have before an old answer is given (RFC 8767 §5, "client response timer").
const WITH_AN_OLD_ANSWER: Duration = Duration::from_millis(1800);

/// And how long without one. Less than what the question has altogether, so that it is answered.
const WITHOUT: Duration = ANSWER_WITHIN.saturating_sub(Duration::from_millis(500));

const LOOK_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
