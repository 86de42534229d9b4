//! Everything that has been accepted, with the ways from one object to the others.
//!
//! A set is a value: cloning it costs a pointer per namespace, and a change copies one namespace. What a change
//! touches is said as it is made, by the resources whose lowered form may differ afterwards. Too many is allowed
//! (the caller compares what it lowers), too few is a proxy that never hears of it.
//!
//! Invariant: the same objects make the same set, in whatever order and over whatever detours they came.

mod key;
mod shard;
mod touch;
mod vips;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use weft_policy::endpoint::Health;
use weft_policy::object::{Kind, ObjectRef, ServiceName};

use crate::core::Service;
use crate::crd::authentication::AuthenticationPolicy;
use crate::crd::authorization::AuthorizationPolicy;
use crate::crd::traffic::TrafficPolicy;
use crate::crd::workload::Workload;
use crate::gateway_api::parent::ParentRef;
use crate::object::Object;
use crate::settings::MeshSettings;

pub use key::{Class, ResourceKey};
use shard::Shard;
use vips::Vips;

/// All accepted objects.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectSet {
    settings: Arc<MeshSettings>,
    shards: BTreeMap<Arc<str>, Arc<Shard>>,
    vips: Arc<Vips>,
}

/// A change to a set.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An object is new, or different.
    Upsert(Object),
    /// An object is gone.
    Delete(ObjectRef),
    /// Something was learned about a workload. Kept whether or not the workload is known (yet), until it is
    /// [`Health::Healthy`] again; whoever reports it also takes it back.
    Health {
        /// Which.
        workload: ObjectRef,
        /// What.
        health: Health,
    },
}

impl Default for ObjectSet {
    fn default() -> Self {
        Self::new(MeshSettings::default())
    }
}

impl ObjectSet {
    /// An empty set.
    #[must_use]
    pub fn new(settings: MeshSettings) -> Self {
        Self { settings: Arc::new(settings), shards: BTreeMap::new(), vips: Arc::default() }
    }

    /// A set of these; of two with the same name the later stays.
    #[must_use]
    pub fn of(settings: MeshSettings, objects: impl IntoIterator<Item = Object>) -> Self {
        let mut set = Self::new(settings);
        for object in objects {
            set.apply(Change::Upsert(object));
        }
        set
    }

    /// Makes a change, and returns the resources whose lowered form may differ now.
    pub fn apply(&mut self, change: Change) -> BTreeSet<ResourceKey> {
        let mut touched = BTreeSet::new();
        match change {
            Change::Upsert(object) => {
                let old = self.object(&object.key());
                match (&old, &object) {
                    (Some(old), new) if *old == *new => {}
                    (Some(Object::Service(old)), Object::Service(new))
                        if old.differs_in_listing_only(new) =>
                    {
                        self.list_anew(old, new, &mut touched);
                    }
                    _ => {
                        if let Some(old) = old {
                            self.remove(&old, &mut touched);
                        }
                        self.insert(&object, &mut touched);
                    }
                }
            }
            Change::Delete(key) => {
                if let Some(old) = self.object(&key) {
                    self.remove(&old, &mut touched);
                }
            }
            Change::Health { workload, health } => self.set_health(&workload, health, &mut touched),
        }
        touched
    }

    /// The settings it is lowered with.
    #[must_use]
    pub fn settings(&self) -> &MeshSettings {
        &self.settings
    }

    /// An object by name.
    #[must_use]
    pub fn object(&self, key: &ObjectRef) -> Option<Object> {
        self.shard(&key.namespace)?.object(key.kind, &key.name)
    }

