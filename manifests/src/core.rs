//! `v1/Service`, the parts of it a mesh reads: name, selector, ports, addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use weft_policy::endpoint::Health;
use weft_policy::object::ServiceName;
use weft_policy::protocol::AppProtocol;

use crate::app_protocol::app_protocol;
use crate::crd::workload::Workload;
use crate::meta::{self, Metadata};
use crate::node::Value;
use crate::reader::{At, shorten};

/// A Service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// `metadata`
    pub meta: Metadata,
    /// Labels that its workloads carry. Empty: it selects nothing.
    pub selector: BTreeMap<Arc<str>, Arc<str>>,
    /// `spec.clusterIPs`, else `spec.clusterIP`.
    pub cluster_ips: ClusterIps,
    /// TCP ports, in the order written.
    pub ports: Vec<Port>,
    /// Where its endpoints are found.
    pub backing: Backing,
}

impl Service {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> ServiceName {
        ServiceName { namespace: Arc::clone(&self.meta.namespace), name: Arc::clone(&self.meta.name) }
    }

    /// Whether it selects a workload with these labels.
    #[must_use]
    pub fn selects(&self, labels: &BTreeMap<Arc<str>, Arc<str>>) -> bool {
        !self.selector.is_empty() && self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    /// Whether a workload is behind it: selected, or listed by name.
    #[must_use]
    pub fn has(&self, workload: &Workload) -> bool {
        self.selects(&workload.meta.labels) || self.listed().any(|name| *name == workload.meta.name)
    }

    /// The workloads that are listed, by name.
    pub fn listed(&self) -> impl Iterator<Item = &Arc<str>> {
        let listed = match &self.backing {
            Backing::Selected => &[][..],
            Backing::Listed(listed) => listed,
        };
        listed.iter().filter_map(|endpoint| endpoint.workload.as_ref())
    }

    /// Whether it is the same as another but for what is listed.
    #[must_use]
    pub fn differs_in_listing_only(&self, other: &Self) -> bool {
        let Self { meta, selector, cluster_ips, ports, backing: _ } = self;
        *meta == other.meta
            && *selector == other.selector
            && *cluster_ips == other.cluster_ips
            && *ports == other.ports
    }

    /// The port with this number.
    #[must_use]
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }
}

/// Where the endpoints of a Service are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Backing {
    /// The workloads that its selector picks.
    #[default]
    Selected,
    /// Those that the EndpointSlices of an API server list; sorted, without repetitions. Readiness is theirs to say.
    Listed(Arc<[Listed]>),
}

/// An endpoint in an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Where it is.
    pub address: IpAddr,
    /// The pod that it is said to be, of the Service's namespace; `None`: no pod, and so nobody with an identity.
    pub workload: Option<Arc<str>>,
    /// Ports of the application, by the name of the Service's port.
    pub ports: Arc<[(Arc<str>, u16)]>,
    /// What its conditions come to.
    pub health: Health,
    /// Where the slice says it is.
    pub zone: Option<Arc<str>>,
}

/// The virtual addresses of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterIps {
    /// Written, or given by an API server.
    Given(Vec<IpAddr>),
    /// Not written: standalone, one is chosen.
    Chosen,
    /// `clusterIP: None`: clients see the endpoints themselves. Routes cannot attach to it.
    Headless,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Empty if it has none.
    pub name: Arc<str>,
    /// What clients dial.
    pub number: u16,
    /// What the workloads listen on.
    pub target: TargetPort,
    /// `appProtocol`, where it is written and known.
    pub declared: Option<AppProtocol>,
}

impl Port {
    /// What it speaks: as declared, else what is usual for the number.
    #[must_use]
    pub fn protocol(&self) -> AppProtocol {
        self.declared.unwrap_or_else(|| AppProtocol::by_default_for(self.number))
    }
}

/// `targetPort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// The same for every workload.
    Number(u16),
    /// Whatever the workload calls by this name.
    Named(Arc<str>),
}

