//! The resources that objects are lowered to, by name.

use std::sync::Arc;

use weft_policy::object::{ObjectRef, ServiceName, ServicePort};

/// A class of client namespaces that all get the same version of a resource. `None`: every namespace that has
/// no class of its own.
///
/// - Of a [`ResourceKey::Service`], the Service's own namespace is a class: there, and only there, the bare name
///   (`api`) leads to it.
/// - Of [`ResourceKey::Routes`], every namespace with a consumer route for the Service is a class (GEP-1426).
pub type Class = Option<Arc<str>>;

/// One resource of the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceKey {
    /// [`weft_policy::snapshot::Service`]
    Service {
        /// Which.
        name: ServiceName,
        /// For whom; see [`ObjectSet::class_of_service`](super::ObjectSet::class_of_service).
        class: Class,
    },
    /// [`weft_policy::route::Routes`]
    Routes {
        /// Whose.
        service: ServiceName,
        /// For whom; see [`ObjectSet::class_of_routes`](super::ObjectSet::class_of_routes).
        class: Class,
    },
    /// [`weft_policy::endpoint::EndpointSet`]
    Endpoints(ServicePort),
    /// [`weft_policy::snapshot::Service`] that is a pod, by its workload.
    Pod(ObjectRef),
    /// [`weft_policy::snapshot::Inbound`], by its workload.
    Inbound(ObjectRef),
}
