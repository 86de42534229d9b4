//! What `meshctl install` prints is what Helm renders of the same chart with the same values, field by field, for every
//! value that it knows. Without a Helm on this machine that is not seen, and said so.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use weft_manifests::document;

const MESHCTL: &str = env!("CARGO_BIN_EXE_meshctl");
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Objects by kind and name, without who manages them and without the namespace, which Helm makes by a flag of its own.
fn objects(text: &str) -> BTreeMap<String, Value> {
    let read = document::read(text);
    assert!(read.problems.is_empty(), "{:?}", read.problems);
    let mut found = BTreeMap::new();
    for document in &read.documents {
        let mut object = document.root.to_json();
        if object.is_null() || object["kind"] == "Namespace" {
            continue;
        }
        for labels in ["/metadata/labels", "/spec/template/metadata/labels"] {
            if let Some(labels) = object.pointer_mut(labels).and_then(Value::as_object_mut) {
                labels.remove("app.kubernetes.io/managed-by");
            }
        }
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap();
        found.insert(format!("{} {name}", object["kind"].as_str().unwrap()), object);
    }
    found
}

fn helm() -> Option<PathBuf> {
    let said = std::env::var_os("HELM").map(PathBuf::from);
    let cached = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/weft-k8s"));
    let cached = cached.and_then(|folder| {
        let folders = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
        folders
            .map(|it| it.path())
            .find(|it| it.file_name().is_some_and(|it| it.to_string_lossy().starts_with("helm-")))
    });
    said.or(cached.map(|folder| folder.join("helm"))).filter(|helm| helm.exists())
}

fn printed(namespace: &str, sets: &[String]) -> String {
    let mut args = vec!["install", "--skip-crds", "--mesh-namespace", namespace];
    sets.iter().for_each(|set| args.extend(["--set", set]));
    let output = Command::new(MESHCTL).args(&args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_printed_is_what_helm_renders() {
    let Some(helm) = helm() else {
        eprintln!("skipped: no helm to compare with; tests/k8s/build makes one, once");
        return;
    };
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/weft");
    let digest = format!("image.digest={DIGEST}");
    let proxy_digest = format!("proxy.image.digest={DIGEST}");
    let cases: [(&str, &[&str]); 16] = [
        ("weft-system", &[]),
        ("mesh", &["replicas=1"]),
        ("a-much-longer-namespace-than-anybody-would-write", &["replicas=3", "state.initialize=false"]),
        ("mesh", &["trustDomain=example.org", "defaultMtls=strict"]),
        ("mesh", &["log.level=debug", "log.json=false"]),
        ("mesh", &["image.registry=r.example:5000", "image.tag=v2", "image.pullPolicy=Always"]),
        ("mesh", &["image.repository=own/control", "proxy.image.registry=p.example", "proxy.image.tag=v3"]),
        ("mesh", &[&digest, &proxy_digest]),
        ("mesh", &["proxy.image.repository=own/proxy", "proxy.image.pullPolicy=Never"]),
        ("mesh", &["injection.redirect=node", "injection.failurePolicy=Ignore"]),
        ("mesh", &["validation.failurePolicy=Fail"]),
        ("mesh", &["validation.failurePolicy=Ignore"]),
        ("mesh", &["networkPolicy.enabled=false", "replicas=2"]),
        ("mesh", &["cni.enabled=true", "proxy.image.pullPolicy=Always"]),
        ("mesh", &["cni.enabled=true", "cni.namespace=kube-system", "cni.binDir=/home/kubernetes/bin"]),
        (
            "mesh",
            &[
                "cni.enabled=true",
                "cni.confDir=/etc/cni",
                "cni.netnsDir=/var/run/netns",
                "injection.redirect=init-container",
            ],
        ),
    ];
    for (namespace, sets) in cases {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let mut command = Command::new(&helm);
        command.args(["template", "weft"]).arg(&chart).args([
            "--namespace",
            namespace,
            "--kube-version",
            "1.34.4",
        ]);
        for set in &sets {
            command.args(["--set", set]);
        }
        let rendered = command.output().unwrap();
        assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
        let (want, have) =
            (objects(&String::from_utf8(rendered.stdout).unwrap()), objects(&printed(namespace, &sets)));
        assert_eq!(
            have.keys().collect::<Vec<_>>(),
            want.keys().collect::<Vec<_>>(),
            "{namespace} {sets:?}: which objects there are"
        );
        for (name, object) in &want {
            assert_eq!(&have[name], object, "{namespace} {sets:?}: {name}");
        }
    }
}

#[test]
fn everything_is_printed_in_the_order_in_which_it_can_be_applied() {
    let output = Command::new(MESHCTL).args(["install", "-o", "json"]).output().unwrap();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kinds: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds[0], "Namespace");
    assert_eq!(&kinds[1..5], &["CustomResourceDefinition"; 4]);
    let at = |kind: &str| kinds.iter().position(|it| *it == kind).unwrap();
    assert!(at("ServiceAccount") < at("Deployment"), "{kinds:?}");
}

#[test]
fn what_is_not_known_is_refused_and_a_cluster_that_is_not_there_is_no_answer() {
    let run = |args: &[&str]| {
        let output =
            Command::new(MESHCTL).args(args).env("KUBECONFIG", "/nowhere").env("HOME", "/nowhere").output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (args, expected) in [
        (&["install", "--set", "controlPlane.maxAge=1h"][..], "helm install weft"),
        (&["install", "--set", "replicas"], "NAME=VALUE"),
        (&["install", "--mesh-namespace", "Mesh"], "not the name of a namespace"),
        (&["install", "--apply"], "there is no way to a cluster"),
        (&["check"], "there is no way to a cluster"),
        (&["check", "--pre"], "there is no way to a cluster"),
        (&["status"], "no control plane at .weft/admin.sock"),
    ] {
        let (code, said) = run(args);
        assert_eq!(code, Some(2), "{args:?}: {said}");
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}