/// Reads `spec`. `None` if it is no Service for a mesh; the log says why.
pub(crate) fn read(meta: Metadata, spec: Option<&At<'_>>) -> Option<Service> {
    let mut fields = spec?.fields()?;
    let selector = meta::words(&mut fields, "selector");
    let external = fields.get("type").and_then(|at| at.text()).is_some_and(|kind| &*kind == "ExternalName");
    if external {
        fields.at().remark(
            "a Service of type ExternalName is not part of the mesh",
            "call the host by its own name",
        );
        return None;
    }
    let mut cluster_ips = fields.items("clusterIPs", 2);
    let single = fields.get("clusterIP");
    if cluster_ips.is_empty() {
        cluster_ips.extend(single);
    }
    let cluster_ips = addresses(&cluster_ips);
    let ports = ports(&fields.items("ports", MAX_PORTS));
    fields.skip(&NOT_OURS);
    fields.finish();
    Some(Service { meta, selector, cluster_ips, ports, backing: Backing::Selected })
}

fn addresses(items: &[At<'_>]) -> ClusterIps {
    let mut given = Vec::new();
    for at in items {
        match at.text().as_deref() {
            Some("None") => return ClusterIps::Headless,
            Some("") | None => {}
            Some(_) => {
                given.extend(at.parse(str::parse::<IpAddr>, "write an IP address, None, or leave it out"))
            }
        }
    }
    given.sort();
    given.dedup();
    if given.is_empty() { ClusterIps::Chosen } else { ClusterIps::Given(given) }
}

fn ports(items: &[At<'_>]) -> Vec<Port> {
    let mut ports: Vec<Port> = Vec::new();
    for at in items {
        let Some(port) = port(at) else { continue };
        if ports.iter().any(|known| known.number == port.number) {
            at.bad(format!("port {} stands twice", port.number), "keep one of the two");
        } else if !port.name.is_empty() && ports.iter().any(|known| known.name == port.name) {
            at.bad(format!("the port name `{}` stands twice", port.name), "give each port its own name");
        } else {
            ports.push(port);
        }
    }
    ports
}

fn port(at: &At<'_>) -> Option<Port> {
    let mut fields = at.fields()?;
    let name = fields
        .get("name")
        .and_then(|at| at.parse(|text| meta::dns_label(text).map(|()| Arc::from(text)), "use a DNS label"))
        .unwrap_or_default();
    let number = fields.need("port").and_then(|at| at.port());
    let target = match fields.get("targetPort") {
        None => number.map(TargetPort::Number),
        Some(at) => target_port(&at),
    };
    let transport = fields.get("protocol").and_then(|at| at.text());
    let declared = fields.get("appProtocol").and_then(|at| app_protocol(&at));
    fields.skip(&["nodePort"]);
    fields.finish();
    if let Some(other) = transport.filter(|transport| &**transport != "TCP") {
        at.remark(
            format!("{} is not carried by the mesh; this port is left out", shorten(&other)),
            "nothing to do, if that is known",
        );
        return None;
    }
    Some(Port { name, number: number?, target: target?, declared })
}

fn target_port(at: &At<'_>) -> Option<TargetPort> {
    match at.value() {
        Value::String(_) => {
            let named = |text: &str| meta::dns_label(text).map(|()| TargetPort::Named(text.into()));
            at.parse(named, "write a port's number or name")
        }
        _ => at.port().map(TargetPort::Number),
    }
}

/// An API server allows more; nothing real comes near.
const MAX_PORTS: usize = 1000;

/// Fields of `v1/Service` that mean nothing to the mesh.
const NOT_OURS: [&str; 16] = [
    "allocateLoadBalancerNodePorts",
    "externalIPs",
    "externalName",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "internalTrafficPolicy",
    "ipFamilies",
    "ipFamilyPolicy",
    "loadBalancerClass",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
    "publishNotReadyAddresses",
    "sessionAffinity",
    "sessionAffinityConfig",
    "trafficDistribution",
    "type",
];
