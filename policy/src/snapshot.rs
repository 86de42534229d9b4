//! Everything one proxy has been told, as one immutable value that is swapped whole.
//!
//! Resources are shared by `Arc`; a snapshot is the small map above them, so an update costs the change and
//! not what is held. A snapshot that names something it does not carry is legal: the decision then refuses
//! with that reason. It never falls back to an older one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::authorize::PortPolicy;
use crate::breaker::BreakerConfig;
use crate::deadline::Timeouts;
use crate::endpoint::{Balance, Endpoint, EndpointSet, Health, Limits};
use crate::facts::Destination;
use crate::identity::SpiffeId;
use crate::object::{ObjectRef, ServiceName, ServicePort};
use crate::protocol::AppProtocol;
use crate::retry::{BudgetConfig, Retry};
use crate::route::Routes;

/// Everything a proxy has been told.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The control plane's generation of the newest change in here.
    pub revision: u64,
    /// Policy for calls into this proxy's own application. `None` until it has arrived: deny.
    pub inbound: Option<Arc<Inbound>>,
    /// Services this proxy has asked about.
    pub services: BTreeMap<ServiceName, Arc<Service>>,
    /// Names that lead to a service, as this proxy's namespace sees them: lower case, no port.
    pub hosts: BTreeMap<Arc<str>, ServiceName>,
    /// Virtual addresses that lead to a service.
    pub vips: BTreeMap<IpAddr, ServiceName>,
    /// Routes of a service, for this proxy's class of client namespace.
    pub routes: BTreeMap<ServiceName, Arc<Routes>>,
    /// Endpoints of a service's port.
    pub endpoints: BTreeMap<ServicePort, Arc<EndpointSet>>,
    /// Aliases that the control plane has answered with "there is no such service".
    pub absent: BTreeMap<Alias, Absent>,
}

impl Snapshot {
    /// The service a destination leads to, with the port that was dialled.
    #[must_use]
    pub fn service_at(&self, destination: &Destination<'_>) -> Option<&Arc<Service>> {
        let name = match destination {
            Destination::Addr(addr) => self.vips.get(&addr.ip())?,
            Destination::Name { host, .. } => match may_be_address(host).then(|| host.parse::<IpAddr>()) {
                Some(Ok(ip)) => self.vips.get(&ip)?,
                None | Some(Err(_)) => self.hosts.get(*host)?,
            },
        };
        self.services.get(name)
    }

    /// The endpoints of a service's port; a pod that is called by its own address is one at each port.
    #[must_use]
    pub fn endpoints_of(&self, to: &ServicePort) -> Option<Cow<'_, Arc<EndpointSet>>> {
        match self.endpoints.get(to) {
            Some(set) => Some(Cow::Borrowed(set)),
            None => {
                let pod = self.services.get(&to.service)?.pod.as_ref()?;
                Some(Cow::Owned(Arc::new(EndpointSet::new(to.clone(), vec![pod.endpoint(to.port)]))))
            }
        }
    }
}

/// Whether it is worth parsing: most names end in a letter, and no address does that has no colon.
fn may_be_address(host: &str) -> bool {
    host.bytes().next_back().is_some_and(|last| last.is_ascii_digit()) || host.contains(':')
}

/// A key by which a proxy asks for a service on first use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Alias {
    /// A virtual IP (ClusterIP), whatever the port.
    Ip(IpAddr),
    /// A name as the application wrote it: lower case, no port, no trailing dot.
    Host(Arc<str>),
}

impl Alias {
    /// The alias of a host name. Lower-cases, and drops one trailing dot.
    #[must_use]
    pub fn host(name: &str) -> Self {
        let name = name.strip_suffix('.').unwrap_or(name);
        Self::Host(if name.bytes().any(|b| b.is_ascii_uppercase()) {
            name.to_ascii_lowercase().into()
        } else {
            name.into()
        })
    }

    /// The alias by which a destination is asked for.
    #[must_use]
    pub fn of(destination: &Destination<'_>) -> Self {
        match destination {
            Destination::Addr(addr) => Self::Ip(addr.ip()),
            Destination::Name { host, .. } => host.parse().map_or_else(|_| Self::host(host), Self::Ip),
        }
    }
}

impl std::fmt::Display for Alias {
    /// The form that crosses the wire: `ip/10.96.0.7` or `host/api.shop`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(ip) => write!(f, "ip/{ip}"),
            Self::Host(host) => write!(f, "host/{host}"),
        }
    }
}

/// Why an alias leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The mesh has no such service: the destination lies outside.
    NotFound,
    /// There is one, and this proxy's identity may not see it.
    Forbidden,
}

