//! A pod, as much of it as a mesh reads, and the [`Workload`] that it is.
//!
//! The fields have the API's names, so that whatever decodes a watch decodes straight into them and skips the rest.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

use super::text;
use crate::crd::workload::{Origin, Sidecar, Workload, WorkloadPort};
use crate::meta::{self, Metadata};

/// `metadata` of whatever an API server has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// The object's name.
    #[serde(deserialize_with = "text::text")]
    pub name: Arc<str>,
    /// Empty for what stands in no namespace.
    #[serde(deserialize_with = "text::text")]
    pub namespace: Arc<str>,
    /// One for each object that ever was.
    #[serde(deserialize_with = "text::text")]
    pub uid: Arc<str>,
    /// For the next watch.
    #[serde(deserialize_with = "text::text")]
    pub resource_version: Arc<str>,
    /// For selectors.
    #[serde(deserialize_with = "text::words")]
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Set: it is on its way out.
    #[serde(deserialize_with = "text::optional")]
    pub deletion_timestamp: Option<Arc<str>>,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// `metadata`
    pub metadata: Meta,
    /// `spec`
    pub spec: PodSpec,
    /// `status`
    pub status: PodStatus,
}

/// `spec`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Empty is `default`.
    #[serde(deserialize_with = "text::text")]
    pub service_account_name: Arc<str>,
    /// Empty: not scheduled.
    #[serde(deserialize_with = "text::text")]
    pub node_name: Arc<str>,
    /// It has the addresses of its node.
    pub host_network: bool,
    /// Its containers.
    #[serde(deserialize_with = "text::or_default")]
    pub containers: Vec<Container>,
    /// What runs before them, and sidecars.
    #[serde(deserialize_with = "text::or_default")]
    pub init_containers: Vec<Container>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name.
    #[serde(deserialize_with = "text::text")]
    pub name: Arc<str>,
    /// `Always` for a sidecar among the init containers.
    #[serde(deserialize_with = "text::optional")]
    pub restart_policy: Option<Arc<str>>,
    /// What it says that it listens on.
    #[serde(deserialize_with = "text::or_default")]
    pub ports: Vec<ContainerPort>,
}

/// A port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Empty if it has none.
    #[serde(deserialize_with = "text::text")]
    pub name: Arc<str>,
    /// The number.
    pub container_port: u16,
    /// Empty is `TCP`.
    #[serde(deserialize_with = "text::text")]
    pub protocol: Arc<str>,
}

/// `status`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    #[serde(deserialize_with = "text::text")]
    pub phase: Arc<str>,
    /// One of each family.
    #[serde(rename = "podIPs", deserialize_with = "text::or_default")]
    pub pod_ips: Vec<PodIp>,
}

/// An address of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// As text.
    #[serde(deserialize_with = "text::text")]
    pub ip: Arc<str>,
}

impl Pod {
    /// Its service account.
    #[must_use]
    pub fn service_account(&self) -> Arc<str> {
        let said = &self.spec.service_account_name;
        if said.is_empty() { "default".into() } else { Arc::clone(said) }
    }

    /// Its addresses, in the order of the families that it prefers.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.status.pod_ips.iter().filter_map(|address| address.ip.parse().ok())
    }

    /// Whether it has run to its end. Its addresses may be somebody else's by now.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(&*self.status.phase, "Succeeded" | "Failed")
    }

    /// Whether it has been told to go.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether our proxy runs in it.
    #[must_use]
    pub fn has_sidecar(&self) -> bool {
        let containers = self.spec.init_containers.iter().chain(&self.spec.containers);
        !self.spec.host_network && containers.into_iter().any(|container| *container.name == *PROXY_CONTAINER)
    }

    /// The workload that it is. `None`: it has no address yet, or has run to its end.
    #[must_use]
    pub fn workload(&self, zone: Option<Arc<str>>) -> Option<Workload> {
        let Meta { name, namespace, labels, .. } = &self.metadata;
        meta::dns_subdomain(name).and_then(|()| meta::namespace(namespace)).ok()?;
        meta::dns_subdomain(&self.service_account()).ok()?;
        let mut addresses = self.addresses().filter(|_| !self.is_over());
        let address = addresses.next()?;
        Some(Workload {
            meta: Metadata { labels: labels.clone(), ..Metadata::new(namespace, name) },
            address,
            further: addresses.collect(),
            ports: self.ports(),
            service_account: self.service_account(),
            zone,
            weight: 1,
            sidecar: if self.has_sidecar() { Sidecar::Transparent } else { Sidecar::Absent },
            health: Vec::new(),
            origin: Origin::Pod,
        })
    }

    /// What its containers say that they listen on, sidecars included: Services name these ports.
    fn ports(&self) -> Vec<WorkloadPort> {
        let sidecars = self.spec.init_containers.iter();
        let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
        let containers = self.spec.containers.iter().chain(sidecars);
        let own = containers.filter(|container| *container.name != *PROXY_CONTAINER);
        let mut ports: Vec<WorkloadPort> = Vec::new();
        for port in own.flat_map(|container| &container.ports) {
            let is_tcp = matches!(&*port.protocol, "" | "TCP");
            // Of two with one name the first counts, as the endpoint controller has it.
            let is_known = ports.iter().any(|known| {
                known.number == port.container_port || (!port.name.is_empty() && known.name == port.name)
            });
            if is_tcp && !is_known && port.container_port > 0 {
                let name = Arc::clone(&port.name);
                ports.push(WorkloadPort { name, number: port.container_port, declared: None, listen: None });
            }
        }
        ports
    }
}

/// By this name the proxy's container is known in a pod.
pub const PROXY_CONTAINER: &str = "weft-proxy";

#[cfg(test)]
mod tests;
