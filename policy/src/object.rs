//! The names by which a decision says *because of what*: every reason points at an object an operator wrote.

use std::fmt;
use std::sync::Arc;

/// The kinds of object a reason can point at, spelled as an operator writes them in YAML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `v1/Service`
    Service,
    /// `gateway.networking.k8s.io/v1 HTTPRoute`
    HttpRoute,
    /// `gateway.networking.k8s.io/v1 GRPCRoute`
    GrpcRoute,
    /// `weft.mesh/v1alpha1 TrafficPolicy`
    TrafficPolicy,
    /// `weft.mesh/v1alpha1 AuthorizationPolicy`
    AuthorizationPolicy,
    /// `weft.mesh/v1alpha1 AuthenticationPolicy`
    AuthenticationPolicy,
    /// `weft.mesh/v1alpha1 Workload`
    Workload,
}

impl Kind {
    /// Every kind, in the order of declaration. The wire numbers them from 1 in this order.
    pub const ALL: [Self; 7] = [
        Self::Service,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::TrafficPolicy,
        Self::AuthorizationPolicy,
        Self::AuthenticationPolicy,
        Self::Workload,
    ];

    /// As in the `kind:` line of a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::TrafficPolicy => "TrafficPolicy",
            Self::AuthorizationPolicy => "AuthorizationPolicy",
            Self::AuthenticationPolicy => "AuthenticationPolicy",
            Self::Workload => "Workload",
        }
    }
}

/// An object an operator wrote, as reasons, labels and status name it: `HTTPRoute shop/api-split`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// What it is.
    pub kind: Kind,
    /// `metadata.namespace`
    pub namespace: Arc<str>,
    /// `metadata.name`
    pub name: Arc<str>,
}

impl ObjectRef {
    /// Names an object.
    #[must_use]
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

/// A Service by name: `shop/api`. Namespace first, because that is how it sorts and how `kubectl` speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName {
    /// `metadata.namespace`
    pub namespace: Arc<str>,
    /// `metadata.name`
    pub name: Arc<str>,
}

impl ServiceName {
    /// Names a Service.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The same Service as a reason names it.
    #[must_use]
    pub fn object(&self) -> ObjectRef {
        ObjectRef {
            kind: Kind::Service,
            namespace: Arc::clone(&self.namespace),
            name: Arc::clone(&self.name),
        }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One port of a Service, by its number as clients dial it (not the pods' target port).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServicePort {
    /// The Service.
    pub service: ServiceName,
    /// `spec.ports[].port`
    pub port: u16,
}

impl ServicePort {
    /// Names a port of a Service.
    #[must_use]
    pub fn new(namespace: &str, name: &str, port: u16) -> Self {
        Self { service: ServiceName::new(namespace, name), port }
    }
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.port)
    }
}
