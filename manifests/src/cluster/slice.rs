//! EndpointSlices and Nodes, as much of them as a mesh reads, and what the slices of a Service come to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use weft_policy::endpoint::Health;

use super::pod::Meta;
use super::text;
use crate::core::Listed;

/// `discovery.k8s.io/v1 EndpointSlice`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// `metadata`; a label names the Service.
    pub metadata: Meta,
    /// `IPv4`, `IPv6` or `FQDN`.
    #[serde(deserialize_with = "text::text")]
    pub address_type: Arc<str>,
    /// What is listed.
    #[serde(deserialize_with = "text::or_default")]
    pub endpoints: Vec<SliceEndpoint>,
    /// Ports of all of it.
    #[serde(deserialize_with = "text::or_default")]
    pub ports: Vec<SlicePort>,
}

/// An endpoint of a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SliceEndpoint {
    /// Only the first has a meaning (API reference, `Endpoint.addresses`).
    #[serde(deserialize_with = "text::list")]
    pub addresses: Vec<Arc<str>>,
    /// Ready, serving, going.
    #[serde(deserialize_with = "text::or_default")]
    pub conditions: EndpointConditions,
    /// The pod, if it is one.
    pub target_ref: Option<TargetRef>,
    /// Where it is.
    #[serde(deserialize_with = "text::optional")]
    pub zone: Option<Arc<str>>,
}

/// `null` is unknown, which consumers are told to read as `ready` and not `terminating`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// It takes new connections.
    pub ready: Option<bool>,
    /// As `ready`, for one that is going.
    pub serving: Option<bool>,
    /// It is going.
    pub terminating: Option<bool>,
}

/// What an endpoint is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TargetRef {
    /// `Pod`, as a rule.
    #[serde(deserialize_with = "text::text")]
    pub kind: Arc<str>,
    /// Its namespace.
    #[serde(deserialize_with = "text::text")]
    pub namespace: Arc<str>,
    /// Its name.
    #[serde(deserialize_with = "text::text")]
    pub name: Arc<str>,
}

/// A port of a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SlicePort {
    /// The name of the Service's port.
    #[serde(deserialize_with = "text::optional")]
    pub name: Option<Arc<str>>,
    /// `null`: whatever the caller wishes, which is no port of a Service.
    pub port: Option<u16>,
    /// `null` is `TCP`.
    #[serde(deserialize_with = "text::optional")]
    pub protocol: Option<Arc<str>>,
}

/// `v1/Node`: where its pods are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// `metadata`
    pub metadata: Meta,
}

impl Node {
    /// `topology.kubernetes.io/zone`
    #[must_use]
    pub fn zone(&self) -> Option<Arc<str>> {
        self.metadata.labels.get("topology.kubernetes.io/zone").filter(|zone| !zone.is_empty()).cloned()
    }
}

impl EndpointConditions {
    /// Not ready and not going is not there yet: nothing is sent to it.
    fn health(self) -> Health {
        let ready = self.ready.unwrap_or(true);
        match (self.terminating.unwrap_or(false), ready) {
            // `publishNotReadyAddresses` says ready of pods that are going.
            (_, true) => Health::Healthy,
            (true, false) => Health::Draining,
            (false, false) => Health::Unhealthy,
        }
    }
}

impl EndpointSlice {
    /// The Service that it is for.
    #[must_use]
    pub fn service(&self) -> Option<&Arc<str>> {
        self.metadata.labels.get("kubernetes.io/service-name")
    }

    fn listed(&self) -> impl Iterator<Item = Listed> + '_ {
        let is_tcp = |port: &&SlicePort| {
            port.protocol.as_deref().is_none_or(|protocol| matches!(protocol, "" | "TCP"))
        };
        let ports = self.ports.iter().filter(is_tcp);
        let ports: BTreeMap<Arc<str>, u16> =
            ports.filter_map(|port| Some((port.name.clone().unwrap_or_default(), port.port?))).collect();
        let ports: Arc<[(Arc<str>, u16)]> = ports.into_iter().collect();
        self.endpoints.iter().filter_map(move |endpoint| {
            let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
            let workload = match &endpoint.target_ref {
                Some(target) if &*target.kind == "Pod" => {
                    // A pod of another namespace, which only a hand can write here: it may well have a sidecar, and
                    // would be called as if it had none.
                    (target.namespace.is_empty() || target.namespace == self.metadata.namespace)
                        .then_some(())?;
                    Some(Arc::clone(&target.name))
                }
                _ => None,
            };
            let health = endpoint.conditions.health();
            Some(Listed { address, workload, ports: Arc::clone(&ports), health, zone: endpoint.zone.clone() })
        })
    }
}

/// All that the slices of a Service list. One that is on its way from one slice to another stands in both: the one who
/// calls it ready knows more.
pub(super) fn merge<'s>(slices: impl Iterator<Item = &'s EndpointSlice>) -> Arc<[Listed]> {
    let mut listed: Vec<Listed> = slices.flat_map(EndpointSlice::listed).collect();
    listed.sort();
    listed.dedup_by(|later, first| {
        (later.address, &later.workload, &later.ports) == (first.address, &first.workload, &first.ports)
    });
    listed.into()
}
