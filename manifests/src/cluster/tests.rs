//! Laws of a cluster: the order in which things are heard of does not matter, and pods, slices, nodes and Services come
//! to the endpoints that they should.

use proptest::prelude::*;
use serde_json::{Value, json};
use weft_policy::endpoint::{EndpointSet, Health};
use weft_policy::object::{Kind, ObjectRef, ServiceName, ServicePort};

use super::*;
use crate::lower;
use crate::set::{Change, ObjectSet};
use crate::settings::MeshSettings;

fn item(json: &Value) -> Item {
    let read = |json: &Value| json.clone();
    match json["kind"].as_str().unwrap() {
        "Pod" => Item::Pod(serde_json::from_value(read(json)).unwrap()),
        "EndpointSlice" => Item::Slice(serde_json::from_value(read(json)).unwrap()),
        "Node" => Item::Node(serde_json::from_value(read(json)).unwrap()),
        _ => Item::Written(Written::read(json).unwrap().into()),
    }
}

fn service() -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api", "namespace": "shop", "uid": "s"},
        "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "type": "ClusterIP", "selector": {"app": "api"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]},
        "status": {"loadBalancer": {}}})
}

fn pod(name: &str, address: &str, node: &str, proxy: bool) -> Value {
    let proxy = if proxy { json!([{"name": "weft-proxy", "restartPolicy": "Always"}]) } else { json!(null) };
    json!({"kind": "Pod", "metadata": {"name": name, "namespace": "shop", "labels": {"app": "api"}},
        "spec": {"serviceAccountName": "api", "nodeName": node, "initContainers": proxy,
            "containers": [{"name": "api", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIPs": [{"ip": address}]}})
}

/// Endpoints as `(address, pod, ready, terminating)`.
fn slice(name: &str, service: &str, endpoints: &[(&str, &str, bool, bool)]) -> Value {
    let endpoints: Vec<_> = endpoints
        .iter()
        .map(|(address, pod, ready, terminating)| {
            json!({"addresses": [address], "conditions": {"ready": ready, "serving": true, "terminating": terminating},
                "targetRef": {"kind": "Pod", "namespace": "shop", "name": pod}})
        })
        .collect();
    json!({"kind": "EndpointSlice", "addressType": "IPv4", "endpoints": endpoints,
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]})
}

fn node(name: &str, zone: &str) -> Value {
    json!({"kind": "Node", "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}}})
}

/// The endpoints of shop/api:80, as `address=pod@zone health identity`.
fn endpoints(items: &[Value]) -> Vec<String> {
    let mut cluster = Cluster::default();
    items.iter().for_each(|json| cluster.put(item(json)));
    let derived = cluster.derive();
    let set = ObjectSet::of(MeshSettings::default(), derived.objects.into_values());
    let found: EndpointSet =
        lower::endpoints(&set, &ServicePort { service: ServiceName::new("shop", "api"), port: 80 })
            .value
            .unwrap();
    let words = |endpoint: &weft_policy::endpoint::Endpoint| {
        let zone = endpoint.zone.as_deref().unwrap_or("-");
        let who = endpoint.identity.as_ref().map_or("plaintext", |id| id.as_str());
        format!("{}={}@{zone} {:?} {who}", endpoint.addr, endpoint.name, endpoint.health)
    };
    found.endpoints().iter().map(words).collect()
}

/// Where shop/NAME leads who calls it by its own address: its addresses, who it is, and what is said of its ports.
fn by_itself(name: &str, items: &[Value]) -> Option<String> {
    let mut cluster = Cluster::default();
    items.iter().for_each(|json| cluster.put(item(json)));
    let set = ObjectSet::of(MeshSettings::default(), cluster.derive().objects.into_values());
    let found = lower::pod(&set, &ObjectRef::new(Kind::Workload, "shop", name)).value?;
    let ports = found.ports.iter().map(|port| format!("{} {:?}", port.number, port.protocol));
    let pod = found.pod.unwrap();
    let places = [format!("{:?}", found.vips), pod.addr.to_string(), pod.identity.as_str().to_owned()];
    Some(places.into_iter().chain(ports).collect::<Vec<_>>().join(" "))
}

#[test]
fn a_pod_with_a_proxy_can_be_called_by_its_own_address_and_no_other_can() {
    let headless = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"clusterIP": "None", "clusterIPs": ["None"], "selector": {"app": "api"},
            "ports": [{"name": "http", "port": 5000, "targetPort": "http", "appProtocol": "tcp"}]}});
    let meshed = pod("a", "10.0.0.1", "n", true);
    let both_families = |mut pod: Value| {
        pod["status"]["podIPs"] = json!([{"ip": "fd00::1"}, {"ip": "10.0.0.1"}]);
        pod
    };
    let over = |mut pod: Value| {
        pod["status"]["phase"] = json!("Succeeded");
        pod
    };
    let on_host = |mut pod: Value| {
        pod["spec"]["hostNetwork"] = json!(true);
        pod
    };
    let cases = [
        ("alone", vec![meshed.clone()], Some(format!("[10.0.0.1] 10.0.0.1 {API}"))),
        (
            "behind a Service that says what it speaks",
            vec![meshed.clone(), service(), headless, slice("s", "db", &[("10.0.0.1", "a", true, false)])],
            Some(format!("[10.0.0.1] 10.0.0.1 {API} 8080 Opaque")),
        ),
        (
            "of two families",
            vec![both_families(meshed.clone())],
            Some(format!("[10.0.0.1, fd00::1] fd00::1 {API}")),
        ),
        ("without a proxy", vec![pod("a", "10.0.0.1", "n", false)], None),
        ("at an end", vec![over(meshed.clone())], None),
        ("with its node's address", vec![on_host(meshed)], None),
        ("not there", vec![], None),
    ];
    for (case, items, expected) in cases {
        assert_eq!(by_itself("a", &items), expected, "{case}");
    }
}

const API: &str = "spiffe://weft.local/ns/shop/sa/api";

#[test]
fn endpoints_are_what_is_listed_and_identities_what_the_pods_are() {
    let cases: [(&str, Vec<Value>, Vec<String>); 8] = [
        (
            "a ready pod with a proxy",
            vec![
                pod("a", "10.0.0.1", "n", true),
                node("n", "z"),
                slice("s", "api", &[("10.0.0.1", "a", true, false)]),
            ],
            vec![format!("10.0.0.1:8080=a@z Healthy {API}")],
        ),
        (
            "a pod without one",
            vec![pod("a", "10.0.0.1", "n", false), slice("s", "api", &[("10.0.0.1", "a", true, false)])],
            vec!["10.0.0.1:8080=a@- Healthy plaintext".into()],
        ),
        (
            "a slice that is heard of before its pod",
            vec![slice("s", "api", &[("10.0.0.1", "a", true, false)])],
            vec![],
        ),
        (
            "a pod that the selector picks and no slice lists",
            vec![pod("a", "10.0.0.1", "n", true), slice("s", "api", &[])],
            vec![],
        ),
        (
            "an address that is not the pod's (any more)",
            vec![pod("a", "10.0.0.1", "n", true), slice("s", "api", &[("10.0.0.9", "a", true, false)])],
            vec![],
        ),
        (
            "not ready, and going",
            vec![
                pod("a", "10.0.0.1", "n", true),
                pod("b", "10.0.0.2", "n", true),
                slice("s", "api", &[("10.0.0.1", "a", false, false), ("10.0.0.2", "b", false, true)]),
            ],
            vec![format!("10.0.0.1:8080=a@- Unhealthy {API}"), format!("10.0.0.2:8080=b@- Draining {API}")],
        ),
        (
            "in two slices at once, of which one is behind",
            vec![
                pod("a", "10.0.0.1", "n", true),
                slice("s", "api", &[("10.0.0.1", "a", false, false)]),
                slice("t", "api", &[("10.0.0.1", "a", true, false)]),
            ],
            vec![format!("10.0.0.1:8080=a@- Healthy {API}")],
        ),
        (
            "an address beside the cluster, a pod of another namespace, a slice of another Service",
            vec![
                json!({"kind": "EndpointSlice", "addressType": "IPv4",
                    "metadata": {"name": "s", "namespace": "shop", "labels": {"kubernetes.io/service-name": "api"}},
                    "endpoints": [{"addresses": ["192.0.2.1"], "conditions": {}}, {"addresses": ["10.0.0.1"],
                        "conditions": {}, "targetRef": {"kind": "Pod", "namespace": "bank", "name": "a"}}],
                    "ports": [{"name": "http", "port": 5432}, {"name": "all"}]}),
                pod("a", "10.0.0.1", "n", true),
                slice("t", "other", &[("10.0.0.1", "a", true, false)]),
            ],
            vec!["192.0.2.1:5432=192.0.2.1@- Healthy plaintext".into()],
        ),
    ];
    for (case, mut items, expected) in cases {
        items.push(service());
        assert_eq!(endpoints(&items), expected, "{case}");
    }
}

#[test]
fn a_lost_stream_to_a_proxy_does_not_outweigh_the_kubelet_and_a_failed_check_does() {
    let items =
        [service(), pod("a", "10.0.0.1", "n", true), slice("s", "api", &[("10.0.0.1", "a", true, false)])];
    let mut cluster = Cluster::default();
    items.iter().for_each(|json| cluster.put(item(json)));
    let mut set = ObjectSet::of(MeshSettings::default(), cluster.derive().objects.into_values());
    for (said, expected) in [
        (Health::Unconfirmed, Health::Healthy),
        (Health::Draining, Health::Draining),
        (Health::Unhealthy, Health::Unhealthy),
    ] {
        set.apply(Change::Health { workload: ObjectRef::new(Kind::Workload, "shop", "a"), health: said });
        let port = ServicePort { service: ServiceName::new("shop", "api"), port: 80 };
        let found = lower::endpoints(&set, &port).value.unwrap();
        assert_eq!(found.endpoints()[0].health, expected, "{said:?}");
    }
}

#[test]
fn a_workload_with_the_name_of_a_pod_is_hidden_and_its_author_is_told() {
    let written = json!({"apiVersion": "weft.mesh/v1alpha1", "kind": "Workload",
        "metadata": {"name": "a", "namespace": "shop"}, "spec": {"address": "192.0.2.9", "serviceAccount": "admin"}});
    let mut cluster = Cluster::default();
    cluster.put(item(&written));
    cluster.put(item(&pod("a", "10.0.0.1", "n", true)));
    let derived = cluster.derive();
    let key = ObjectRef::new(Kind::Workload, "shop", "a");
    let Object::Workload(found) = &derived.objects[&key] else { panic!("{derived:?}") };
    assert_eq!((&*found.service_account, found.address.to_string()), ("api", "10.0.0.1".into()));
    assert!(derived.findings[0].to_string().contains("a pod has this name"), "{:?}", derived.findings);
    cluster.take(&Id::Pod(("shop".into(), "a".into())));
    let derived = cluster.derive();
    let Object::Workload(found) = &derived.objects[&key] else { panic!("{derived:?}") };
    assert_eq!((&*found.service_account, derived.findings.len()), ("admin", 0));
}

#[test]
fn an_object_that_cannot_be_used_is_named_as_broken_and_disturbs_nobody() {
    let mut bad = service();
    bad["spec"]["ports"][0]["port"] = json!("http");
    let mut cluster = Cluster::default();
    cluster.put(item(&bad));
    cluster.put(item(&pod("a", "10.0.0.1", "n", true)));
    let derived = cluster.derive();
    assert_eq!(derived.broken, [ObjectRef::new(Kind::Service, "shop", "api")].into());
    assert_eq!(derived.objects.len(), 1);
    assert!(derived.findings[0].to_string().starts_with("Service shop/api: spec.ports[0].port:"));
}

/// Several versions of a few things that refer to one another.
fn universe() -> Vec<Value> {
    let mut all = vec![service(), node("n", "z1"), node("n", "z2"), node("m", "z1")];
    let mut other = service();
    other["spec"]["selector"] = json!({"app": "other"});
    other["metadata"]["name"] = json!("other");
    all.push(other.clone());
    other["spec"]["ports"][0]["port"] = json!(8080);
    all.push(other);
    for (name, address) in [("a", "10.0.0.1"), ("b", "10.0.0.2")] {
        for (node, proxy) in [("n", true), ("m", false)] {
            all.push(pod(name, address, node, proxy));
        }
        all.push(pod(name, "10.0.0.3", "n", true));
        all.push(json!({"apiVersion": "weft.mesh/v1alpha1", "kind": "Workload",
            "metadata": {"name": name, "namespace": "shop"}, "spec": {"address": "192.0.2.9"}}));
    }
    for name in ["s", "t"] {
        for service in ["api", "other"] {
            for ready in [true, false] {
                all.push(slice(
                    name,
                    service,
                    &[("10.0.0.1", "a", ready, false), ("10.0.0.2", "b", true, !ready)],
                ));
            }
        }
        all.push(slice(name, "api", &[("10.0.0.3", "b", true, false)]));
    }
    all
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(usize),
    Take(usize),
    Derive,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => any::<usize>().prop_map(Step::Put),
        2 => any::<usize>().prop_map(Step::Take),
        1 => Just(Step::Derive),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    /// Whatever came and went in whatever order, it is what a fresh list of what is left comes to; and the set that
    /// followed each step is what a fresh set of it is.
    #[test]
    fn any_order_of_events_comes_to_what_a_fresh_list_comes_to(steps in steps()) {
        let universe = universe();
        let mut cluster = Cluster::default();
        let mut left: BTreeMap<Id, usize> = BTreeMap::new();
        let mut followed = ObjectSet::new(MeshSettings::default());
        let mut before = Derived::default();
        let mut follow = |now: Derived| {
            for key in before.objects.keys().filter(|key| !now.objects.contains_key(*key)) {
                followed.apply(Change::Delete(key.clone()));
            }
            for object in now.objects.values() {
                followed.apply(Change::Upsert(object.clone()));
            }
            before = now;
        };
        for step in steps {
            match step {
                Step::Put(index) => {
                    let item = item(&universe[index % universe.len()]);
                    left.insert(item.id(), index % universe.len());
                    cluster.put(item);
                }
                Step::Take(index) => {
                    let id = item(&universe[index % universe.len()]).id();
                    left.remove(&id);
                    cluster.take(&id);
                }
                Step::Derive => follow(cluster.derive()),
            }
        }
        follow(cluster.derive());
        let mut fresh = Cluster::default();
        left.values().for_each(|index| fresh.put(item(&universe[*index])));
        let fresh = fresh.derive();
        prop_assert_eq!(&cluster.derive(), &fresh);
        prop_assert_eq!(followed, ObjectSet::of(MeshSettings::default(), fresh.objects.into_values()));
    }
}
