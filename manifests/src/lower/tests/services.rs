//! Services, how they are sent to, and the endpoints behind them.

use super::*;
use crate::set::Change;
use weft_policy::endpoint::Health;
use weft_policy::object::ServicePort;
use weft_policy::protocol::AppProtocol;

fn workload(name: &str, spec: &str) -> String {
    let yaml = policy("Workload", name, spec);
    yaml.replacen("metadata: {", "metadata: {labels: {app: api}, ", 1)
}

/// `name address target identity` of each endpoint.
fn endpoints_of(set: &ObjectSet, port: u16) -> Vec<String> {
    let found = endpoints(set, &ServicePort::new("shop", "api", port)).value.unwrap();
    let words = |endpoint: &weft_policy::endpoint::Endpoint| {
        let identity = endpoint.identity.as_ref().map_or("-", |identity| identity.path());
        format!("{} {} {} {identity}", endpoint.name, endpoint.addr, endpoint.target_port)
    };
    found.endpoints().iter().map(words).collect()
}

#[test]
fn the_shop_is_lowered_to_what_its_file_says() {
    let set = set(SHOP);
    let api = ServiceName::new("shop", "api");
    let lowered = service(&set, &api, Some("shop")).value.unwrap();
    let hosts: Vec<&str> = lowered.hosts.iter().map(|host| &**host).collect();
    assert_eq!(hosts, ["api", "api.shop", "api.shop.mesh", "api.shop.svc", "api.shop.svc.cluster.local"]);
    assert_eq!(lowered.vips.len(), 1);
    assert!(!service(&set, &api, None).value.unwrap().hosts.iter().any(|host| &**host == "api"));
    assert_eq!(goes(&set, "shop", "GET api/products x-preview:yes"), "shop/api-v2:80");
    let routes = routes(&set, &api, None).value.unwrap();
    let split = &routes.table(80).unwrap().routes()[0].rules[1];
    assert_eq!(split.backends.iter().map(|backend| backend.weight).collect::<Vec<_>>(), [90, 10]);
    let enforced = inbound(&set, &ObjectRef::new(Kind::Workload, "shop", "api-v1-1")).value.unwrap();
    assert_eq!(enforced.health.len(), 1);
    assert_eq!(enforced.inbound.policy(8081).policies.len(), 1);
    assert_eq!(enforced.inbound.undeclared.policies.len(), 0);
    for object in set.objects() {
        for condition in status(&set, &object.key()) {
            assert!(condition.status, "{condition:?}");
        }
    }
}

#[test]
fn a_name_leads_to_its_service_and_the_bare_one_only_at_home() {
    let set = set(&services(&["api", "other/db"]));
    let table = [
        ("api", "shop", Some("shop/api")),
        ("api", "other", None),
        ("api.shop", "other", Some("shop/api")),
        ("api.shop.svc", "other", Some("shop/api")),
        ("api.shop.svc.cluster.local", "other", Some("shop/api")),
        ("api.shop.svc.cluster.local.", "other", Some("shop/api")),
        ("api.shop.mesh", "other", Some("shop/api")),
        ("db.other", "shop", Some("other/db")),
        ("db.shop", "shop", None),
        ("x.api.shop", "shop", None),
        ("api.shop.cluster.local", "shop", None),
        ("svc.cluster.local", "shop", None),
        ("", "shop", None),
        (".", "shop", None),
        ("example.com", "shop", None),
    ];
    for (host, namespace, want) in table {
        let found = set.service_named(host, namespace).map(|name| name.to_string());
        assert_eq!(found.as_deref(), want, "{host} from {namespace}");
    }
    for object in set.objects() {
        let name = ServiceName::new(&object.meta().namespace, &object.meta().name);
        for namespace in ["shop", "other"] {
            let class = set.class_of_service(&name, namespace);
            let lowered = service(&set, &name, class.as_deref()).value.unwrap();
            assert!(
                lowered.hosts.iter().all(|host| set.service_named(host, namespace).as_ref() == Some(&name))
            );
            assert!(lowered.vips.iter().all(|ip| set.service_at(*ip) == Some(&name)));
        }
    }
}

#[test]
fn an_endpoint_is_dialled_where_its_sidecar_listens() {
    let table = [
        ("{address: 10.0.0.1}", "a 10.0.0.1:4143 8080 /ns/shop/sa/default"),
        (
            "{address: 10.0.0.1, serviceAccount: api, inbound: {port: 15000}}",
            "a 10.0.0.1:15000 8080 /ns/shop/sa/api",
        ),
        ("{address: 10.0.0.1, inbound: {transparent: true}}", "a 10.0.0.1:8080 8080 /ns/shop/sa/default"),
        ("{address: 10.0.0.1, mesh: false}", "a 10.0.0.1:8080 8080 -"),
        ("{address: 'fd00::1', mesh: false}", "a [fd00::1]:8080 8080 -"),
    ];
    for (spec, want) in table {
        let set = set(&(services(&["api"]) + &workload("a", spec)));
        assert_eq!(endpoints_of(&set, 8080), [want], "{spec}");
    }
}

