//! One resource as policy values, whatever its type: what a transaction carries and a proxy holds.

use std::sync::Arc;

use weft_policy::endpoint::EndpointSet;
use weft_policy::health::HealthCheck;
use weft_policy::route::Routes;
use weft_policy::snapshot::{Inbound, Service};

use crate::name::{Key, WorkloadName};
use crate::trust::Trust;

/// One resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Who is trusted.
    Trust(Arc<Trust>),
    /// What a proxy enforces for its application.
    Inbound(Arc<Enforced>),
    /// Where to send.
    Endpoints(Arc<EndpointSet>),
    /// What is called.
    Service(Arc<Service>),
    /// By which rules.
    Routes(Arc<Routes>),
}

impl Value {
    /// What it is called.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Trust(trust) => Key::Trust(trust.domain.clone()),
            Self::Inbound(enforced) => Key::Inbound(enforced.workload()),
            Self::Endpoints(set) => Key::Endpoints(set.of.clone()),
            Self::Service(service) => Key::Service(service.name.clone()),
            Self::Routes(routes) => Key::Routes(routes.service.clone()),
        }
    }
}

/// What a proxy enforces for its application, and how it asks that application whether it is well.
#[derive(Clone, Debug, PartialEq)]
pub struct Enforced {
    /// Who may call. A part of the snapshot.
    pub inbound: Arc<Inbound>,
    /// Sorted by port.
    pub health: Vec<HealthCheck>,
}

impl Enforced {
    /// Whose proxy this is for.
    #[must_use]
    pub fn workload(&self) -> WorkloadName {
        let workload = &self.inbound.workload;
        WorkloadName { namespace: Arc::clone(&workload.namespace), name: Arc::clone(&workload.name) }
    }
}
