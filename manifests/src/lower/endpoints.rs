//! The endpoints of a Service port: the workloads its selector picks, where they listen for it; on a cluster those that
//! its EndpointSlices list, because readiness is theirs to say.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weft_policy::endpoint::{Endpoint, EndpointSet, Health};
use weft_policy::identity::SpiffeId;
use weft_policy::object::ServicePort;

use crate::core::{Backing, Listed, Port, Service, TargetPort};
use crate::crd::workload::{Sidecar, Workload};
use crate::set::ObjectSet;

use super::Lowered;

/// Lowers the endpoints of a Service port.
#[must_use]
pub fn endpoints(set: &ObjectSet, port: &ServicePort) -> Lowered<EndpointSet> {
    let Some(service) = set.service(&port.service) else { return Lowered::nothing() };
    let Some(written) = service.port(port.port) else { return Lowered::nothing() };
    let mut endpoints: Vec<Endpoint> = match &service.backing {
        Backing::Selected => set.behind(service).filter_map(|found| selected(set, found, written)).collect(),
        Backing::Listed(all) => all.iter().filter_map(|found| listed(set, service, found, written)).collect(),
    };
    endpoints.sort_by(|a, b| {
        a.addr.cmp(&b.addr).then_with(|| a.target_port.cmp(&b.target_port)).then_with(|| a.name.cmp(&b.name))
    });
    Lowered { value: Some(EndpointSet::new(port.clone(), endpoints)), conditions: Vec::new() }
}

/// The application's port that a Service port means at a workload; `None` where it has none of that name.
pub(super) fn target(workload: &Workload, target: &TargetPort) -> Option<u16> {
    match target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Named(name) => workload.port_named(name).map(|port| port.number),
    }
}

/// Who a workload is. `None` if its names cannot stand in an identity, which the readers of objects rule out.
pub(super) fn identity(set: &ObjectSet, workload: &Workload) -> Option<SpiffeId> {
    SpiffeId::workload(&set.settings().trust_domain, &workload.meta.namespace, &workload.service_account).ok()
}

fn selected(set: &ObjectSet, workload: &Workload, port: &Port) -> Option<Endpoint> {
    endpoint(set, workload, workload.address, target(workload, &port.target)?)
}

/// A pod that is listed and not known (yet), or that does not have the address, is no endpoint: nobody can say whether
/// it has a sidecar, and it would be called in plaintext, or as somebody else.
fn listed(set: &ObjectSet, service: &Service, listed: &Listed, port: &Port) -> Option<Endpoint> {
    let (_, target_port) = listed.ports.iter().find(|(name, _)| *name == port.name)?;
    let Some(pod) = &listed.workload else { return Some(outside(listed, *target_port)) };
    let pod = set.workload(&service.meta.namespace, pod).filter(|pod| pod.is_at(listed.address))?;
    let found = endpoint(set, pod, listed.address, *target_port)?;
    // That a stream to the pod's proxy was lost here says nothing: it may be another replica's now, and the kubelet
    // asks the pod itself.
    let said = if found.health == Health::Unconfirmed { Health::Healthy } else { found.health };
    let zone = found.zone.or_else(|| listed.zone.clone());
    Some(Endpoint { health: said.max(listed.health), zone, ..found })
}

/// An address that is no pod: a database beside the cluster, say.
fn outside(listed: &Listed, target_port: u16) -> Endpoint {
    Endpoint {
        name: listed.address.to_string().into(),
        addr: SocketAddr::new(listed.address, target_port),
        target_port,
        identity: None,
        zone: listed.zone.clone(),
        weight: 1,
        health: listed.health,
    }
}

/// A workload that has a sidecar and no identity is no endpoint: it would be called in plaintext.
fn endpoint(set: &ObjectSet, workload: &Workload, address: IpAddr, target_port: u16) -> Option<Endpoint> {
    let (port, identity) = match workload.sidecar {
        Sidecar::Absent => (target_port, None),
        Sidecar::Transparent => (target_port, Some(identity(set, workload)?)),
        Sidecar::Listener(inbound) => (inbound, Some(identity(set, workload)?)),
    };
    Some(Endpoint {
        name: Arc::clone(&workload.meta.name),
        addr: SocketAddr::new(address, port),
        target_port,
        identity,
        zone: workload.zone.clone(),
        weight: workload.weight.max(1),
        health: set.health(workload),
    })
}