#[test]
fn a_named_target_port_is_each_workloads_own() {
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: shop}\n\
                   spec: {selector: {app: api}, ports: [{port: 80, targetPort: web}]}\n";
    let yaml = service.to_owned()
        + &workload("a", "{address: 10.0.0.1, mesh: false, ports: [{name: web, port: 81}]}")
        + &workload("b", "{address: 10.0.0.1, mesh: false, ports: [{name: web, port: 80}]}")
        + &workload("c", "{address: 10.0.0.3, mesh: false, ports: [{name: wbe, port: 80}]}");
    assert_eq!(endpoints_of(&set(&yaml), 80), ["b 10.0.0.1:80 80 -", "a 10.0.0.1:81 81 -"]);
}

#[test]
fn health_is_what_was_reported_last() {
    let mut set = set(&(services(&["api"]) + &workload("a", "{address: 10.0.0.1}")));
    let a = ObjectRef::new(Kind::Workload, "shop", "a");
    let before = set.clone();
    for health in [Health::Draining, Health::Unhealthy, Health::Healthy] {
        let touched = set.apply(Change::Health { workload: a.clone(), health });
        assert_eq!(touched.len(), 2, "both ports of the Service");
        let found = endpoints(&set, &ServicePort::new("shop", "api", 80)).value.unwrap();
        assert_eq!(found.endpoints()[0].health, health);
    }
    assert_eq!(set, before);
    assert!(set.apply(Change::Health { workload: a, health: Health::Healthy }).is_empty());
}

#[test]
fn the_policy_that_names_the_port_holds_before_the_senior_of_the_rest() {
    let yaml = services(&["api"])
        + &policy(
            "TrafficPolicy",
            "b",
            "{targetRefs: [{kind: Service, name: api}], limits: {maxRequests: 1}}",
        )
        + &policy(
            "TrafficPolicy",
            "a",
            "{targetRefs: [{kind: Service, name: api}], limits: {maxRequests: 2}}",
        )
        + &policy(
            "TrafficPolicy",
            "c",
            "{targetRefs: [{kind: Service, name: api, sectionName: alt}], limits: {maxRequests: 3}}",
        )
        + &policy("TrafficPolicy", "d", "{targetRefs: [{kind: Service, name: api, sectionName: atl}]}")
        + &policy("TrafficPolicy", "e", "{targetRefs: [{kind: Service, name: ap}]}");
    let set = set(&yaml);
    let lowered = service(&set, &ServiceName::new("shop", "api"), None).value.unwrap();
    let limit = |port: u16| lowered.port(port).unwrap().traffic.limits.max_requests;
    assert_eq!((limit(80), limit(8080)), (2, 3));
    let table = [
        ("a", "Accepted=True/Accepted"),
        ("b", "Accepted=False/Conflicted"),
        ("c", "Accepted=True/Accepted"),
        ("d", "Accepted=False/TargetNotFound"),
        ("e", "Accepted=False/TargetNotFound"),
    ];
    for (name, want) in table {
        assert_eq!(conditions(&set, Kind::TrafficPolicy, name), [want], "{name}");
    }
}

#[test]
fn a_port_speaks_what_is_declared_or_usual() {
    let service_yaml = "---\napiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: shop}\nspec: {selector: {app: api}, ports: \
         [{name: a, port: 80}, {name: b, port: 81, appProtocol: kubernetes.io/h2c}, {name: c, port: 5432}, {name: d, port: 82, appProtocol: gopher}]}\n";
    let set = set(&(service_yaml.to_owned()
        + &workload(
            "a",
            "{address: 10.0.0.1, ports: [{port: 80, appProtocol: http}, {port: 81, appProtocol: http}, {port: 9090}]}",
        )));
    let lowered = service(&set, &ServiceName::new("shop", "api"), None).value.unwrap();
    use AppProtocol::{Detect, Http1, Http2, Opaque};
    let speaks: Vec<AppProtocol> = lowered.ports.iter().map(|port| port.protocol).collect();
    assert_eq!(speaks, [Detect, Http2, Detect, Opaque]);
    let enforced = inbound(&set, &ObjectRef::new(Kind::Workload, "shop", "a")).value.unwrap().inbound;
    let speaks: Vec<(u16, AppProtocol)> =
        enforced.ports.iter().map(|port| (port.number, port.protocol)).collect();
    assert_eq!(speaks, [(80, Http1), (81, Http2), (82, Detect), (5432, Opaque), (9090, Detect)]);
}
