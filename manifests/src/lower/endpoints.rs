//! The endpoints of a Service port: the workloads its selector picks, where they listen for it.

use std::net::SocketAddr;
use std::sync::Arc;

use weft_policy::endpoint::{Endpoint, EndpointSet};
use weft_policy::identity::SpiffeId;
use weft_policy::object::ServicePort;

use crate::core::TargetPort;
use crate::crd::workload::{Sidecar, Workload};
use crate::set::ObjectSet;

use super::Lowered;

/// Lowers the endpoints of a Service port.
#[must_use]
pub fn endpoints(set: &ObjectSet, port: &ServicePort) -> Lowered<EndpointSet> {
    let Some(service) = set.service(&port.service) else { return Lowered::nothing() };
    let Some(written) = service.port(port.port) else { return Lowered::nothing() };
    let selected = set.selected_by(service);
    let mut endpoints: Vec<Endpoint> =
        selected.filter_map(|workload| endpoint(set, workload, target(workload, &written.target)?)).collect();
    endpoints.sort_by(|a, b| {
        a.addr.cmp(&b.addr).then_with(|| a.target_port.cmp(&b.target_port)).then_with(|| a.name.cmp(&b.name))
    });
    Lowered { value: Some(EndpointSet { of: port.clone(), endpoints }), conditions: Vec::new() }
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

/// A workload that has a sidecar and no identity is no endpoint: it would be called in plaintext.
fn endpoint(set: &ObjectSet, workload: &Workload, target_port: u16) -> Option<Endpoint> {
    let (port, identity) = match workload.sidecar {
        Sidecar::Absent => (target_port, None),
        Sidecar::Transparent => (target_port, Some(identity(set, workload)?)),
        Sidecar::Listener(inbound) => (inbound, Some(identity(set, workload)?)),
    };
    Some(Endpoint {
        name: Arc::clone(&workload.meta.name),
        addr: SocketAddr::new(workload.address, port),
        target_port,
        identity,
        zone: workload.zone.clone(),
        weight: workload.weight.max(1),
        health: set.health(workload),
    })
}
