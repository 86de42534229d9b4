//! Another installation of Weft in the same cluster. Webhooks, routes, policies and their statuses are the whole cluster's:
//! two that act on them would inject into each other's pods and write over each other's words. So one acts, and the other
//! stands back: of all whose webhook configurations are there, the one whose first was made first.
//!
//! Whoever stands back still serves the proxies that it has. Its own webhooks are made so that nothing waits for them
//! (`failurePolicy: Ignore`, no `caBundle`), which its chart has not: what they were is kept in an annotation, and is put
//! back when the other installation has gone. Nobody's configuration but our own is ever changed.

use std::collections::BTreeMap;

use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::asked::{Asked, ask};

/// What this installation may do with what is the whole cluster's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Nothing before it has looked.
    #[default]
    Unknown,
    /// Everything: it is alone, or was there first.
    First,
    /// Nothing: this one was there first, `<service>.<namespace>.svc`.
    Behind(String),
}

/// Whether it is us who act on what is the whole cluster's. Cloning it shares it.
#[derive(Clone, Debug)]
pub struct Turn(watch::Receiver<Place>);

impl Turn {
    /// As somebody who looks says.
    #[must_use]
    pub const fn told(by: watch::Receiver<Place>) -> Self {
        Self(by)
    }

    /// Of an installation without webhooks, which nobody can find and which finds nobody.
    #[must_use]
    pub fn always() -> Self {
        Self(watch::channel(Place::First).1)
    }

    /// Whether it is.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        *self.0.borrow() == Place::First
    }
}

/// Looks for other installations; `own` is the name that our webhooks are called by. An error is what the API server says.
pub(super) async fn look(client: &Client, own: &str, before: &Place) -> Result<Place, String> {
    let mut all = Vec::new();
    for does in ["mutating", "validating"] {
        let path =
            format!("/apis/admissionregistration.k8s.io/v1/{does}webhookconfigurations?labelSelector={OURS}");
        match ask(client, "GET", &path, "application/json", Vec::new()).await? {
            Asked::Answered(list) => all.extend(list["items"].as_array().cloned().unwrap_or_default()),
            Asked::Absent => {}
        }
    }
    let place = place_among(&all, own);
    if place != *before {
        say(&place, &all, own);
    }
    Ok(place)
}

/// Who was there first.
fn place_among(configurations: &[Value], own: &str) -> Place {
    match since(configurations).into_iter().min_by(|(a, from), (b, since)| (from, a).cmp(&(since, b))) {
        Some((first, _)) if first != own => Place::Behind(first),
        _ => Place::First,
    }
}

/// Of each installation, when the first of its configurations was made. Times of an API server compare as they are written.
fn since(configurations: &[Value]) -> BTreeMap<String, String> {
    let mut since: BTreeMap<String, String> = BTreeMap::new();
    for configuration in configurations {
        let text = |pointer: &str| configuration.pointer(pointer).and_then(Value::as_str);
        let service = "/webhooks/0/clientConfig/service";
        let (Some(name), Some(namespace), Some(made)) = (
            text(&format!("{service}/name")),
            text(&format!("{service}/namespace")),
            text("/metadata/creationTimestamp"),
        ) else {
            continue;
        };
        let of = since.entry(format!("{name}.{namespace}.svc")).or_insert_with(|| made.to_owned());
        if made < of.as_str() {
            made.clone_into(of);
        }
    }
    since
}

fn say(place: &Place, configurations: &[Value], own: &str) {
    let others: Vec<String> = since(configurations).into_keys().filter(|name| name != own).collect();
    match place {
        Place::Behind(first) => tracing::error!(
            %first,
            "another installation of Weft was in this cluster before this one, and there can be one: nothing is injected, \
             validated or written into a status from here until it has gone. Uninstall this one, or that one to go on with \
             this; its namespaces and theirs are told by `meshctl check`"
        ),
        Place::First if !others.is_empty() => {
            tracing::warn!(
                ?others,
                "there is a second installation of Weft in this cluster, which stands back: uninstall it"
            );
        }
        Place::First => tracing::info!("no other installation of Weft is in this cluster"),
        Place::Unknown => {}
    }
}

/// What makes a configuration one that nothing waits for, as a merge patch; `None`: it is one.
pub(super) fn stand_back(written: &Value, first: &str) -> Option<Value> {
    let before = written.get("webhooks")?.as_array()?;
    let kept = kept(written);
    let mut webhooks = before.clone();
    for webhook in &mut webhooks {
        webhook["failurePolicy"] = json!("Ignore");
        if let Some(client) = webhook.get_mut("clientConfig").and_then(Value::as_object_mut) {
            client.remove("caBundle");
        }
    }
    if kept.is_some() && webhooks == *before {
        return None;
    }
    let policies = kept.unwrap_or_else(|| {
        let policy = |it: &Value| Some((it["name"].as_str()?.to_owned(), it["failurePolicy"].clone()));
        json!({"behind": first, "failurePolicy": before.iter().filter_map(policy).collect::<BTreeMap<_, _>>()})
    });
    changed(written, &json!(policies.to_string()), &webhooks)
}

/// What puts back what [`stand_back`] has changed, as a merge patch; `None`: nothing.
pub(super) fn go_on(written: &Value) -> Option<Value> {
    let kept = kept(written)?;
    let mut webhooks = written.get("webhooks")?.as_array()?.clone();
    for webhook in &mut webhooks {
        let was = webhook["name"].as_str().and_then(|name| kept["failurePolicy"].get(name));
        if let Some(was) = was.filter(|was| ["Fail", "Ignore"].iter().any(|known| *was == known)) {
            webhook["failurePolicy"] = was.clone();
        }
    }
    changed(written, &Value::Null, &webhooks)
}

/// It holds for the very version that was read.
fn changed(written: &Value, note: &Value, webhooks: &[Value]) -> Option<Value> {
    let version = written.pointer("/metadata/resourceVersion")?;
    Some(json!({"metadata": {"resourceVersion": version, "annotations": {NOTE: note}}, "webhooks": webhooks}))
}

fn kept(written: &Value) -> Option<Value> {
    serde_json::from_str(written.pointer("/metadata/annotations")?.get(NOTE)?.as_str()?).ok()
}

/// What the webhooks of an installation that stands back were before.
const NOTE: &str = "weft.mesh/stands-back";
/// `app.kubernetes.io/part-of=weft`
const OURS: &str = "app.kubernetes.io%2Fpart-of%3Dweft";

#[cfg(test)]
mod tests;
