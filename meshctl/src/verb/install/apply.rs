//! Applies objects in the order in which they need each other: the namespace, the kinds, then what is of them. By
//! server-side apply, so that a second time is an upgrade, and what others have set is not taken from them unasked.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::cluster::{ApiError, Cluster};
use crate::outcome::Outcome;
use crate::output::{Output, Page, Tell, Tone};

/// Applies all of them.
///
/// # Errors
/// The first object that the API server does not take; what came before it is applied, and a second try goes on.
pub(super) async fn apply(cluster: &Cluster, objects: &[Value], output: &Output) -> anyhow::Result<Outcome> {
    let mut done = Vec::with_capacity(objects.len());
    for object in objects {
        let path = path_of(object)?;
        let what = named(object);
        cluster.apply(&path, object).await.map_err(|error| refused(&what, &error))?;
        done.push(what);
    }
    for object in objects.iter().filter(|object| object["kind"] == "CustomResourceDefinition") {
        until_established(cluster, &path_of(object)?).await.with_context(|| named(object))?;
    }
    output.print(&Answer { applied: done, cluster: cluster.server.clone() })?;
    Ok(Outcome::Fine)
}

#[derive(Debug, Serialize)]
struct Answer {
    cluster: String,
    applied: Vec<String>,
}

impl Tell for Answer {
    fn tell(&self, page: &mut Page) {
        self.applied.iter().for_each(|what| page.line(format!("applied {what}")));
        page.gap();
        page.toned(Tone::Good, format!("{} objects, at {}", self.applied.len(), self.cluster));
        page.line("whether it runs: meshctl check");
        page.line("to bring a namespace in: label it weft.mesh/inject=enabled, and restart what runs there");
    }
}

fn refused(what: &str, error: &ApiError) -> anyhow::Error {
    match error {
        ApiError::Refused { code: 409, message } => anyhow::anyhow!(
            "{what} is kept by somebody else: {message}. What was installed by Helm is upgraded by Helm"
        ),
        ApiError::Refused { code: 403, message } => {
            anyhow::anyhow!(
                "{what}: you may not: {message}. `meshctl check --pre` lists every right that it takes"
            )
        }
        error => anyhow::anyhow!("{what}: {error}"),
    }
}

async fn until_established(cluster: &Cluster, path: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let kind = cluster.get(path).await?;
        let conditions = kind.pointer("/status/conditions").and_then(Value::as_array);
        let is_served = conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Established" && condition["status"] == "True");
        if is_served {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("the API server has not begun to serve it within {PATIENCE:?}");
        }
        sleep(AGAIN).await;
    }
}

fn named(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match text("/metadata/namespace") {
        "" => format!("{} {}", text("/kind"), text("/metadata/name")),
        namespace => format!("{} {namespace}/{}", text("/kind"), text("/metadata/name")),
    }
}

/// Where an object stands.
fn path_of(object: &Value) -> anyhow::Result<String> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("/apiVersion"), text("/kind"));
    let (_, plural) =
        PLURALS.iter().find(|(known, _)| *known == kind).with_context(|| format!("no plural of {kind}"))?;
    let root = if version.contains('/') { "apis" } else { "api" };
    let name = text("/metadata/name");
    Ok(match text("/metadata/namespace") {
        "" => format!("/{root}/{version}/{plural}/{name}"),
        namespace => format!("/{root}/{version}/namespaces/{namespace}/{plural}/{name}"),
    })
}

/// Of every kind that is installed.
const PLURALS: [(&str, &str); 14] = [
    ("Namespace", "namespaces"),
    ("CustomResourceDefinition", "customresourcedefinitions"),
    ("NetworkPolicy", "networkpolicies"),
    ("PodDisruptionBudget", "poddisruptionbudgets"),
    ("ServiceAccount", "serviceaccounts"),
    ("ClusterRole", "clusterroles"),
    ("ClusterRoleBinding", "clusterrolebindings"),
    ("Role", "roles"),
    ("RoleBinding", "rolebindings"),
    ("Service", "services"),
    ("Deployment", "deployments"),
    ("DaemonSet", "daemonsets"),
    ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
];
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::super::chart;
    use super::super::values::Values;
    use super::*;

    #[test]
    fn every_object_has_a_place() {
        let mut values = Values { replicas: 2, ..Values::default() };
        values.cni.enabled = true;
        let objects = [chart::kinds().unwrap(), chart::objects("mesh", &values).unwrap()].concat();
        let paths: Vec<_> = objects.iter().map(|object| path_of(object).unwrap()).collect();
        let deployment = "/apis/apps/v1/namespaces/mesh/deployments/weft-control-plane";
        assert!(paths.iter().any(|path| path == deployment), "{paths:?}");
        let service = "/api/v1/namespaces/mesh/services/weft-control-plane";
        assert!(paths.iter().any(|path| path == service), "{paths:?}");
    }
}
