//! Pods that ought to be in the mesh, and whether they are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use weft_manifests::inject::{INJECT, INJECTED};
use weft_proto::v1;

use super::facts::{Answer, Facts, labelled};
use super::verdict::{Verdict, holds, some};
use crate::cluster::{items, name};

/// Whether a pod was given a proxy.
pub(super) fn has_proxy(pod: &Value) -> bool {
    pod.pointer("/metadata/annotations").is_some_and(|annotations| annotations.get(INJECTED).is_some())
}

/// Whether the level of Pod Security lets pods of labelled namespaces have the container that needs NET_ADMIN.
pub(super) fn allowed(namespaces: &Value, facts: &Facts) -> Verdict {
    let by_node =
        facts.deployments.as_ref().is_ok_and(|all| all.to_string().contains("--proxy-redirect=node"));
    let labelled = labelled(namespaces, &facts.mesh);
    let forbids = |namespace: &&Value| {
        let level = namespace.pointer("/metadata/labels/pod-security.kubernetes.io~1enforce");
        level.is_some_and(|level| level == "baseline" || level == "restricted")
    };
    let all =
        items(namespaces).filter(|it| name(it).is_some_and(|name| labelled.iter().any(|it| it == name)));
    let forbidding: Vec<&str> = all.filter(forbids).filter_map(name).collect();
    if by_node || forbidding.is_empty() {
        holds(&format!("{} labelled namespaces", labelled.len()))
    } else {
        Verdict::Fails(format!("Pod Security refuses it in {}", some(&forbidding)))
    }
}

/// Whether what runs in labelled namespaces has a proxy.
pub(super) fn meshed(pods: &[(String, Answer)]) -> Verdict {
    let (mut with, mut without, mut unseen) = (0_usize, Vec::new(), Vec::new());
    for (namespace, answer) in pods {
        let Ok(answer) = answer else {
            unseen.push(namespace.as_str());
            continue;
        };
        for pod in items(answer).filter(|pod| is_meant(pod)) {
            if has_proxy(pod) {
                with += 1;
            } else {
                without.push(format!("{namespace}/{}", name(pod).unwrap_or_default()));
            }
        }
    }
    let without: Vec<&str> = without.iter().map(String::as_str).collect();
    match (without.as_slice(), unseen.as_slice()) {
        ([_, ..], _) => Verdict::Doubtful(format!("without: {}", some(&without))),
        ([], [_, ..]) => Verdict::Unknown(format!("you may not see the pods of {}", some(&unseen))),
        ([], []) => holds(&format!("{with} pods")),
    }
}

/// Whether every pod with a proxy has a stream to a control plane.
pub(super) fn attached(pods: &[(String, Answer)], status: &v1::StatusReply) -> Verdict {
    let is_attached =
        |workload: &str| status.proxies.iter().any(|proxy| proxy.attached && proxy.workload == workload);
    let seen = pods.iter().filter_map(|(namespace, answer)| Some((namespace, answer.as_ref().ok()?)));
    let with: Vec<String> = seen
        .flat_map(|(namespace, answer)| {
            let with = items(answer).filter(|pod| is_meant(pod) && has_proxy(pod));
            with.filter_map(move |pod| Some(format!("{namespace}/{}", name(pod)?)))
        })
        .collect();
    let away: Vec<&str> = with.iter().map(String::as_str).filter(|pod| !is_attached(pod)).collect();
    if away.is_empty() { holds(&format!("{} proxies", with.len())) } else { Verdict::Fails(some(&away)) }
}

/// Whether anybody calls in plaintext; `pods` tells whose an address is.
pub(super) fn strict(status: &v1::StatusReply, pods: &BTreeMap<String, String>) -> Verdict {
    let mut calls = BTreeSet::new();
    for proxy in status.proxies.iter().filter(|proxy| proxy.attached) {
        for caller in proxy.report.iter().flat_map(|report| &report.plaintext) {
            let who = pods.get(&caller.address).unwrap_or(&caller.address);
            calls.insert(format!("{who} calls {}", proxy.workload));
        }
    }
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    if calls.is_empty() { holds("nobody in the last day") } else { Verdict::Doubtful(some(&calls)) }
}

/// A pod that runs, and has not said that it wants no proxy.
fn is_meant(pod: &Value) -> bool {
    let says_no = |kind: &str| {
        let said = pod.pointer(kind).and_then(|said| said.get(INJECT)).and_then(Value::as_str);
        said.is_some_and(|said| said == "disabled" || said == "false")
    };
    let runs = pod.pointer("/status/phase").is_some_and(|phase| phase == "Running");
    let goes = pod.pointer("/metadata/deletionTimestamp").is_some();
    let host = pod.pointer("/spec/hostNetwork").is_some_and(|host| host == true);
    runs && !goes && !host && !says_no("/metadata/labels") && !says_no("/metadata/annotations")
}
