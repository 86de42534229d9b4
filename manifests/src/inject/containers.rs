//! The two containers that are put into a pod: the rules that bring its connections to the proxy, and the proxy.

use serde_json::{Value, json};

use super::annotations::{Annotations, is_quantity, ports};
use super::probes::{self, Probes};
use super::{
    Injection, LOG, NotInjected, PROBES, PROXY_USER, SKIP_INBOUND, SKIP_OUTBOUND, STATE_FOLDER, STATE_VOLUME,
    TOKEN_FOLDER, TOKEN_VOLUME,
};
use crate::cluster::pod::PROXY_CONTAINER;

/// What `weft-proxy redirect` is told, whoever runs it.
pub(super) fn redirect_arguments(annotations: &Annotations<'_>) -> Result<Vec<String>, NotInjected> {
    let skipped = |name| annotations.one_of(name, "write ports like 5432,9000-9010", ports);
    // Probes come from outside, and are the proxy's own to answer.
    let inbound =
        skipped(SKIP_INBOUND)?.map_or_else(|| PROBES.to_string(), |ports| format!("{PROBES},{ports}"));
    let mut arguments = vec![format!("--proxy-uid={PROXY_USER}"), format!("--skip-inbound-ports={inbound}")];
    arguments.extend(skipped(SKIP_OUTBOUND)?.map(|ports| format!("--skip-outbound-ports={ports}")));
    Ok(arguments)
}

pub(super) fn redirect_container(injection: &Injection, arguments: Vec<String>) -> Value {
    let arguments: Vec<String> = ["redirect".to_owned()].into_iter().chain(arguments).collect();
    json!({
        "name": "weft-redirect",
        "image": injection.image,
        "imagePullPolicy": injection.pull_policy,
        "args": arguments,
        "securityContext": {
            "runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": false,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
    })
}

pub(super) fn proxy_container(
    annotations: &Annotations<'_>,
    injection: &Injection,
    probes: &Probes,
    redirect: &[String],
) -> Result<Value, NotInjected> {
    let log = annotations.one_of(LOG, "write error, warn, info, debug or trace", |text| {
        ["error", "warn", "info", "debug", "trace"].contains(&text).then(|| text.to_owned())
    })?;
    let of_pod =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let says = |name: &str, value: String| json!({"name": name, "value": value});
    let mut environment = vec![
        of_pod("POD_NAMESPACE", "metadata.namespace"),
        of_pod("POD_NAME", "metadata.name"),
        // A pod of a Deployment has no name before it is made; the kubelet puts it here.
        says("WEFT_WORKLOAD", "$(POD_NAMESPACE)/$(POD_NAME)".to_owned()),
        says("WEFT_CONTROL_PLANE", injection.control_plane.clone()),
        says("WEFT_POD_TOKEN", format!("{TOKEN_FOLDER}/token")),
        says("WEFT_ROOTS", injection.roots.join(",")),
        says("WEFT_IDENTITY_DIR", STATE_FOLDER.to_owned()),
    ];
    environment.extend(log.map(|level| says("WEFT_LOG", level)));
    // Nothing is ready before the proxy has seen it to be true.
    environment.push(says("WEFT_REDIRECTED", redirect.join(" ")));
    environment.push(says("WEFT_PROBE_LISTEN", format!("0.0.0.0:{PROBES}")));
    environment.extend(probes.setting().map(|setting| says(probes::SETTING, setting)));
    let is_said = |name: &str| environment.iter().any(|known| known.get("name").is_some_and(|it| it == name));
    let further: Vec<_> = injection.environment.iter().filter(|(name, _)| !is_said(name)).collect();
    environment.extend(further.into_iter().map(|(name, value)| says(name, value.clone())));
    let mut resources = json!({"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}});
    for (name, kind, what) in RESOURCES {
        let help = "write a quantity like 100m, 0.5 or 64Mi";
        let quantity = annotations.one_of(name, help, |text| is_quantity(text).then(|| text.to_owned()))?;
        if let (Some(quantity), Some(kind)) =
            (quantity, resources.get_mut(kind).and_then(Value::as_object_mut))
        {
            kind.insert(what.to_owned(), quantity.into());
        }
    }
    Ok(json!({
        "name": PROXY_CONTAINER,
        "image": injection.image,
        "imagePullPolicy": injection.pull_policy,
        "restartPolicy": "Always",
        "env": environment,
        // Nothing of the application starts before the proxy is somebody and knows who may call.
        "startupProbe": {"httpGet": {"path": "/ready", "port": PROBES}, "periodSeconds": 1, "failureThreshold": 120},
        "resources": resources,
        "securityContext": {
            "runAsUser": PROXY_USER, "runAsGroup": PROXY_USER, "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": TOKEN_VOLUME, "mountPath": TOKEN_FOLDER, "readOnly": true},
            {"name": STATE_VOLUME, "mountPath": STATE_FOLDER},
        ],
    }))
}

/// What the proxy needs and may have.
const RESOURCES: [(&str, &str, &str); 4] = [
    ("weft.mesh/proxy-cpu-request", "requests", "cpu"),
    ("weft.mesh/proxy-memory-request", "requests", "memory"),
    ("weft.mesh/proxy-cpu-limit", "limits", "cpu"),
    ("weft.mesh/proxy-memory-limit", "limits", "memory"),
];
