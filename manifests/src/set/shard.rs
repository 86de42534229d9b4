//! The objects of one namespace, and the indices that lead to them.
//!
//! One shard per namespace, each behind an `Arc`: a change copies the shard it falls into and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_policy::endpoint::Health;
use weft_policy::object::{Kind, ObjectRef};

use crate::core::Service;
use crate::crd::authentication::AuthenticationPolicy;
use crate::crd::authorization::AuthorizationPolicy;
use crate::crd::traffic::TrafficPolicy;
use crate::crd::workload::Workload;
use crate::gateway_api::grpc_route::GrpcRoute;
use crate::gateway_api::http_route::HttpRoute;
use crate::object::Object;

type ByName<T> = BTreeMap<Arc<str>, Arc<T>>;
type Label = (Arc<str>, Arc<str>);

/// Invariant: no index holds an empty set, so that equal objects make equal shards.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shard {
    pub(super) services: ByName<Service>,
    pub(super) http_routes: ByName<HttpRoute>,
    pub(super) grpc_routes: ByName<GrpcRoute>,
    pub(super) traffic: ByName<TrafficPolicy>,
    pub(super) authorization: ByName<AuthorizationPolicy>,
    pub(super) authentication: ByName<AuthenticationPolicy>,
    pub(super) workloads: ByName<Workload>,
    /// What is known of workloads besides what is written; healthy ones are left out.
    pub(super) health: BTreeMap<Arc<str>, Health>,
    /// Routes of any namespace, by the Service of this one that is their parent.
    pub(super) routes_to: BTreeMap<Arc<str>, BTreeSet<ObjectRef>>,
    /// Routes of any namespace, by the Service of this one that they send to.
    pub(super) routes_using: BTreeMap<Arc<str>, BTreeSet<ObjectRef>>,
    /// TrafficPolicies by the Service they are about.
    pub(super) traffic_on: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Workloads by each of their labels.
    by_label: BTreeMap<Label, BTreeSet<Arc<str>>>,
    /// Services by the first label of their selector.
    by_selector: BTreeMap<Label, BTreeSet<Arc<str>>>,
    /// Services by the names of the workloads that are listed for them.
    by_listed: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl Shard {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn object(&self, kind: Kind, name: &str) -> Option<Object> {
        Some(match kind {
            Kind::Service => Object::Service(Arc::clone(self.services.get(name)?)),
            Kind::HttpRoute => Object::HttpRoute(Arc::clone(self.http_routes.get(name)?)),
            Kind::GrpcRoute => Object::GrpcRoute(Arc::clone(self.grpc_routes.get(name)?)),
            Kind::TrafficPolicy => Object::TrafficPolicy(Arc::clone(self.traffic.get(name)?)),
            Kind::AuthorizationPolicy => {
                Object::AuthorizationPolicy(Arc::clone(self.authorization.get(name)?))
            }
            Kind::AuthenticationPolicy => {
                Object::AuthenticationPolicy(Arc::clone(self.authentication.get(name)?))
            }
            Kind::Workload => Object::Workload(Arc::clone(self.workloads.get(name)?)),
        })
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = Object> + '_ {
        let services = self.services.values().cloned().map(Object::Service);
        services
            .chain(self.http_routes.values().cloned().map(Object::HttpRoute))
            .chain(self.grpc_routes.values().cloned().map(Object::GrpcRoute))
            .chain(self.traffic.values().cloned().map(Object::TrafficPolicy))
            .chain(self.authorization.values().cloned().map(Object::AuthorizationPolicy))
            .chain(self.authentication.values().cloned().map(Object::AuthenticationPolicy))
            .chain(self.workloads.values().cloned().map(Object::Workload))
    }

    /// Takes an object in. Routes are indexed by the set, because they lead into other namespaces.
    pub(super) fn insert(&mut self, object: Object) {
        let name = Arc::clone(&object.meta().name);
        match object {
            Object::Service(service) => {
                if let Some(label) = first_label(&service) {
                    self.by_selector.entry(label).or_default().insert(Arc::clone(&name));
                }
                for listed in service.listed() {
                    self.by_listed.entry(Arc::clone(listed)).or_default().insert(Arc::clone(&name));
                }
                self.services.insert(name, service);
            }
            Object::HttpRoute(route) => drop(self.http_routes.insert(name, route)),
            Object::GrpcRoute(route) => drop(self.grpc_routes.insert(name, route)),
            Object::TrafficPolicy(policy) => {
                for target in &policy.targets {
                    self.traffic_on.entry(Arc::clone(&target.name)).or_default().insert(Arc::clone(&name));
                }
                self.traffic.insert(name, policy);
            }
            Object::AuthorizationPolicy(policy) => drop(self.authorization.insert(name, policy)),
            Object::AuthenticationPolicy(policy) => drop(self.authentication.insert(name, policy)),
            Object::Workload(workload) => {
                for (key, value) in &workload.meta.labels {
                    let label = (Arc::clone(key), Arc::clone(value));
                    self.by_label.entry(label).or_default().insert(Arc::clone(&name));
                }
                self.workloads.insert(name, workload);
            }
        }
    }

    pub(super) fn remove(&mut self, object: &Object) {
        let name = &object.meta().name;
        match object {
            Object::Service(service) => {
                if let Some(label) = first_label(service) {
                    withdraw(&mut self.by_selector, &label, name);
                }
                for listed in service.listed() {
                    withdraw(&mut self.by_listed, listed, name);
                }
                self.services.remove(name);
            }
            Object::HttpRoute(_) => drop(self.http_routes.remove(name)),
            Object::GrpcRoute(_) => drop(self.grpc_routes.remove(name)),
            Object::TrafficPolicy(policy) => {
                for target in &policy.targets {
                    withdraw(&mut self.traffic_on, &target.name, name);
                }
                self.traffic.remove(name);
            }
            Object::AuthorizationPolicy(_) => drop(self.authorization.remove(name)),
            Object::AuthenticationPolicy(_) => drop(self.authentication.remove(name)),
            Object::Workload(workload) => {
                for (key, value) in &workload.meta.labels {
                    withdraw(&mut self.by_label, &(Arc::clone(key), Arc::clone(value)), name);
                }
                self.workloads.remove(name);
            }
        }
    }

    /// The workloads behind a Service, by name. Looks only at those that share its rarest label, and those that are
    /// listed.
    pub(super) fn behind<'s>(&'s self, service: &'s Service) -> impl Iterator<Item = &'s Arc<Workload>> {
        let rarest = service
            .selector
            .iter()
            .map(|(key, value)| self.by_label.get(&(Arc::clone(key), Arc::clone(value))))
            .min_by_key(|names| names.map_or(0, BTreeSet::len))
            .flatten();
        let names: BTreeSet<&Arc<str>> = rarest.into_iter().flatten().chain(service.listed()).collect();
        let workloads = names.into_iter().filter_map(|name| self.workloads.get(name));
        workloads.filter(|workload| service.has(workload))
    }

    /// The Services that a workload is behind, by name.
    pub(super) fn before(&self, workload: &Workload) -> Vec<&Arc<Service>> {
        let labels = workload.meta.labels.iter().map(|(key, value)| (Arc::clone(key), Arc::clone(value)));
        let selecting = labels.filter_map(|label| self.by_selector.get(&label)).flatten();
        let listing = self.by_listed.get(&workload.meta.name).into_iter().flatten();
        let names: BTreeSet<&Arc<str>> = selecting.chain(listing).collect();
        let services = names.into_iter().filter_map(|name| self.services.get(name));
        services.filter(|service| service.has(workload)).collect()
    }
}

fn first_label(service: &Service) -> Option<Label> {
    service.selector.first_key_value().map(|(key, value)| (Arc::clone(key), Arc::clone(value)))
}

/// Takes a value out of an index, and its set if that is then empty.
pub(super) fn withdraw<K: Ord, V: Ord>(index: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}