    /// All objects, by namespace.
    pub fn objects(&self) -> impl Iterator<Item = Object> + '_ {
        self.shards.values().flat_map(|shard| shard.objects())
    }

    /// A Service by name.
    #[must_use]
    pub fn service(&self, name: &ServiceName) -> Option<&Arc<Service>> {
        self.shard(&name.namespace)?.services.get(&name.name)
    }

    /// The Services of a namespace, by name.
    pub fn services_in(&self, namespace: &str) -> impl Iterator<Item = &Arc<Service>> {
        self.shard(namespace).into_iter().flat_map(|shard| shard.services.values())
    }

    /// A workload by namespace and name.
    #[must_use]
    pub fn workload(&self, namespace: &str, name: &str) -> Option<&Arc<Workload>> {
        self.shard(namespace)?.workloads.get(name)
    }

    /// The workloads behind a Service, by name.
    pub fn behind<'s>(&'s self, service: &'s Service) -> impl Iterator<Item = &'s Arc<Workload>> {
        self.shard(&service.meta.namespace).into_iter().flat_map(|shard| shard.behind(service))
    }

    /// The Services that a workload is behind, by name.
    #[must_use]
    pub fn before(&self, workload: &Workload) -> Vec<&Arc<Service>> {
        self.shard(&workload.meta.namespace).map(|shard| shard.before(workload)).unwrap_or_default()
    }

    /// What has been reported about a workload.
    #[must_use]
    pub fn health(&self, workload: &Workload) -> Health {
        let shard = self.shard(&workload.meta.namespace);
        shard.and_then(|shard| shard.health.get(&workload.meta.name)).copied().unwrap_or_default()
    }

    /// The routes whose parent a Service is (whether or not there is one of that name), sorted.
    pub fn routes_to(&self, service: &ServiceName) -> impl Iterator<Item = &ObjectRef> {
        self.shard(&service.namespace)
            .and_then(|shard| shard.routes_to.get(&service.name))
            .into_iter()
            .flatten()
    }

    /// The routes that send to a Service, sorted.
    pub fn routes_using(&self, service: &ServiceName) -> impl Iterator<Item = &ObjectRef> {
        self.shard(&service.namespace)
            .and_then(|shard| shard.routes_using.get(&service.name))
            .into_iter()
            .flatten()
    }

    /// The TrafficPolicies about a Service, by name.
    pub fn traffic_on(&self, service: &ServiceName) -> impl Iterator<Item = &Arc<TrafficPolicy>> {
        let shard = self.shard(&service.namespace);
        let names = shard.and_then(|shard| shard.traffic_on.get(&service.name)).into_iter().flatten();
        names.filter_map(move |name| shard?.traffic.get(name))
    }

    /// The AuthorizationPolicies of a namespace, by name.
    pub fn authorization_in(&self, namespace: &str) -> impl Iterator<Item = &Arc<AuthorizationPolicy>> {
        self.shard(namespace).into_iter().flat_map(|shard| shard.authorization.values())
    }

    /// The AuthenticationPolicies of a namespace, by name.
    pub fn authentication_in(&self, namespace: &str) -> impl Iterator<Item = &Arc<AuthenticationPolicy>> {
        self.shard(namespace).into_iter().flat_map(|shard| shard.authentication.values())
    }

    /// The address chosen for a Service that is given none.
    #[must_use]
    pub fn chosen_vip(&self, service: &ServiceName) -> Option<Ipv4Addr> {
        self.vips.chosen(service)
    }

    /// Addresses that more than one Service says are its own. The first of them has it.
    pub fn disputed_vips(&self) -> impl Iterator<Item = (IpAddr, &BTreeSet<ServiceName>)> {
        self.vips.disputed()
    }

    /// The Service behind a virtual address.
    #[must_use]
    pub fn service_at(&self, ip: IpAddr) -> Option<&ServiceName> {
        self.vips.holder(ip)
    }

    /// The Service behind a host name (lower case, no port), for a client of `namespace`.
    #[must_use]
    pub fn service_named(&self, host: &str, namespace: &str) -> Option<ServiceName> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let in_cluster =
            host.strip_suffix(&*self.settings.cluster_domain).and_then(|rest| rest.strip_suffix('.'));
        let name = match in_cluster {
            Some(rest) => split(rest.strip_suffix(".svc")?)?,
            None => {
                match (host.strip_suffix(".svc").and_then(split), host.strip_suffix(".mesh").and_then(split))
                {
                    (Some(name), _) | (_, Some(name)) => name,
                    (None, None) => split(host).unwrap_or((host, namespace)),
                }
            }
        };
        let (name, namespace) = name;
        let found = self.service(&ServiceName::new(namespace, name))?;
        Some(found.name())
    }

    /// Which version of a [`ResourceKey::Service`] a client namespace gets.
    #[must_use]
    pub fn class_of_service(&self, service: &ServiceName, client_namespace: &str) -> Class {
        (*service.namespace == *client_namespace).then(|| Arc::clone(&service.namespace))
    }

    /// Which version of [`ResourceKey::Routes`] a client namespace gets. It changes when the first consumer route
    /// of a namespace comes or the last one goes; the key with that class is then among the touched.
    #[must_use]
    pub fn class_of_routes(&self, service: &ServiceName, client_namespace: &str) -> Class {
        self.consumers_of(service).into_iter().find(|namespace| **namespace == *client_namespace)
    }

    /// The namespaces that have consumer routes for a Service.
    #[must_use]
    pub fn consumers_of(&self, service: &ServiceName) -> BTreeSet<Arc<str>> {
        let namespaces = self.routes_to(service).map(|route| &route.namespace);
        namespaces.filter(|namespace| **namespace != service.namespace).cloned().collect()
    }

    /// Parents of a route, with the Services they name; parents that are no Service are left out.
    #[must_use]
    pub fn parents_of(route: &Object) -> Vec<(ServiceName, ParentRef)> {
        let (parents, meta) = match route {
            Object::HttpRoute(route) => (&route.parents, &route.meta),
            Object::GrpcRoute(route) => (&route.parents, &route.meta),
            _ => return Vec::new(),
        };
        parents.iter().filter_map(|parent| Some((parent.service(&meta.namespace)?, parent.clone()))).collect()
    }

    fn shard(&self, namespace: &str) -> Option<&Shard> {
        self.shards.get(namespace).map(|shard| &**shard)
    }

    /// Changes one namespace, copying it if somebody else holds it.
    fn change<R>(&mut self, namespace: &Arc<str>, change: impl FnOnce(&mut Shard) -> R) -> R {
        let shard = self.shards.entry(Arc::clone(namespace)).or_default();
        let result = change(Arc::make_mut(shard));
        if shard.is_empty() {
            self.shards.remove(namespace);
        }
        result
    }

    fn insert(&mut self, object: &Object, touched: &mut BTreeSet<ResourceKey>) {
        let key = object.key();
        self.change(&key.namespace, |shard| shard.insert(object.clone()));
        for (service, index) in leads_to(object) {
            self.change(&service.namespace, |shard| {
                index.of(shard).entry(Arc::clone(&service.name)).or_default().insert(key.clone())
            });
        }
        if let Object::Service(service) = object {
            let moved = Arc::make_mut(&mut self.vips).insert(service);
            touch::addresses(&moved, touched);
        }
        touch::object(self, object, touched);
    }

    fn remove(&mut self, object: &Object, touched: &mut BTreeSet<ResourceKey>) {
        touch::object(self, object, touched);
        let key = object.key();
        self.change(&key.namespace, |shard| shard.remove(object));
        for (service, index) in leads_to(object) {
            self.change(&service.namespace, |shard| shard::withdraw(index.of(shard), &service.name, &key));
        }
        if let Object::Service(service) = object {
            let moved = Arc::make_mut(&mut self.vips).remove(service);
            touch::addresses(&moved, touched);
        }
    }

    /// Pods come and go all the time; what clients see of their Service stays the same.
    fn list_anew(&mut self, old: &Arc<Service>, new: &Arc<Service>, touched: &mut BTreeSet<ResourceKey>) {
        touch::listing(self, old, touched);
        self.change(&old.meta.namespace, |shard| {
            shard.remove(&Object::Service(Arc::clone(old)));
            shard.insert(Object::Service(Arc::clone(new)));
        });
        touch::listing(self, new, touched);
    }

    fn set_health(&mut self, workload: &ObjectRef, health: Health, touched: &mut BTreeSet<ResourceKey>) {
        if workload.kind != Kind::Workload {
            return;
        }
        let before = self.shard(&workload.namespace).and_then(|shard| shard.health.get(&workload.name));
        if before.copied().unwrap_or_default() == health {
            return;
        }
        self.change(&workload.namespace, |shard| match health {
            Health::Healthy => shard.health.remove(&workload.name),
            _ => shard.health.insert(Arc::clone(&workload.name), health),
        });
        if let Some(workload) = self.workload(&workload.namespace, &workload.name) {
            touch::endpoints_of(self, workload, touched);
        }
    }
}

