//! What objects are lowered to, as tables.

use super::*;
use crate::load::load;
use crate::settings::MeshSettings;
use weft_policy::object::{Kind, ObjectRef, ServiceName, ServicePort};

const SHOP: &str = include_str!("../../tests/fixtures/shop.yaml");

/// The set of the objects in `yaml`, which must have no errors.
fn set(yaml: &str) -> ObjectSet {
    let loaded = load(&[("test.yaml", yaml)]);
    assert!(!loaded.has_errors(), "{:#?}", loaded.diagnostics);
    ObjectSet::of(MeshSettings::default(), loaded.accepted())
}

#[test]
fn the_shop_is_lowered_to_what_its_file_says() {
    let set = set(SHOP);
    let api = ServiceName::new("shop", "api");
    let lowered = service(&set, &api, Some("shop")).value.unwrap();
    assert_eq!(
        lowered.hosts.iter().map(|host| &**host).collect::<Vec<_>>(),
        ["api", "api.shop", "api.shop.mesh", "api.shop.svc", "api.shop.svc.cluster.local",]
    );
    assert_eq!(lowered.vips.len(), 1);
    let routes = routes(&set, &api, None).value.unwrap();
    let table = routes.table(80).unwrap();
    let split = &table.routes()[0].rules[1];
    assert_eq!(split.backends.iter().map(|backend| backend.weight).collect::<Vec<_>>(), [90, 10]);
    let endpoints = endpoints(&set, &ServicePort::new("shop", "api-v2", 80)).value.unwrap().endpoints;
    assert_eq!(endpoints.len(), 1);
    assert_eq!(endpoints[0].addr.to_string(), "127.0.0.1:14145");
    assert_eq!(endpoints[0].target_port, 8082);
    assert_eq!(endpoints[0].identity.as_ref().unwrap().as_str(), "spiffe://weft.local/ns/shop/sa/api");
    let inbound = inbound(&set, &ObjectRef::new(Kind::Workload, "shop", "api-v1-1")).value.unwrap();
    assert_eq!(inbound.ports.len(), 1);
    assert_eq!(inbound.policy(8081).policies.len(), 1);
    assert_eq!(inbound.undeclared.policies.len(), 0);
}
