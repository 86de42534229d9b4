//! `Workload`: an endpoint that is not a pod: a process, a laptop, a VM. Pods become the same type.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use weft_policy::health::{HealthCheck, Probe};
use weft_policy::object::{Kind, ObjectRef};
use weft_policy::protocol::AppProtocol;

use crate::app_protocol::app_protocol;
use crate::duration;
use crate::meta::{self, Metadata};
use crate::reader::At;

/// A workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// `metadata`; Services select by its labels.
    pub meta: Metadata,
    /// Where clients reach it.
    pub address: IpAddr,
    /// Further addresses that are its own: a pod's in the other family.
    pub further: Vec<IpAddr>,
    /// What its application listens on.
    pub ports: Vec<WorkloadPort>,
    /// Default `default`.
    pub service_account: Arc<str>,
    /// `topology.kubernetes.io/zone`
    pub zone: Option<Arc<str>>,
    /// Relative share of requests, at least 1. Default 1.
    pub weight: u32,
    /// How its sidecar is reached.
    pub sidecar: Sidecar,
    /// How its proxy finds out whether it is well; sorted by port.
    pub health: Vec<HealthCheck>,
    /// Who says it exists.
    pub origin: Origin,
}

impl Workload {
    /// Its name.
    #[must_use]
    pub fn key(&self) -> ObjectRef {
        ObjectRef {
            kind: Kind::Workload,
            namespace: Arc::clone(&self.meta.namespace),
            name: Arc::clone(&self.meta.name),
        }
    }

    /// Whether this address is its own.
    #[must_use]
    pub fn is_at(&self, address: IpAddr) -> bool {
        self.address == address || self.further.contains(&address)
    }

    /// The port it calls by this name.
    #[must_use]
    pub fn port_named(&self, name: &str) -> Option<&WorkloadPort> {
        self.ports.iter().find(|port| *port.name == *name)
    }
}

/// A port of a workload's application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadPort {
    /// Empty if it has none.
    pub name: Arc<str>,
    /// The number.
    pub number: u16,
    /// `appProtocol`, where it is written and known.
    pub declared: Option<AppProtocol>,
    /// Where the application listens, if not on loopback at `number`.
    pub listen: Option<SocketAddr>,
}

/// How a workload's sidecar is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sidecar {
    /// `mesh: false`: there is none, clients speak plaintext to the application.
    Absent,
    /// It takes over connections to the application's own ports.
    Transparent,
    /// It listens on a port of its own. The default, with 4143.
    Listener(u16),
}

/// Who says that a workload exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// An operator.
    #[default]
    Declared,
    /// An API server: it is a pod, and its slices say how it is.
    Pod,
    /// Its own proxy, within what its join token permits.
    SelfRegistered,
}

/// Reads `spec`.
pub(crate) fn read(meta: Metadata, spec: Option<&At<'_>>) -> Option<Workload> {
    let mut fields = spec?.fields()?;
    let address = fields
        .need("address")
        .and_then(|at| at.parse(str::parse::<IpAddr>, "write an IP address, not a host name"));
    let ports = ports(&fields.items("ports", MAX_PORTS));
    let service_account = fields.get("serviceAccount").map_or_else(
        || Some("default".into()),
        |at| at.parse(|text| meta::dns_subdomain(text).map(|()| Arc::from(text)), "name a service account"),
    );
    let zone = fields.get("zone").and_then(|at| at.text());
    let weight = fields.get("weight").map_or(Some(1), |at| at.number(1, 1_000_000));
    let mesh = fields.get("mesh").map_or(Some(true), |at| at.flag());
    let mut sidecar = Some(Sidecar::Listener(DEFAULT_INBOUND));
    if let Some(mut inbound) = fields.get("inbound").and_then(|at| at.fields()) {
        let transparent = inbound.get("transparent").and_then(|at| at.flag()).unwrap_or(false);
        sidecar = match inbound.get("port") {
            Some(at) => at.port().map(Sidecar::Listener),
            None if transparent => Some(Sidecar::Transparent),
            None => sidecar,
        };
        inbound.finish();
    }
    if mesh == Some(false) {
        sidecar = Some(Sidecar::Absent);
    }
    let mut health: Vec<HealthCheck> =
        fields.items("health", MAX_CHECKS).iter().filter_map(|at| health_check(at, &ports)).collect();
    health.sort_by_key(|check| check.port);
    fields.finish();
    Some(Workload {
        meta,
        address: address?,
        further: Vec::new(),
        ports,
        service_account: service_account?,
        zone,
        weight: weight?,
        sidecar: sidecar?,
        health,
        origin: Origin::Declared,
    })
}