/// `name.namespace`
fn split(host: &str) -> Option<(&str, &str)> {
    host.split_once('.').filter(|(_, namespace)| !namespace.contains('.'))
}

/// The two indices that routes have in other namespaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Index {
    Parent,
    Backend,
}

impl Index {
    fn of(self, shard: &mut Shard) -> &mut BTreeMap<Arc<str>, BTreeSet<ObjectRef>> {
        match self {
            Self::Parent => &mut shard.routes_to,
            Self::Backend => &mut shard.routes_using,
        }
    }
}

fn leads_to(object: &Object) -> BTreeSet<(ServiceName, Index)> {
    let backends: Vec<ServiceName> = match object {
        Object::HttpRoute(route) => {
            let backends = route.rules.iter().flat_map(|rule| &rule.backends);
            backends.filter_map(|backend| backend.service(&route.meta.namespace)).collect()
        }
        Object::GrpcRoute(route) => {
            let backends = route.rules.iter().flat_map(|rule| &rule.backends);
            backends.filter_map(|backend| backend.service(&route.meta.namespace)).collect()
        }
        _ => Vec::new(),
    };
    let parents = ObjectSet::parents_of(object).into_iter().map(|(service, _)| (service, Index::Parent));
    parents.chain(backends.into_iter().map(|service| (service, Index::Backend))).collect()
}

#[cfg(test)]
mod tests;
