//! Everything a proxy could be told, at once: what `meshctl explain` decides with when there is no proxy to ask.

use std::sync::Arc;

use weft_policy::object::ObjectRef;
use weft_policy::snapshot::Snapshot;

use crate::object::Object;
use crate::set::{ObjectSet, ResourceKey};

use super::{Resource, inbound, resource};

/// The snapshot of a proxy in `namespace` that has asked for every Service, with the inbound policy of
/// `workload`, if one is given.
#[must_use]
pub fn snapshot(set: &ObjectSet, namespace: &str, workload: Option<&ObjectRef>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for object in set.objects() {
        let Object::Service(written) = object else { continue };
        let name = written.name();
        let class = set.class_of_service(&name, namespace);
        let mut keys = vec![ResourceKey::Service { name: name.clone(), class }];
        let class = set.class_of_routes(&name, namespace);
        keys.push(ResourceKey::Routes { service: name.clone(), class });
        keys.extend(ObjectSet::endpoint_keys(&written));
        for key in keys {
            match resource(set, &key).value {
                Some(Resource::Service(service)) => {
                    snapshot.hosts.extend(service.hosts.iter().map(|host| (Arc::clone(host), name.clone())));
                    for vip in &service.vips {
                        // Of several Services that claim an address the first has it, as in `service_at`.
                        snapshot.vips.entry(*vip).or_insert_with(|| name.clone());
                    }
                    snapshot.services.insert(name.clone(), Arc::new(service));
                }
                Some(Resource::Routes(routes)) => {
                    snapshot.routes.insert(name.clone(), Arc::new(routes));
                }
                Some(Resource::Endpoints(set)) => {
                    snapshot.endpoints.insert(set.of.clone(), Arc::new(set));
                }
                Some(Resource::Inbound(_)) | None => {}
            }
        }
    }
    snapshot.inbound =
        workload.and_then(|workload| inbound(set, workload).value).map(|enforced| Arc::new(enforced.inbound));
    snapshot
}
