//! What the kubelet asks of an application, asked by the proxy in its place.
//!
//! A kubelet has no identity in the mesh, and its address is not its node's on every network, so nothing tells its
//! connections from anybody else's: a port that admits them admits all. Therefore the pod's `httpGet`, `tcpSocket` and
//! `grpc` probes, and its `httpGet` hooks, are turned towards a port of the proxy, at a path for each; the proxy is told
//! which question stands behind a path, asks exactly that, and gives the answer's status and nothing else of it. Headers
//! of a probe stay where they are, and the proxy passes them on.
//!
//! What stays as it is: `exec`, which needs no connection; a probe of another host; and HTTPS, whose certificate only
//! the kubelet is content not to check.

use serde_json::{Map, Value, json};

use super::annotations::Annotations;
use super::{NotInjected, PROBES, PROBES_REWRITTEN, name_of};
use crate::cluster::pod::PROXY_CONTAINER;

/// The questions that the proxy is to ask, in the order of the pod's containers.
#[derive(Debug, Default)]
pub(super) struct Probes(Vec<Value>);

impl Probes {
    /// Turns every probe of a pod's `spec` that can be towards the proxy.
    pub(super) fn take_over(&mut self, spec: &mut Map<String, Value>) {
        for (list, all_run_on) in [("initContainers", false), ("containers", true)] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                let runs_on = all_run_on || container.get("restartPolicy").is_some_and(|it| it == "Always");
                if runs_on && name_of(container) != PROXY_CONTAINER {
                    self.take_over_of(container);
                }
            }
        }
    }

    /// As the proxy's setting has it; `None`: there is nothing to ask.
    pub(super) fn setting(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| Value::from(self.0.clone()).to_string())
    }

    fn take_over_of(&mut self, container: &mut Value) {
        let name = name_of(container).to_owned();
        let ports = container.get("ports").cloned().unwrap_or_default();
        for (place, what) in PLACES {
            let Some(asks) = container.pointer_mut(place).and_then(Value::as_object_mut) else { continue };
            let Some(mut question) = question(asks, &ports) else { continue };
            let path = format!("{PREFIX}{name}/{what}");
            let headers = asks.get("httpGet").and_then(|get| get.get("httpHeaders")).cloned();
            for kind in ["httpGet", "tcpSocket", "grpc"] {
                asks.remove(kind);
            }
            let mut get = json!({"path": path, "port": PROBES});
            if let (Some(headers), Some(get)) = (headers, get.as_object_mut()) {
                get.insert("httpHeaders".to_owned(), headers);
            }
            asks.insert("httpGet".to_owned(), get);
            question.insert("at".to_owned(), path.into());
            self.0.push(question.into());
        }
    }
}

/// Whether the pod's probes may be turned.
pub(super) fn wanted(annotations: &Annotations<'_>) -> Result<bool, NotInjected> {
    let said = annotations.one_of(PROBES_REWRITTEN, "write enabled or disabled", |text| match text {
        "enabled" | "true" => Some(true),
        "disabled" | "false" => Some(false),
        _ => None,
    })?;
    Ok(said.unwrap_or(true))
}

/// Turns the probes of what has come into a pod after its proxy. `None`: there are none, or the proxy is not of our
/// making.
pub(super) fn add(pod: &Value, annotations: &Annotations<'_>) -> Result<Option<Value>, NotInjected> {
    let injected = pod.pointer("/metadata/annotations").is_some_and(|it| it.get(super::INJECTED).is_some());
    if !injected || !wanted(annotations)? {
        return Ok(None);
    }
    let mut pod = pod.clone();
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(None) };
    let mut probes = Probes::default();
    probes.take_over(spec);
    if probes.0.is_empty() {
        return Ok(None);
    }
    let lists = spec.get_mut("initContainers").and_then(Value::as_array_mut).into_iter().flatten();
    let proxy = lists.into_iter().find(|container| name_of(container) == PROXY_CONTAINER);
    let Some(environment) = proxy.and_then(|proxy| proxy.get_mut("env")?.as_array_mut()) else {
        return Ok(None);
    };
    let is_setting = |said: &Value| said.get("name").is_some_and(|name| name == SETTING);
    let before =
        environment.iter().find(|said| is_setting(said)).and_then(|said| said.get("value")?.as_str());
    let known: Vec<Value> = before.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    environment.retain(|said| !is_setting(said));
    let all = Probes(known.into_iter().chain(probes.0).collect());
    environment.extend(all.setting().map(|setting| json!({"name": SETTING, "value": setting})));
    Ok(Some(pod))
}

/// What a probe asks of its pod, and at which port. `None`: nothing that the proxy could ask, or it does already.
fn question(asks: &Map<String, Value>, ports: &Value) -> Option<Map<String, Value>> {
    let mut question = Map::new();
    if let Some(get) = object_of_map(asks, "httpGet") {
        let elsewhere = get.get("host").is_some_and(|host| !host.is_null() && host != "");
        let tls =
            get.get("scheme").and_then(Value::as_str).is_some_and(|it| it.eq_ignore_ascii_case("https"));
        let path = get.get("path").and_then(Value::as_str).filter(|path| !path.is_empty()).unwrap_or("/");
        if elsewhere || tls || path.starts_with(PREFIX) || !path.starts_with('/') {
            return None;
        }
        question.insert("port".to_owned(), number(get.get("port")?, ports)?.into());
        question.insert("http".to_owned(), path.into());
    } else if let Some(connect) = object_of_map(asks, "tcpSocket") {
        if connect.get("host").is_some_and(|host| !host.is_null() && host != "") {
            return None;
        }
        question.insert("port".to_owned(), number(connect.get("port")?, ports)?.into());
    } else {
        let call = object_of_map(asks, "grpc")?;
        question.insert("port".to_owned(), number(call.get("port")?, ports)?.into());
        let service = call.get("service").and_then(Value::as_str).unwrap_or_default();
        question.insert("grpc".to_owned(), service.into());
    }
    Some(question)
}

/// A port by its number, or by its name among those of the container.
fn number(port: &Value, ports: &Value) -> Option<u16> {
    let by_number = |port: &Value| port.as_u64().and_then(|port| u16::try_from(port).ok());
    let by_name = |name: &str| {
        let mut all = ports.as_array()?.iter();
        by_number(all.find(|port| port.get("name").is_some_and(|it| it == name))?.get("containerPort")?)
    };
    let found = match port.as_str() {
        Some(text) => text.parse().ok().or_else(|| by_name(text)),
        None => by_number(port),
    };
    found.filter(|port| *port > 0)
}

fn object_of_map<'v>(fields: &'v Map<String, Value>, name: &str) -> Option<&'v Map<String, Value>> {
    fields.get(name).and_then(Value::as_object)
}

/// Where a container may have a question, and what that is called in a path.
const PLACES: [(&str, &str); 5] = [
    ("/startupProbe", "startup"),
    ("/readinessProbe", "readiness"),
    ("/livenessProbe", "liveness"),
    ("/lifecycle/postStart", "post-start"),
    ("/lifecycle/preStop", "pre-stop"),
];
/// What every path of ours begins with.
const PREFIX: &str = "/probe/";
/// By which the proxy is told: a JSON array of `{"at": path, "port": number, "http": path | "grpc": service}`.
pub(super) const SETTING: &str = "WEFT_PROBES";
