//! The status of every object that an operator wrote: whether it was accepted and what it refers to is there
//! (`weft-manifests` says), and whether the proxies have it (their acknowledgements say).

use std::collections::{BTreeMap, BTreeSet};

use weft_manifests::diagnostic::{Diagnostic, ObjectName};
use weft_manifests::lower;
use weft_policy::object::ObjectRef;
use weft_proto::v1;

use super::Proxies;
use crate::compile::id_of;
use crate::compile::table::Id;
use crate::publish::hub::Hub;
use crate::world::View;

/// The status of every declared object, and of those that were written and cannot be read; sorted by name.
#[must_use]
pub fn objects(view: &View, hub: &Hub, proxies: &Proxies) -> Vec<v1::ObjectStatus> {
    let rejections = rejections(&proxies.statuses(hub));
    // Every proxy has everything before this revision; what is not published yet nobody has.
    let unpublished = hub.table().revision + 1;
    let have = proxies.behind_since(hub).map_or(unpublished, |since| since.min(unpublished));
    let mut unread: BTreeMap<String, Vec<&Diagnostic>> = BTreeMap::new();
    for finding in view.findings.iter().filter(|finding| finding.is_error()) {
        if let Some(object) = &finding.object {
            unread.entry(object.to_string()).or_default().push(finding);
        }
    }
    let mut statuses = Vec::new();
    for (key, placed) in view.declared.iter() {
        let errors = unread.remove(&ObjectName::from(key).to_string()).unwrap_or_default();
        let mut conditions: Vec<_> = lower::status(&view.set, key).iter().map(condition).collect();
        if !errors.is_empty() {
            conditions.retain(|condition| condition.r#type != ACCEPTED);
            conditions.insert(0, refused(&errors));
        } else if conditions.is_empty() {
            conditions.push(says(ACCEPTED, true, ACCEPTED, String::new()));
        }
        conditions.push(programmed(view, key, have, &rejections));
        statuses.push(v1::ObjectStatus {
            object: key.to_string(),
            file: placed.place.file.to_string(),
            line: placed.place.line,
            conditions,
        });
    }
    statuses.extend(unread.into_iter().map(|(object, errors)| v1::ObjectStatus {
        object,
        file: errors.iter().find_map(|error| error.file.clone()).unwrap_or_default(),
        line: errors.iter().find_map(|error| error.line).unwrap_or_default(),
        conditions: vec![refused(&errors)],
    }));
    statuses.sort_by(|a, b| a.object.cmp(&b.object));
    statuses
}

/// By resource, the workloads whose proxies have rejected it, with the reason of the first.
type Rejections = BTreeMap<Id, (BTreeSet<String>, String)>;

fn rejections(statuses: &[v1::ProxyStatus]) -> Rejections {
    let mut rejections = Rejections::new();
    for proxy in statuses.iter().filter(|proxy| proxy.attached) {
        for rejection in &proxy.rejected {
            let Ok(kind) = v1::Type::try_from(rejection.r#type) else { continue };
            let id = Id::new(kind, rejection.name.as_str());
            let why = format!("{}: {}", rejection.path, rejection.detail);
            rejections.entry(id).or_insert_with(|| (BTreeSet::new(), why)).0.insert(proxy.workload.clone());
        }
    }
    rejections
}

fn programmed(view: &View, key: &ObjectRef, have: u64, rejections: &Rejections) -> v1::Condition {
    let concerned: BTreeSet<Id> = view.set.concerned_by(key).iter().map(id_of).collect();
    let rejected: Vec<_> = concerned.iter().filter_map(|id| Some((id, rejections.get(id)?))).collect();
    if let Some((id, (_, why))) = rejected.first() {
        let by: BTreeSet<_> = rejected.iter().flat_map(|(_, (by, _))| by).map(String::as_str).collect();
        let by: Vec<_> = by.into_iter().collect();
        let message = format!("{id} was rejected by {} ({why})", by.join(", "));
        return says(PROGRAMMED, false, "RejectedByProxies", message);
    }
    let since = view.since.get(key).copied().unwrap_or_default();
    if since < have {
        says(PROGRAMMED, true, PROGRAMMED, String::new())
    } else {
        says(PROGRAMMED, false, "Pending", "not every attached proxy has confirmed it yet".to_owned())
    }
}

fn condition(condition: &lower::Condition) -> v1::Condition {
    let mut message = condition.message();
    if let (Some(parent), true) = (&condition.parent, !condition.status) {
        message = format!("parent {}: {message}", parent.name);
    }
    says(condition.kind.as_str(), condition.status, condition.reason.as_str(), message)
}

fn refused(errors: &[&Diagnostic]) -> v1::Condition {
    let messages: Vec<_> = errors
        .iter()
        .map(|error| {
            if error.field.is_empty() {
                error.message.clone()
            } else {
                format!("{}: {}", error.field, error.message)
            }
        })
        .collect();
    says(ACCEPTED, false, "Invalid", messages.join("; "))
}

fn says(kind: &str, status: bool, reason: &str, message: String) -> v1::Condition {
    v1::Condition { r#type: kind.to_owned(), status, reason: reason.to_owned(), message }
}

const ACCEPTED: &str = "Accepted";
const PROGRAMMED: &str = "Programmed";
