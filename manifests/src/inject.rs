//! A pod with our proxy in it: one pure function, so that a webhook and a shell make the same of the same pod.
//!
//! First of all stand the rules that bring the pod's connections to the proxy, then the proxy, as a native sidecar
//! (`restartPolicy: Always`): what comes after it starts when it listens and is captured from its first connection on,
//! and a Job ends without waiting for it. Everything else of the pod stays as it was written, whatever it is.
//!
//! Invariant: injecting what was injected changes nothing.

use serde_json::{Map, Value, json};

use crate::cluster::pod::PROXY_CONTAINER;

/// What an installation puts into every pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// The image of the proxy.
    pub image: String,
    /// `IfNotPresent`, `Always` or `Never`.
    pub pull_policy: String,
    /// Where the control plane is: `weft-control-plane.weft-system.svc:15010`.
    pub control_plane: String,
    /// By what it is known: `<trust domain>:<SHA-256 of a root>`, the one it presents first.
    pub roots: Vec<String>,
    /// The audience of the token that is projected.
    pub audience: String,
    /// Who brings the connections to the proxy.
    pub redirect: Redirect,
}

/// Who brings a pod's connections to its proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// A container that runs before all others, and needs NET_ADMIN.
    InitContainer,
    /// A plugin on the node: nothing in the pod needs any right.
    Node,
}

/// What becomes of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The pod, with the proxy in it.
    Injected(Value),
    /// It stays as it is, and why.
    Left(&'static str),
}

/// Why a pod that is to have a proxy cannot have one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInjected {
    /// An annotation of ours says something that nobody understands.
    #[error("the annotation {name} says `{value}`: {help}")]
    Annotation {
        /// Which.
        name: &'static str,
        /// What it says, shortened.
        value: String,
        /// What it may say.
        help: &'static str,
    },
    /// It would not be captured.
    #[error(
        "{who} runs as user {PROXY_USER}, which is the proxy's: its connections would pass by the mesh; \
         give it another user"
    )]
    ProxysUser {
        /// The pod, or one of its containers.
        who: String,
    },
    /// It is no pod.
    #[error("there is no `spec` with `containers`: this is no pod")]
    NoPod,
}

/// Puts the proxy into a pod.
///
/// # Errors
/// [`NotInjected`]: who wrote the pod has to decide.
pub fn inject(pod: &Value, injection: &Injection) -> Result<Outcome, NotInjected> {
    let spec = pod.get("spec").filter(|spec| spec.get("containers").is_some_and(Value::is_array));
    let spec = spec.ok_or(NotInjected::NoPod)?;
    let annotations = Annotations(pod.pointer("/metadata/annotations"));
    if let Some(why) = left(spec, &annotations)? {
        return Ok(Outcome::Left(why));
    }
    proxys_user(spec)?;
    let mut injected = pod.clone();
    let first =
        [redirect_container(&annotations, injection)?, Some(proxy_container(&annotations, injection)?)];
    let added: Vec<Value> = first.into_iter().flatten().collect();
    let (Some(root), Some(names)) = (injected.as_object_mut(), object_of(pod, "metadata")) else {
        return Err(NotInjected::NoPod);
    };
    let mut metadata = names.clone();
    let mut said = metadata.get("annotations").and_then(Value::as_object).cloned().unwrap_or_default();
    said.insert(INJECTED.to_owned(), env!("CARGO_PKG_VERSION").into());
    metadata.insert("annotations".to_owned(), said.into());
    root.insert("metadata".to_owned(), metadata.into());
    let spec = root.get_mut("spec").and_then(Value::as_object_mut).ok_or(NotInjected::NoPod)?;
    let before = list(spec, "initContainers");
    spec.insert("initContainers".to_owned(), added.into_iter().chain(before).collect());
    let token = json!({"serviceAccountToken": {
        "audience": injection.audience, "expirationSeconds": 3600, "path": "token"}});
    let volume = json!({"name": TOKEN_VOLUME, "projected": {"sources": [token]}});
    let volumes = list(spec, "volumes");
    spec.insert("volumes".to_owned(), volumes.into_iter().chain([volume]).collect());
    Ok(Outcome::Injected(injected))
}

/// What turns one pod into the other, as JSON Patch (RFC 6902). `add` replaces a member that is there (§4.1).
#[must_use]
pub fn patch(pod: &Value, injected: &Value) -> Value {
    let places = ["/metadata", "/spec/initContainers", "/spec/volumes"];
    let changed = places.iter().filter(|place| pod.pointer(place) != injected.pointer(place));
    changed.map(|place| json!({"op": "add", "path": place, "value": injected.pointer(place)})).collect()
}

/// The pod in an object that makes pods, or that is one.
#[must_use]
pub fn template_of(object: &mut Value) -> Option<&mut Value> {
    let place = match object.get("kind").and_then(Value::as_str)? {
        "Pod" => "",
        "CronJob" => "/spec/jobTemplate/spec/template",
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "ReplicationController" => {
            "/spec/template"
        }
        _ => return None,
    };
    object.pointer_mut(place)
}