fn ports(items: &[At<'_>]) -> Vec<WorkloadPort> {
    let mut ports: Vec<WorkloadPort> = Vec::new();
    for at in items {
        let Some(mut fields) = at.fields() else { continue };
        let name: Arc<str> = fields
            .get("name")
            .and_then(|at| {
                at.parse(|text| meta::dns_label(text).map(|()| Arc::from(text)), "use a DNS label")
            })
            .unwrap_or_default();
        let number = fields.need("port").and_then(|at| at.port());
        let protocol = fields.get("appProtocol");
        let protocol = protocol.or_else(|| fields.get("protocol"));
        let declared = protocol.and_then(|at| app_protocol(&at));
        let listen = fields
            .get("listen")
            .and_then(|at| at.parse(str::parse::<SocketAddr>, "write address and port, like 127.0.0.1:8080"));
        fields.skip(&["protocol"]);
        fields.finish();
        let Some(number) = number else { continue };
        let twice = |known: &WorkloadPort| known.number == number || (!name.is_empty() && known.name == name);
        if ports.iter().any(twice) {
            at.bad("this number or name stands twice", "give each port its own");
        } else {
            ports.push(WorkloadPort { name, number, declared, listen });
        }
    }
    ports
}

fn health_check(at: &At<'_>, ports: &[WorkloadPort]) -> Option<HealthCheck> {
    let mut fields = at.fields()?;
    let probes: Vec<(&str, At<'_>)> =
        ["tcp", "http", "grpc"].into_iter().filter_map(|name| Some((name, fields.get(name)?))).collect();
    let [(name, probe)] = probes.as_slice() else {
        at.bad("a health check asks exactly one thing", "write one of tcp, http or grpc");
        return None;
    };
    let mut inner = probe.fields()?;
    let port = match (inner.get("port"), ports) {
        (Some(at), _) => at.port(),
        (None, [only]) => Some(only.number),
        (None, _) => {
            probe.bad("`port` is missing", "say which port to ask: the workload has not exactly one");
            None
        }
    };
    let word = |at: Option<At<'_>>| at.and_then(|at| at.text());
    let kind = match *name {
        "http" => Probe::Http { path: word(inner.get("path")).unwrap_or_else(|| "/".into()) },
        "grpc" => Probe::Grpc { service: word(inner.get("service")).unwrap_or_default() },
        _ => Probe::Tcp,
    };
    inner.finish();
    let mut time = |name, default| {
        fields.get(name).map_or(Some(default), |at| at.parse(duration::parse, duration::HELP))
    };
    let (interval, timeout) =
        (time("interval", Duration::from_secs(5)), time("timeout", Duration::from_secs(1)));
    let (mut healthy_after, mut unhealthy_after) = (Some(1), Some(3));
    if let Some(mut thresholds) = fields.get("thresholds").and_then(|at| at.fields()) {
        healthy_after = thresholds.get("healthy").map_or(healthy_after, |at| at.number(1, 100));
        unhealthy_after = thresholds.get("unhealthy").map_or(unhealthy_after, |at| at.number(1, 100));
        thresholds.finish();
    }
    fields.finish();
    if matches!(&kind, Probe::Http { path } if !path.starts_with('/')) {
        probe.bad("the path does not begin with a slash", "write a path like /healthz");
    }
    if timeout == Some(Duration::ZERO) {
        at.bad("the timeout is zero", "write a duration like 1s");
    }
    let too_often = interval.is_some_and(|interval| interval < MIN_INTERVAL);
    if too_often {
        at.bad("the interval is under 100 ms", "write at least 100ms");
    }
    Some(HealthCheck {
        probe: kind,
        port: port?,
        interval: interval?,
        timeout: timeout?,
        healthy_threshold: healthy_after?,
        unhealthy_threshold: unhealthy_after?,
    })
}

/// Where a sidecar listens for its peers if its `Workload` does not say.
pub const DEFAULT_INBOUND: u16 = 4143;
const MIN_INTERVAL: Duration = Duration::from_millis(100);
pub(super) const MAX_PORTS: usize = 1000;
pub(super) const MAX_CHECKS: usize = 16;
