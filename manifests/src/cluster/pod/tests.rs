//! What a pod says, and the workload it is.

use serde_json::json;

use super::*;

fn pod(json: serde_json::Value) -> Pod {
    serde_json::from_value(json).unwrap()
}

fn running() -> serde_json::Value {
    json!({
        "metadata": {
            "name": "api-7d9", "namespace": "shop", "uid": "u-1", "resourceVersion": "17",
            "labels": {"app": "api"}, "annotations": {"a": "b"}, "managedFields": [{"manager": "kubelet"}],
        },
        "spec": {
            "serviceAccountName": "api", "nodeName": "n1", "volumes": [{"name": "v"}],
            "initContainers": [
                {"name": "migrate", "ports": [{"containerPort": 1}]},
                {"name": "weft-proxy", "restartPolicy": "Always", "ports": [{"containerPort": 15090, "name": "metrics"}]},
                {"name": "log", "restartPolicy": "Always", "ports": [{"containerPort": 2020, "name": "log"}]},
            ],
            "containers": [{"name": "api", "ports": [
                {"containerPort": 8080, "name": "http"},
                {"containerPort": 5353, "name": "dns", "protocol": "UDP"},
                {"containerPort": 8080, "name": "again"},
            ]}],
        },
        "status": {"phase": "Running", "podIPs": [{"ip": "10.244.0.7"}, {"ip": "fd00::7"}], "conditions": null},
    })
}

#[test]
fn a_running_pod_is_a_workload_with_its_own_ports_both_addresses_and_its_nodes_zone() {
    let pod = pod(running());
    let workload = pod.workload(Some("a".into())).unwrap();
    let ports: Vec<_> = workload.ports.iter().map(|port| (&*port.name, port.number)).collect();
    assert_eq!(ports, [("http", 8080), ("log", 2020)]);
    assert_eq!(workload.address.to_string(), "10.244.0.7");
    assert!(workload.is_at("fd00::7".parse().unwrap()) && !workload.is_at("10.244.0.8".parse().unwrap()));
    assert_eq!((&*workload.service_account, workload.zone.as_deref()), ("api", Some("a")));
    assert_eq!(workload.sidecar, Sidecar::Transparent);
    assert_eq!(workload.meta.labels.len(), 1);
}

#[test]
fn what_a_pod_is_depends_on_these() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(&str, Change, Option<Sidecar>); 8] = [
        ("as it is", |_| {}, Some(Sidecar::Transparent)),
        ("no proxy", |pod| pod["spec"]["initContainers"] = json!(null), Some(Sidecar::Absent)),
        ("the node's network", |pod| pod["spec"]["hostNetwork"] = json!(true), Some(Sidecar::Absent)),
        ("no address yet", |pod| pod["status"]["podIPs"] = json!(null), None),
        ("an address nobody can read", |pod| pod["status"]["podIPs"] = json!([{"ip": "10.0.0"}]), None),
        ("has run to its end", |pod| pod["status"]["phase"] = json!("Succeeded"), None),
        ("has failed", |pod| pod["status"]["phase"] = json!("Failed"), None),
        // It still serves what it has, and its proxy must know what to let in.
        (
            "is going",
            |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-31T12:00:00Z"),
            Some(Sidecar::Transparent),
        ),
    ];
    for (case, change, expected) in cases {
        let mut json = running();
        change(&mut json);
        assert_eq!(pod(json).workload(None).map(|workload| workload.sidecar), expected, "{case}");
    }
}

#[test]
fn a_pod_that_says_nothing_is_read_and_is_nobody() {
    for json in [json!({}), json!({"metadata": {}, "spec": {}, "status": {}})] {
        assert_eq!(pod(json).workload(None), None);
    }
}