/// Why a pod stays as it is, if it does.
fn left(spec: &Value, annotations: &Annotations<'_>) -> Result<Option<&'static str>, NotInjected> {
    let is = |name: &str| spec.get(name).and_then(Value::as_bool) == Some(true);
    let wanted = annotations.one_of(INJECT, "write enabled or disabled", |text| match text {
        "enabled" | "true" => Some(true),
        "disabled" | "false" => Some(false),
        _ => None,
    })?;
    let containers =
        ["initContainers", "containers"].into_iter().filter_map(|name| spec.get(name)?.as_array());
    let has_one = containers
        .flatten()
        .any(|container| container.get("name").and_then(Value::as_str) == Some(PROXY_CONTAINER));
    let windows = spec.pointer("/os/name").and_then(Value::as_str) == Some("windows");
    Ok(match () {
        () if wanted == Some(false) => Some("its annotation says so"),
        () if has_one => Some("it has a proxy already"),
        () if is("hostNetwork") => Some("it uses its node's network, where a proxy would capture everybody"),
        () if windows => Some("it is for Windows, where the proxy does not run"),
        () => None,
    })
}

/// The proxy's own connections are not captured, and are known by their user.
fn proxys_user(spec: &Value) -> Result<(), NotInjected> {
    let is_ours =
        |at: &Value| at.pointer("/securityContext/runAsUser").and_then(Value::as_i64) == Some(PROXY_USER);
    if is_ours(spec) {
        return Err(NotInjected::ProxysUser { who: "the pod".to_owned() });
    }
    let containers =
        ["initContainers", "containers"].into_iter().filter_map(|name| spec.get(name)?.as_array());
    match containers.flatten().find(|container| is_ours(container)) {
        Some(container) => {
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
            Err(NotInjected::ProxysUser { who: format!("the container {}", crate::reader::shorten(name)) })
        }
        None => Ok(()),
    }
}

fn redirect_container(
    annotations: &Annotations<'_>,
    injection: &Injection,
) -> Result<Option<Value>, NotInjected> {
    let mut arguments = vec!["redirect".to_owned(), format!("--proxy-uid={PROXY_USER}")];
    for (name, flag) in [(SKIP_INBOUND, "--skip-inbound-ports"), (SKIP_OUTBOUND, "--skip-outbound-ports")] {
        let ports = annotations.one_of(name, "write ports like 5432,9000-9010", ports)?;
        arguments.extend(ports.map(|ports| format!("{flag}={ports}")));
    }
    // On a node with the plugin the annotations are the plugin's to read; they are judged all the same.
    Ok((injection.redirect == Redirect::InitContainer).then(|| {
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
    }))
}

fn proxy_container(annotations: &Annotations<'_>, injection: &Injection) -> Result<Value, NotInjected> {
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
    ];
    environment.extend(log.map(|level| says("WEFT_LOG", level)));
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
        // Whether it is somebody yet is said on its loopback, where the kubelet does not reach.
        "startupProbe": {"tcpSocket": {"port": INBOUND}, "periodSeconds": 1, "failureThreshold": 120},
        "resources": resources,
        "securityContext": {
            "runAsUser": PROXY_USER, "runAsGroup": PROXY_USER, "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": TOKEN_VOLUME, "mountPath": TOKEN_FOLDER, "readOnly": true}],
    }))
}

/// What a pod's author says to us.
struct Annotations<'p>(Option<&'p Value>);

impl Annotations<'_> {
    /// What an annotation means; `None`: it is not there.
    fn one_of<T>(
        &self,
        name: &'static str,
        help: &'static str,
        meaning: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, NotInjected> {
        let Some(text) = self.0.and_then(|all| all.get(name)).and_then(Value::as_str) else {
            return Ok(None);
        };
        let value = crate::reader::shorten(text);
        meaning(text).map(Some).ok_or(NotInjected::Annotation { name, value, help })
    }
}

/// `5432,9000-9010`, as the redirection takes it.
fn ports(text: &str) -> Option<String> {
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let range = |text: &str| match text.split_once('-') {
        Some((from, to)) => {
            port(from).zip(port(to)).filter(|(from, to)| from <= to).map(|(a, b)| format!("{a}-{b}"))
        }
        None => port(text).map(|port| port.to_string()),
    };
    let ranges: Option<Vec<String>> = text.split(',').map(range).collect();
    ranges.map(|ranges| ranges.join(","))
}

/// A quantity, well enough that the API server's own complaint is about nothing else.
fn is_quantity(text: &str) -> bool {
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, unit) = text.split_at(digits);
    let units = ["", "m", "k", "M", "G", "Ki", "Mi", "Gi"];
    number.parse::<f64>().is_ok() && text.len() <= 20 && units.contains(&unit)
}

fn object_of<'v>(value: &'v Value, name: &str) -> Option<&'v Map<String, Value>> {
    value.get(name).and_then(Value::as_object)
}

fn list(fields: &Map<String, Value>, name: &str) -> Vec<Value> {
    fields.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Whether a pod is to have a proxy: `enabled` (so is every pod of a labelled namespace) or `disabled`.
pub const INJECT: &str = "weft.mesh/inject";
/// Says that it has one, and of which version.
pub const INJECTED: &str = "weft.mesh/injected";
/// Ports that reach the application without the proxy.
pub const SKIP_INBOUND: &str = "weft.mesh/skip-inbound-ports";
/// Ports that the application reaches without the proxy.
pub const SKIP_OUTBOUND: &str = "weft.mesh/skip-outbound-ports";
/// The proxy's log level.
pub const LOG: &str = "weft.mesh/log-level";
/// The user that the proxy runs as, by which its connections are known.
pub const PROXY_USER: i64 = 2102;
/// What the proxy needs and may have.
const RESOURCES: [(&str, &str, &str); 4] = [
    ("weft.mesh/proxy-cpu-request", "requests", "cpu"),
    ("weft.mesh/proxy-memory-request", "requests", "memory"),
    ("weft.mesh/proxy-cpu-limit", "limits", "cpu"),
    ("weft.mesh/proxy-memory-limit", "limits", "memory"),
];
const INBOUND: u16 = 15_006;
const TOKEN_VOLUME: &str = "weft-token";
const TOKEN_FOLDER: &str = "/run/weft";

#[cfg(test)]
mod tests;
