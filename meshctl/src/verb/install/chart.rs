//! The chart as Helm has rendered it, with an operator's values in place of the ones that it was rendered with.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use weft_manifests::document;

use super::values::Values;

/// The kinds.
///
/// # Errors
/// If what is embedded cannot be read, which a test rules out.
pub(super) fn kinds() -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for text in CRDS {
        all.extend(read(text)?);
    }
    Ok(all)
}

/// Everything else, for this namespace.
///
/// # Errors
/// As [`kinds`], or if the namespace is no name.
pub(super) fn objects(namespace: &str, values: &Values) -> anyhow::Result<Vec<Value>> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    ensure!(
        (1..=63).contains(&namespace.len()) && namespace.bytes().all(inner),
        "`{namespace}` is not the name of a namespace: use a-z, 0-9 and dash"
    );
    let image = values.image.reference("");
    let proxy = values.proxy_image.reference(&values.image.registry);
    let cni = &values.cni;
    let places: [(&str, &str); 9] = [
        (NAMESPACE, namespace),
        (DOMAIN, &values.trust_domain),
        (IMAGE, &image),
        (PROXY_IMAGE, &proxy),
        (LEVEL, &values.log_level),
        (CNI_NAMESPACE, if cni.namespace.is_empty() { namespace } else { &cni.namespace }),
        (BIN_DIR, &cni.bin_dir),
        (CONF_DIR, &cni.conf_dir),
        (NETNS_DIR, &cni.netns_dir),
    ];
    let mut objects = read(RENDERED)?;
    objects.retain(|object| match object["kind"].as_str() {
        Some("NetworkPolicy") => values.network_policy,
        Some("PodDisruptionBudget") => values.replicas > 1,
        _ if object.pointer("/metadata/labels").is_some_and(|labels| labels[COMPONENT] == "cni") => {
            cni.enabled
        }
        _ => true,
    });
    for object in &mut objects {
        put(object, &places);
        in_detail(object, values)?;
    }
    Ok(objects)
}

/// Puts texts in place of others, wherever they stand.
fn put(value: &mut Value, places: &[(&str, &str)]) {
    match value {
        Value::String(text) => {
            for (place, with) in places {
                if text.contains(place) {
                    *text = text.replace(place, with);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| put(item, places)),
        Value::Object(fields) => fields.values_mut().for_each(|field| put(field, places)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Puts in what is no text.
fn in_detail(object: &mut Value, values: &Values) -> anyhow::Result<()> {
    for labels in ["/metadata/labels", "/spec/template/metadata/labels"] {
        if let Some(by) = object.pointer_mut(labels).and_then(|labels| labels.get_mut(MANAGED_BY)) {
            *by = json!("meshctl");
        }
    }
    match object["kind"].as_str() {
        Some("DaemonSet") => {
            *at(object, "/spec/template/spec/containers/0/imagePullPolicy")? =
                json!(values.proxy_image.pull_policy);
        }
        Some("Deployment") => {
            *at(object, "/spec/replicas")? = json!(values.replicas);
            let container = at(object, "/spec/template/spec/containers/0")?;
            container["imagePullPolicy"] = json!(values.image.pull_policy);
            let by_node = "node".to_owned();
            let args = container["args"].as_array_mut().context("the control plane has no arguments")?;
            for (flag, value) in [
                ("--default-mtls=", &values.default_mtls),
                ("--proxy-pull-policy=", &values.proxy_image.pull_policy),
                ("--proxy-redirect=", if values.cni.enabled { &by_node } else { &values.redirect }),
            ] {
                let said = args.iter_mut().find(|arg| arg.as_str().is_some_and(|arg| arg.starts_with(flag)));
                *said.with_context(|| format!("the control plane has no {flag}"))? =
                    json!(format!("{flag}{value}"));
            }
            args.retain(|arg| match arg.as_str() {
                Some("--init") => values.initialize,
                Some("--log-json") => values.log_json,
                Some("--prove-validator") => values.validation == AUTO,
                _ => true,
            });
        }
        Some("MutatingWebhookConfiguration") => {
            *at(object, "/webhooks/0/failurePolicy")? = json!(values.injection);
        }
        Some("ValidatingWebhookConfiguration") if values.validation != AUTO => {
            *at(object, "/webhooks/0/failurePolicy")? = json!(values.validation);
        }
        Some("Role") if values.validation != AUTO => {
            let rules = at(object, "/rules")?.as_array_mut().context("the role has no rules")?;
            rules.retain(|rule| rule["resources"] != json!(["authorizationpolicies"]));
        }
        _ => {}
    }
    Ok(())
}

fn at<'v>(object: &'v mut Value, pointer: &str) -> anyhow::Result<&'v mut Value> {
    object.pointer_mut(pointer).with_context(|| format!("what is embedded has nothing at {pointer}"))
}

fn read(text: &str) -> anyhow::Result<Vec<Value>> {
    let read = document::read(text);
    let problem = read.problems.iter().chain(read.documents.iter().flat_map(|it| &it.problems)).next();
    ensure!(problem.is_none(), "what is embedded cannot be read: {problem:?}");
    Ok(read.documents.iter().map(|document| document.root.to_json()).filter(Value::is_object).collect())
}

/// As Helm renders it with `charts/golden/install.values.yaml`.
const RENDERED: &str = include_str!("../../../../charts/golden/install.yaml");
const CRDS: [&str; 4] = [
    include_str!("../../../../charts/weft/crds/weft.mesh_authenticationpolicies.yaml"),
    include_str!("../../../../charts/weft/crds/weft.mesh_authorizationpolicies.yaml"),
    include_str!("../../../../charts/weft/crds/weft.mesh_trafficpolicies.yaml"),
    include_str!("../../../../charts/weft/crds/weft.mesh_workloads.yaml"),
];
const NAMESPACE: &str = "placeholder-namespace";
const DOMAIN: &str = "placeholder-domain";
const IMAGE: &str = concat!("placeholder/control-plane:", env!("CARGO_PKG_VERSION"));
const PROXY_IMAGE: &str = concat!("placeholder/proxy:", env!("CARGO_PKG_VERSION"));
const LEVEL: &str = "placeholder-level";
const CNI_NAMESPACE: &str = "placeholder-cni";
const BIN_DIR: &str = "/placeholder-bin";
const CONF_DIR: &str = "/placeholder-conf";
const NETNS_DIR: &str = "/placeholder-netns";
const COMPONENT: &str = "app.kubernetes.io/component";
/// As the control plane finds out.
const AUTO: &str = "Auto";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_placeholders_is_left_and_everything_that_differs_is_where_it_belongs() {
        let values = Values { replicas: 1, initialize: false, ..Values::default() };
        let objects = objects("mesh", &values).unwrap();
        let text = serde_json::to_string(&objects).unwrap();
        assert!(!text.contains("placeholder") && !text.contains("Helm"), "{text}");
        assert!(!text.contains("PodDisruptionBudget") && !text.contains("\"--init\""), "{text}");
        assert!(!text.contains("DaemonSet") && !text.contains("weft-cni"), "{text}");
        assert!(text.contains("--webhook-name=weft-control-plane.mesh.svc"), "{text}");
        assert_eq!(kinds().unwrap().len(), 4);
        assert!(super::objects("Mesh", &values).is_err());
    }
}
