//! A pod with our proxy in it: one pure function, so that a webhook and a shell make the same of the same pod.
//!
//! First of all stand the rules that bring the pod's connections to the proxy, then the proxy, as a native sidecar
//! (`restartPolicy: Always`): what comes after it starts when it listens and is captured from its first connection on,
//! and a Job ends without waiting for it. The kubelet's probes go to the proxy, which asks the application in its place
//! (`probes`): so the ports of the application stay closed to everybody who has no identity, the kubelet among them.
//! Everything else of the pod stays as it was written, whatever it is.
//!
//! Invariant: injecting what was injected changes nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use crate::cluster::pod::PROXY_CONTAINER;

mod annotations;
mod containers;
mod probes;

use annotations::Annotations;
use containers::{proxy_container, redirect_container};
use probes::Probes;

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
    /// Further settings of the proxy, as its environment: `WEFT_ACCESS_LOG`. They never replace ours.
    pub environment: BTreeMap<String, String>,
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
    Left(Left),
}

/// Why a pod stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Its author has said so.
    Asked,
    /// It has been here before, or its author has written the proxy himself.
    HasOne,
    /// It would capture everybody on its node.
    HostNetwork,
    /// There is no proxy for it.
    Windows,
}

impl Left {
    /// Whether who asked for a proxy in all pods of a namespace would be surprised that this one has none.
    #[must_use]
    pub const fn surprises(self) -> bool {
        matches!(self, Self::HostNetwork | Self::Windows)
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "it says itself that it is to have none",
            Self::HasOne => "it has a proxy already",
            Self::HostNetwork => "it uses its node's network, where a proxy would capture everybody",
            Self::Windows => "it is for Windows, where the proxy does not run",
        })
    }
}

/// Why a pod that is to have a proxy cannot have one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInjected {
    /// An annotation of ours says something that nobody understands.
    #[error("the annotation or label {name} says `{value}`: {help}")]
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
    /// It says that it listens where the proxy does.
    #[error("the container {who} has port {port}, which is the proxy's own: give it another port")]
    ProxysPort {
        /// The container.
        who: String,
        /// The port.
        port: u64,
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
    let labels = Annotations(pod.pointer("/metadata/labels"));
    if let Some(why) = left(spec, &annotations, &labels)? {
        // What came into the pod after its proxy, by another webhook, may have probes too.
        let later = (why == Left::HasOne).then(|| probes::add(pod, &annotations)).transpose()?.flatten();
        return Ok(later.map_or(Outcome::Left(why), Outcome::Injected));
    }
    proxys_user(spec)?;
    proxys_port(spec)?;
    let mut injected = pod.clone();
    let (Some(root), Some(names)) = (injected.as_object_mut(), object_of(pod, "metadata")) else {
        return Err(NotInjected::NoPod);
    };
    let mut metadata = names.clone();
    let mut said = metadata.get("annotations").and_then(Value::as_object).cloned().unwrap_or_default();
    said.insert(INJECTED.to_owned(), env!("CARGO_PKG_VERSION").into());
    // For the node's plugin, which is told a pod's annotations; nobody else has a say in it.
    let redirect = containers::redirect_arguments(&annotations)?;
    match injection.redirect {
        Redirect::Node => said.insert(REDIRECT.to_owned(), redirect.join(" ").into()),
        Redirect::InitContainer => said.remove(REDIRECT),
    };
    metadata.insert("annotations".to_owned(), said.into());
    root.insert("metadata".to_owned(), metadata.into());
    let spec = root.get_mut("spec").and_then(Value::as_object_mut).ok_or(NotInjected::NoPod)?;
    let mut asked = Probes::default();
    if probes::wanted(&annotations)? {
        asked.take_over(spec);
    }
    let proxy = proxy_container(&annotations, injection, &asked, &redirect)?;
    let by_container = injection.redirect == Redirect::InitContainer;
    let redirect = by_container.then(|| redirect_container(injection, redirect));
    let before = list(spec, "initContainers");
    let all = redirect.into_iter().chain([proxy]).chain(before).collect();
    spec.insert("initContainers".to_owned(), all);
    let token = json!({"serviceAccountToken": {
        "audience": injection.audience, "expirationSeconds": 3600, "path": "token"}});
    let volume = json!({"name": TOKEN_VOLUME, "projected": {"sources": [token]}});
    // Lasts over restarts of the container and no longer than the pod, and is on no disk: a key is in it.
    let state = json!({"name": STATE_VOLUME, "emptyDir": {"medium": "Memory"}});
    let volumes = list(spec, "volumes");
    spec.insert("volumes".to_owned(), volumes.into_iter().chain([volume, state]).collect());
    Ok(Outcome::Injected(injected))
}

