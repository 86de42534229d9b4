//! A pod as it is called by its own address: to clients a Service of one endpoint, at every port.

use std::sync::Arc;

use weft_policy::endpoint::Balance;
use weft_policy::object::{ObjectRef, ServiceName};
use weft_policy::snapshot::{Pod, Port, Service, Traffic};

use crate::core::{ClusterIps, Service as Written};
use crate::crd::workload::{Origin, Sidecar};
use crate::set::ObjectSet;

use super::services::{holder, traffic};
use super::{Lowered, endpoints};

/// Lowers a pod as it is called by its own addresses: for those who call a StatefulSet's pods by their names, or whom a
/// headless Service leaves the choice. `None` where clients speak plaintext to it, as to anything outside of the mesh.
#[must_use]
pub fn pod(set: &ObjectSet, workload: &ObjectRef) -> Lowered<Service> {
    let found = set.workload(&workload.namespace, &workload.name);
    // Only a pod's addresses are nobody else's: plain processes of a machine share theirs.
    let found = found.filter(|found| found.origin == Origin::Pod && found.sidecar == Sidecar::Transparent);
    let Some(found) = found else { return Lowered::nothing() };
    let Some(identity) = endpoints::identity(set, found) else { return Lowered::nothing() };
    let mut ports: Vec<Port> = Vec::new();
    let is_headless = |service: &Written| service.cluster_ips == ClusterIps::Headless;
    let mut services = set.before(found);
    services.sort_by_key(|service| !is_headless(service));
    for service in services {
        // Whoever calls a pod of another Service has not called that Service.
        let policies: Vec<_> = set.traffic_on(&service.name()).filter(|_| is_headless(service)).collect();
        for port in &service.ports {
            let Some(number) = endpoints::target(found, &port.target) else { continue };
            if ports.iter().any(|known| known.number == number) {
                continue;
            }
            let how = holder(&policies, &service.name(), &port.name).map_or_else(Traffic::default, traffic);
            // There is nothing to choose from.
            let traffic = Arc::new(Traffic { balance: Balance::default(), ..how });
            ports.push(Port { number, name: Arc::clone(&port.name), protocol: port.protocol(), traffic });
        }
    }
    ports.sort_by_key(|port| port.number);
    let mut vips = [&[found.address], &*found.further].concat();
    vips.sort_unstable();
    let pod = Pod::new(Arc::clone(&found.meta.name), found.address, identity, found.zone.clone());
    let value =
        Service { name: name_of_pod(workload), vips, hosts: Vec::new(), ports, pod: Some(Box::new(pod)) };
    Lowered { value: Some(value), conditions: Vec::new() }
}

/// Under which name a pod stands among the Services. None of those has a dot in its name.
#[must_use]
pub fn name_of_pod(workload: &ObjectRef) -> ServiceName {
    ServiceName::new(&workload.namespace, &format!("{}{POD}", workload.name))
}

/// The pod that stands among the Services under such a name, if one does.
#[must_use]
pub fn pod_of_name(name: &ServiceName) -> Option<&str> {
    name.name.strip_suffix(POD)
}

const POD: &str = ".pod";