/// A Service as its clients see it: the frontend of the Gateway API's service mesh model (GEP-1324).
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Namespace and name.
    pub name: ServiceName,
    /// Virtual addresses, sorted.
    pub vips: Vec<IpAddr>,
    /// Every name that leads here, for this proxy's namespace; sorted.
    pub hosts: Vec<Arc<str>>,
    /// Sorted by number.
    pub ports: Vec<Port>,
    /// The pod that this is, where it is no Service: `vips` are then its own addresses.
    pub pod: Option<Box<Pod>>,
}

impl Service {
    /// The port with this number.
    #[must_use]
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// How to send to a port: to one that is listed, and to every other of a pod.
    #[must_use]
    pub fn way_to(&self, number: u16) -> Option<&Port> {
        self.port(number).or_else(|| self.pod.as_ref().map(|pod| &pod.elsewhere))
    }
}

/// A pod with a sidecar, called by its own address: by the name that a StatefulSet gives it, by what a headless
/// Service's name stands for. Whoever calls has chosen already, so there is one endpoint, and it is at every port.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is: the first of its addresses. Its sidecar takes over what comes to any port.
    pub addr: IpAddr,
    /// Who its sidecar must prove to be.
    pub identity: SpiffeId,
    /// `topology.kubernetes.io/zone`
    pub zone: Option<Arc<str>>,
    /// How to send to a port that nobody has said anything of: its number says nothing.
    pub elsewhere: Port,
}

impl Pod {
    /// Of that name, with what is the same for all of them filled in.
    #[must_use]
    pub fn new(name: Arc<str>, addr: IpAddr, identity: SpiffeId, zone: Option<Arc<str>>) -> Self {
        let elsewhere =
            Port { number: 0, name: "".into(), protocol: AppProtocol::Detect, traffic: Arc::default() };
        Self { name, addr, identity, zone, elsewhere }
    }

    /// The pod at one of its ports. How it is was the business of whoever has chosen it.
    fn endpoint(&self, port: u16) -> Endpoint {
        Endpoint {
            name: Arc::clone(&self.name),
            addr: SocketAddr::new(self.addr, port),
            target_port: port,
            identity: Some(self.identity.clone()),
            zone: self.zone.clone(),
            weight: 1,
            health: Health::Healthy,
        }
    }
}

/// One port of a Service and how to send to what is behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// `spec.ports[].port`
    pub number: u16,
    /// `spec.ports[].name`, empty if it has none.
    pub name: Arc<str>,
    /// What it speaks.
    pub protocol: AppProtocol,
    /// How to send to it.
    pub traffic: Arc<Traffic>,
}

/// How to send to a backend: what a `TrafficPolicy` says, with its defaults filled in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// The `TrafficPolicy`, or `None` where the defaults hold.
    pub origin: Option<ObjectRef>,
    /// Which endpoint to ask.
    pub balance: Balance,
    /// How long to wait. A route's own timeouts come first, field by field.
    pub timeouts: Timeouts,
    /// When to try again. A route's own retry comes first, as a whole.
    pub retry: Retry,
    /// How many retries there may be in all.
    pub budget: BudgetConfig,
    /// When to leave an endpoint alone.
    pub breaker: BreakerConfig,
    /// How much at once.
    pub limits: Limits,
}

/// Policy for calls into one workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Inbound {
    /// The workload this is about.
    pub workload: ObjectRef,
    /// Who it is.
    pub identity: SpiffeId,
    /// Labels' zone, for balancing: `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
    /// Declared ports, sorted by number.
    pub ports: Vec<InboundPort>,
    /// For every port that is not declared.
    pub undeclared: PortPolicy,
}

impl Inbound {
    /// The policy of a port.
    #[must_use]
    pub fn policy(&self, port: u16) -> &PortPolicy {
        self.ports.iter().find(|declared| declared.number == port).map_or(&self.undeclared, |p| &p.policy)
    }

    /// What a port speaks.
    #[must_use]
    pub fn protocol(&self, port: u16) -> AppProtocol {
        self.ports
            .iter()
            .find(|declared| declared.number == port)
            .map_or_else(|| AppProtocol::by_default_for(port), |p| p.protocol)
    }
}

/// One declared port of a workload's application.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundPort {
    /// The application's own port (a Service's target port).
    pub number: u16,
    /// What it speaks.
    pub protocol: AppProtocol,
    /// Where the application listens, if not on loopback at `number`.
    pub address: Option<SocketAddr>,
    /// Who may call, and how proven.
    pub policy: PortPolicy,
}
