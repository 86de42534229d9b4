//! The kinds that are watched, and how one finds out whether an API server has them.

use std::fmt;

use kube::Client;
use kube::core::ApiResource;

/// A kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watchable {
    /// Its name, as people write it.
    pub kind: &'static str,
    pub(super) group: &'static str,
    /// The versions that are read, the best first.
    pub(super) versions: &'static [&'static str],
    pub(super) plural: &'static str,
    /// What it is read as.
    pub(super) shape: Shape,
    /// Where a kind comes from that an API server may lack; `None`: all have it.
    pub(super) origin: Option<&'static str>,
}

/// What a kind is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    Pod,
    Slice,
    Node,
    Written,
}

impl fmt::Display for Watchable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)
    }
}

/// All of them.
pub const WATCHED: &[Watchable] = &[
    core("Service", "services", Shape::Written),
    core("Pod", "pods", Shape::Pod),
    core("Node", "nodes", Shape::Node),
    Watchable { group: "discovery.k8s.io", ..core("EndpointSlice", "endpointslices", Shape::Slice) },
    gateway("HTTPRoute", "httproutes", &["v1", "v1beta1"]),
    gateway("GRPCRoute", "grpcroutes", &["v1"]),
    ours("TrafficPolicy", "trafficpolicies"),
    ours("AuthorizationPolicy", "authorizationpolicies"),
    ours("AuthenticationPolicy", "authenticationpolicies"),
    ours("Workload", "workloads"),
];

const fn core(kind: &'static str, plural: &'static str, shape: Shape) -> Watchable {
    Watchable { kind, group: "", versions: &["v1"], plural, shape, origin: None }
}

const fn gateway(kind: &'static str, plural: &'static str, versions: &'static [&'static str]) -> Watchable {
    let origin = Some("install the CRDs of the Gateway API (v1.1 or newer) to use it");
    Watchable { kind, group: "gateway.networking.k8s.io", versions, plural, shape: Shape::Written, origin }
}

const fn ours(kind: &'static str, plural: &'static str) -> Watchable {
    let origin = Some("install the CRDs of Weft's chart to use it");
    let (group, versions) = (weft_manifests::crd::GROUP, &[weft_manifests::crd::VERSION]);
    Watchable { kind, group, versions, plural, shape: Shape::Written, origin }
}

impl Watchable {
    /// How to ask for it in this version.
    pub(super) fn api(&self, version: &str) -> ApiResource {
        let api_version =
            if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) };
        ApiResource {
            group: self.group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }

    /// Asks the API server in which of the versions it has the kind; `None` if in none.
    ///
    /// # Errors
    /// If it cannot say now.
    pub(crate) async fn served(&self, client: &Client) -> Result<Option<ApiResource>, kube::Error> {
        for version in self.versions {
            let api = self.api(version);
            if self.origin.is_none() {
                return Ok(Some(api));
            }
            match client.list_api_group_resources(&api.api_version).await {
                Ok(list) if list.resources.iter().any(|found| found.name == self.plural) => {
                    return Ok(Some(api));
                }
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
