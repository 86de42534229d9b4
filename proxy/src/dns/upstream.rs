//! Whom to ask about names outside the mesh.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Record;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Semantic, NetError};
use hickory_resolver::{TokioResolver, system_conf};

use super::DnsError;
use super::answer::Answer;
use super::question::Question;

/// A resolver that forwards and remembers.
pub(super) struct Upstream(TokioResolver);

impl Upstream {
    /// `servers`, or those of the system. Those among `own` are left out, since they would ask us.
    pub(super) fn new(servers: Option<&[SocketAddr]>, own: &[SocketAddr]) -> Result<Self, DnsError> {
        let servers = match servers {
            Some(servers) => servers.iter().copied().map(server).collect(),
            None => system_servers()?,
        };
        let servers: Vec<NameServerConfig> =
            servers.into_iter().filter_map(|one| without(one, own)).collect();
        if servers.is_empty() {
            return Err(DnsError::OnlyOurselves);
        }
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
        Ok(Self(resolver))
    }

    pub(super) async fn ask(&self, question: &Question) -> Answer {
        let name = {
            let mut name = question.query.name().clone();
            name.set_fqdn(true); // no search list: the client has applied its own
            name
        };
        match self.0.lookup(name, question.query.query_type()).await {
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
}

fn system_servers() -> Result<Vec<NameServerConfig>, DnsError> {
    let (config, _) = system_conf::read_system_conf()
        .map_err(|error| DnsError::NoSystemServers { why: error.to_string() })?;
    if config.name_servers().is_empty() {
        return Err(DnsError::NoSystemServers { why: "/etc/resolv.conf names none".to_owned() });
    }
    Ok(config.name_servers().to_vec())
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
