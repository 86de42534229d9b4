//! Objects into what proxies are told: one pure function per kind of resource, from a set and a name.
//!
//! A resource depends on nothing but the set, so a control plane lowers again exactly what a change has touched,
//! and `meshctl` gets the same answer from the same files. Nothing here fails: what cannot be used is left out,
//! and a [`Condition`] says so.

mod condition;
mod findings;
mod filters;
mod matches;
mod backends;
mod http_route;
mod grpc_route;
mod routes;
mod services;
mod pods;
mod endpoints;
mod reach;
mod inbound;
mod status;
mod snapshot;

use weft_policy::endpoint::EndpointSet;
use weft_policy::health::HealthCheck;
use weft_policy::route::Routes;
use weft_policy::snapshot::{Inbound, Service};

use crate::set::{ObjectSet, ResourceKey};

pub use condition::{Condition, ConditionType, Detail, Reason};
pub use endpoints::endpoints;
pub use inbound::inbound;
pub use pods::{name_of_pod, pod, pod_of_name};
pub use routes::routes;
pub use services::service;
pub use snapshot::snapshot;
pub use status::status;

/// A resource, and what its lowering has to say about the objects it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Lowered<T> {
    /// `None`: there is no such resource (any more).
    pub value: Option<T>,
    /// Sorted, without repetitions.
    pub conditions: Vec<Condition>,
}

impl<T> Lowered<T> {
    const fn nothing() -> Self {
        Self { value: None, conditions: Vec::new() }
    }

    fn map<U>(self, wrap: impl FnOnce(T) -> U) -> Lowered<U> {
        Lowered { value: self.value.map(wrap), conditions: self.conditions }
    }
}

/// What the proxy of a workload enforces, and how it asks the application whether it is well.
#[derive(Clone, Debug, PartialEq)]
pub struct Enforced {
    /// Who may call.
    pub inbound: Inbound,
    /// Sorted by port.
    pub health: Vec<HealthCheck>,
}

/// Any resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// A Service as its clients see it.
    Service(Service),
    /// Its routes.
    Routes(Routes),
    /// The endpoints of one of its ports.
    Endpoints(EndpointSet),
    /// What the proxy of a workload enforces.
    Inbound(Enforced),
}

/// Lowers the resource of that name.
#[must_use]
pub fn resource(set: &ObjectSet, key: &ResourceKey) -> Lowered<Resource> {
    match key {
        ResourceKey::Service { name, class } => service(set, name, class.as_deref()).map(Resource::Service),
        ResourceKey::Routes { service, class } => {
            routes(set, service, class.as_deref()).map(Resource::Routes)
        }
        ResourceKey::Endpoints(port) => endpoints(set, port).map(Resource::Endpoints),
        ResourceKey::Pod(workload) => pod(set, workload).map(Resource::Service),
        ResourceKey::Inbound(workload) => inbound(set, workload).map(Resource::Inbound),
    }
}

#[cfg(test)]
mod tests;