/// What turns one pod into the other, as JSON Patch (RFC 6902). `add` replaces a member that is there (§4.1).
#[must_use]
pub fn patch(pod: &Value, injected: &Value) -> Value {
    let places = ["/metadata", "/spec/initContainers", "/spec/containers", "/spec/volumes"];
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
fn left(
    spec: &Value,
    annotations: &Annotations<'_>,
    labels: &Annotations<'_>,
) -> Result<Option<Left>, NotInjected> {
    let is = |name: &str| spec.get(name).and_then(Value::as_bool) == Some(true);
    let mut asked_not_to = false;
    for said in [annotations, labels] {
        let wanted = said.one_of(INJECT, "write enabled or disabled", |text| match text {
            "enabled" | "true" => Some(true),
            "disabled" | "false" => Some(false),
            _ => None,
        })?;
        asked_not_to |= wanted == Some(false);
    }
    let has_one = containers(spec).any(|container| name_of(container) == PROXY_CONTAINER);
    let windows = spec.pointer("/os/name").and_then(Value::as_str) == Some("windows");
    Ok(match () {
        () if asked_not_to => Some(Left::Asked),
        () if has_one => Some(Left::HasOne),
        () if is("hostNetwork") => Some(Left::HostNetwork),
        () if windows => Some(Left::Windows),
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
    match containers(spec).find(|container| is_ours(container)) {
        Some(container) => {
            let name = crate::reader::shorten(name_of(container));
            Err(NotInjected::ProxysUser { who: format!("the container {name}") })
        }
        None => Ok(()),
    }
}

/// Two who listen on one port in one pod: one of them would not start, and it would not say why.
fn proxys_port(spec: &Value) -> Result<(), NotInjected> {
    for container in containers(spec) {
        let ports = container.get("ports").and_then(Value::as_array).into_iter().flatten();
        let numbers = ports.filter_map(|port| port.get("containerPort").and_then(Value::as_u64));
        if let Some(port) = numbers.into_iter().find(|port| PROXY_PORTS.contains(port)) {
            let who = crate::reader::shorten(name_of(container));
            return Err(NotInjected::ProxysPort { who, port });
        }
    }
    Ok(())
}

/// Every container of a pod, those that run first among them.
fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["initContainers", "containers"].into_iter();
    lists.filter_map(|name| spec.get(name)?.as_array()).flatten()
}

fn name_of(container: &Value) -> &str {
    container.get("name").and_then(Value::as_str).unwrap_or_default()
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
/// Whether the kubelet's probes go to the proxy, which asks the application: `enabled` where nothing is said.
pub const PROBES_REWRITTEN: &str = "weft.mesh/rewrite-probes";
/// The rules that the node's plugin is to make for a pod: the arguments of `weft-proxy redirect`.
pub const REDIRECT: &str = "weft.mesh/redirect";
/// The proxy's log level.
pub const LOG: &str = "weft.mesh/log-level";
/// The user that the proxy runs as, by which its connections are known.
pub const PROXY_USER: i64 = 2102;
/// Where the proxy listens: outbound, inbound, admin, probes, and for itself.
const PROXY_PORTS: [u64; 5] = [15_001, 15_006, 15_020, PROBES as u64, 15_022];
/// Where the proxy asks the application what the kubelet wants to know.
const PROBES: u16 = 15_021;
const TOKEN_VOLUME: &str = "weft-token";
const TOKEN_FOLDER: &str = "/run/weft";
const STATE_VOLUME: &str = "weft-state";
const STATE_FOLDER: &str = "/var/lib/weft";

#[cfg(test)]
mod tests;
