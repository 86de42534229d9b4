//! The kinds that are watched, and how one finds out whether an API server has them.

use std::fmt;

use kube::Client;
use kube::core::ApiResource;
use serde::Deserialize;

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
    /// Whether it is of Weft's own kinds.
    pub(super) fn is_ours(&self) -> bool {
        self.group == weft_manifests::crd::GROUP
    }

    /// What is said where the API server has it in these versions only.
    pub(super) fn in_another_version(&self, versions: &str) -> String {
        let read = self.versions.join(" or ");
        format!(
            "the API server has the kind {self} in {versions}, and {read} is read: install CRDs that have it"
        )
    }

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

    /// Asks the API server in which of the versions it has the kind.
    ///
    /// # Errors
    /// If it cannot say now.
    pub(crate) async fn served(&self, client: &Client) -> Result<Served, kube::Error> {
        for version in self.versions {
            let api = self.api(version);
            if self.origin.is_none() || self.is_in(client, &api.api_version).await? {
                return Ok(Served::Here(api));
            }
        }
        let others = self.other_versions(client).await?;
        Ok(if others.is_empty() { Served::Nowhere } else { Served::Elsewhere(others.join(", ")) })
    }

    /// Whether it is among the kinds of this group and version.
    async fn is_in(&self, client: &Client, api_version: &str) -> Result<bool, kube::Error> {
        match client.list_api_group_resources(api_version).await {
            Ok(list) => Ok(list.resources.iter().any(|found| found.name == self.plural)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The versions that it has the kind in, of those that are not read.
    async fn other_versions(&self, client: &Client) -> Result<Vec<String>, kube::Error> {
        let request = http::Request::get(format!("/apis/{}", self.group)).body(Vec::new());
        let group: Group = match client.request(request.map_err(kube::Error::HttpError)?).await {
            Ok(group) => group,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut others = Vec::new();
        for Version { version } in group.versions.into_iter().take(MOST_VERSIONS) {
            let is_other = !self.versions.contains(&version.as_str());
            if is_other && self.is_in(client, &format!("{}/{version}", self.group)).await? {
                others.push(version);
            }
        }
        Ok(others)
    }
}

/// Whether an API server has a kind.
#[derive(Clone, Debug)]
pub(crate) enum Served {
    /// In the best version that is read.
    Here(ApiResource),
    /// In these versions, none of which is read.
    Elsewhere(String),
    /// It does not.
    Nowhere,
}

impl Served {
    /// How it is asked for.
    pub(crate) fn here(self) -> Option<ApiResource> {
        if let Self::Here(api) = self { Some(api) } else { None }
    }
}

/// `APIGroup` (meta/v1), as much of it as is read.
#[derive(Debug, Deserialize)]
struct Group {
    versions: Vec<Version>,
}

#[derive(Debug, Deserialize)]
struct Version {
    version: String,
}

const MOST_VERSIONS: usize = 16;
