//! Which resources an object has a part in. Asked before it goes and after it came.

use std::collections::BTreeSet;
use std::sync::Arc;

use weft_policy::object::{ObjectRef, ServiceName, ServicePort};

use crate::core::Service;
use crate::crd::authorization::Scope;
use crate::crd::target::{TargetKind, TargetRef};
use crate::crd::workload::Workload;
use crate::object::Object;

use super::{ObjectSet, ResourceKey};

type Keys = BTreeSet<ResourceKey>;

/// What `object`, which is in `set`, has a part in.
pub(super) fn object(set: &ObjectSet, object: &Object, touched: &mut Keys) {
    match object {
        Object::Service(service) => of_service(set, service, touched),
        Object::HttpRoute(_) | Object::GrpcRoute(_) => of_route(set, object, touched),
        Object::TrafficPolicy(policy) => {
            for target in &policy.targets {
                let name = ServiceName::new(&policy.meta.namespace, &target.name);
                frontends(&name, touched);
                if let Some(service) = set.service(&name) {
                    touched.extend(set.behind(service).map(|workload| ResourceKey::Pod(workload.key())));
                }
            }
        }
        Object::AuthorizationPolicy(policy) => scope(set, &policy.meta.namespace, &policy.scope, touched),
        Object::AuthenticationPolicy(policy) => scope(set, &policy.meta.namespace, &policy.scope, touched),
        Object::Workload(workload) => {
            endpoints_of(set, workload, touched);
            touched.extend(both_sides(workload));
        }
    }
}

/// Services whose address has changed.
pub(super) fn addresses(services: &BTreeSet<ServiceName>, touched: &mut Keys) {
    for service in services {
        frontends(service, touched);
    }
}

/// The endpoint sets that a workload is in.
pub(super) fn endpoints_of(set: &ObjectSet, workload: &Workload, touched: &mut Keys) {
    for service in set.before(workload) {
        touched.extend(ports(service).map(ResourceKey::Endpoints));
    }
}

fn of_service(set: &ObjectSet, service: &Service, touched: &mut Keys) {
    let name = service.name();
    frontends(&name, touched);
    touched.extend(ports(service).map(ResourceKey::Endpoints));
    touched.extend(set.behind(service).flat_map(|workload| both_sides(workload)));
    routes(set, &name, touched);
    for route in set.routes_using(&name) {
        if let Some(route) = set.object(route) {
            of_route(set, &route, touched);
        }
    }
}

/// What is lowered from the endpoints that are listed for a Service, and from nothing else of it.
pub(super) fn listing(set: &ObjectSet, service: &Service, touched: &mut Keys) {
    touched.extend(ports(service).map(ResourceKey::Endpoints));
    let listed = service.listed().filter_map(|name| set.workload(&service.meta.namespace, name));
    touched.extend(listed.flat_map(|workload| both_sides(workload)));
}

/// What others are told of a workload for its own sake, and what its own proxy is.
fn both_sides(workload: &Workload) -> [ResourceKey; 2] {
    [ResourceKey::Pod(workload.key()), ResourceKey::Inbound(workload.key())]
}

/// A consumer route has a part in what its own namespace gets. A producer route has one in what everybody gets,
/// consumers included: at the ports for which they have no route of their own.
fn of_route(set: &ObjectSet, route: &Object, touched: &mut Keys) {
    let namespace = &route.meta().namespace;
    for (service, _) in ObjectSet::parents_of(route) {
        if service.namespace == *namespace {
            routes(set, &service, touched);
        } else {
            touched.insert(ResourceKey::Routes { service, class: Some(Arc::clone(namespace)) });
        }
    }
}

fn scope(set: &ObjectSet, namespace: &Arc<str>, scope: &Scope, touched: &mut Keys) {
    let everywhere = *scope == Scope::Everything && **namespace == *set.settings.root_namespace;
    match scope {
        _ if everywhere => {
            for shard in set.shards.values() {
                touched.extend(shard.workloads.values().map(|workload| ResourceKey::Inbound(workload.key())));
            }
        }
        Scope::Everything | Scope::Namespace => {
            let workloads = set.shard(namespace).into_iter().flat_map(|shard| shard.workloads.values());
            touched.extend(workloads.map(|workload| ResourceKey::Inbound(workload.key())));
        }
        Scope::Targets(targets) => {
            for target in targets {
                touched.extend(behind(set, namespace, target).into_iter().map(ResourceKey::Inbound));
            }
        }
    }
}

/// The workloads that a target means.
fn behind(set: &ObjectSet, namespace: &str, target: &TargetRef) -> Vec<ObjectRef> {
    match target.kind {
        TargetKind::Workload => {
            set.workload(namespace, &target.name).map(|workload| workload.key()).into_iter().collect()
        }
        TargetKind::Service => match set.service(&ServiceName::new(namespace, &target.name)) {
            Some(service) => set.behind(service).map(|workload| workload.key()).collect(),
            None => Vec::new(),
        },
    }
}

/// What clients see of a Service, in both classes.
fn frontends(name: &ServiceName, touched: &mut Keys) {
    for class in [None, Some(Arc::clone(&name.namespace))] {
        touched.insert(ResourceKey::Service { name: name.clone(), class });
    }
}

/// The routes of a Service, in every class.
fn routes(set: &ObjectSet, service: &ServiceName, touched: &mut Keys) {
    for class in std::iter::once(None).chain(set.consumers_of(service).into_iter().map(Some)) {
        touched.insert(ResourceKey::Routes { service: service.clone(), class });
    }
}

fn ports(service: &Service) -> impl Iterator<Item = ServicePort> + '_ {
    service.ports.iter().map(|port| ServicePort { service: service.name(), port: port.number })
}

impl ObjectSet {
    /// The resources that an object of this set has a part in.
    #[must_use]
    pub fn concerned_by(&self, key: &ObjectRef) -> BTreeSet<ResourceKey> {
        let mut touched = BTreeSet::new();
        if let Some(found) = self.object(key) {
            object(self, &found, &mut touched);
        }
        touched
    }

    /// The endpoints of a Service.
    pub(crate) fn endpoint_keys(service: &Service) -> impl Iterator<Item = ResourceKey> + '_ {
        ports(service).map(ResourceKey::Endpoints)
    }

    /// Every resource this set is lowered to, and the names that are only referred to: lowering those gives no
    /// value, and conditions that say so.
    #[must_use]
    pub fn keys(&self) -> BTreeSet<ResourceKey> {
        let mut keys = BTreeSet::new();
        for (namespace, shard) in &self.shards {
            for service in shard.services.values() {
                let name = service.name();
                frontends(&name, &mut keys);
                routes(self, &name, &mut keys);
                keys.extend(ports(service).map(ResourceKey::Endpoints));
            }
            for name in shard.routes_to.keys() {
                routes(self, &ServiceName::new(namespace, name), &mut keys);
            }
            for name in shard.traffic_on.keys() {
                frontends(&ServiceName::new(namespace, name), &mut keys);
            }
            keys.extend(shard.workloads.values().flat_map(|workload| both_sides(workload)));
        }
        keys
    }
}
