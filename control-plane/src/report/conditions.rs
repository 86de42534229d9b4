//! The status of every object that an operator wrote: whether it was accepted and what it refers to is there
//! (`weft-manifests` says), and whether the proxies have it (their acknowledgements say).

use std::collections::{BTreeMap, BTreeSet};

use weft_manifests::diagnostic::{Diagnostic, ObjectName};
use weft_manifests::gateway_api::parent::ParentRef;
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
    let judge = Judge::new(view, Acknowledged::now(hub, proxies));
    let mut unread = judge.unread.clone();
    let mut statuses = Vec::new();
    for (key, placed) in view.declared.iter() {
        unread.remove(&ObjectName::from(key).to_string());
        let conditions = judge.of(key).into_iter().map(|said| match said {
            (Some(parent), condition) if !condition.status => v1::Condition {
                message: format!("parent {}: {}", parent.name, condition.message),
                ..condition
            },
            (_, condition) => condition,
        });
        statuses.push(v1::ObjectStatus {
            object: key.to_string(),
            file: placed.place.file.to_string(),
            line: placed.place.line,
            conditions: conditions.chain([judge.programmed(key)]).collect(),
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

/// What the attached proxies have confirmed, and what they have rejected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// Every one of them has everything before this revision.
    pub have: u64,
    /// By resource, the workloads whose proxies have rejected it, with the reason of the first.
    pub rejections: BTreeMap<Id, (BTreeSet<String>, String)>,
}

impl Acknowledged {
    /// As it stands.
    #[must_use]
    pub fn now(hub: &Hub, proxies: &Proxies) -> Self {
        let mut rejections = BTreeMap::<Id, (BTreeSet<String>, String)>::new();
        for proxy in proxies.statuses(hub).iter().filter(|proxy| proxy.attached) {
            for rejection in &proxy.rejected {
                let Ok(kind) = v1::Type::try_from(rejection.r#type) else { continue };
                let id = Id::new(kind, rejection.name.as_str());
                let why = format!("{}: {}", rejection.path, rejection.detail);
                let by = rejections.entry(id).or_insert_with(|| (BTreeSet::new(), why));
                by.0.insert(proxy.workload.clone());
            }
        }
        // What is not published yet nobody has.
        let unpublished = hub.table().revision + 1;
        let have = proxies.behind_since(hub).map_or(unpublished, |since| since.min(unpublished));
        Self { have, rejections }
    }
}

/// Says what is so of the objects of a view.
#[derive(Debug)]
pub struct Judge<'v> {
    view: &'v View,
    acknowledged: Acknowledged,
    /// By the object's name, the errors because of which it is not taken as it is written.
    unread: BTreeMap<String, Vec<&'v Diagnostic>>,
}

impl<'v> Judge<'v> {
    /// Of this view and these acknowledgements.
    #[must_use]
    pub fn new(view: &'v View, acknowledged: Acknowledged) -> Self {
        let mut unread: BTreeMap<String, Vec<&Diagnostic>> = BTreeMap::new();
        for finding in view.findings.iter().filter(|finding| finding.is_error()) {
            if let Some(object) = &finding.object {
                unread.entry(object.to_string()).or_default().push(finding);
            }
        }
        Self { view, acknowledged, unread }
    }

    /// Why the object is not taken as it is written, as an `Accepted` that is false; `None` if it is.
    #[must_use]
    pub fn refusal(&self, key: &ObjectRef) -> Option<v1::Condition> {
        self.unread.get(&ObjectName::from(key).to_string()).map(|errors| refused(errors))
    }

    /// Whether it was accepted and what it refers to is there; of a route, towards each of its parents.
    #[must_use]
    pub fn of(&self, key: &ObjectRef) -> Vec<(Option<ParentRef>, v1::Condition)> {
        let said = lower::status(&self.view.set, key).into_iter();
        let mut said: Vec<_> = said.map(|said| (said.parent.clone(), condition(&said))).collect();
        if let Some(refused) = self.refusal(key) {
            said.retain(|(_, condition)| condition.r#type != ACCEPTED);
            said.insert(0, (None, refused));
        } else if said.is_empty() {
            said.push((None, says(ACCEPTED, true, ACCEPTED, String::new())));
        }
        said
    }

    /// Whether the proxies have it.
    #[must_use]
    pub fn programmed(&self, key: &ObjectRef) -> v1::Condition {
        let Acknowledged { have, rejections } = &self.acknowledged;
        let concerned: BTreeSet<Id> = self.view.set.concerned_by(key).iter().map(id_of).collect();
        let rejected: Vec<_> = concerned.iter().filter_map(|id| Some((id, rejections.get(id)?))).collect();
        if let Some((id, (_, why))) = rejected.first() {
            let by: BTreeSet<_> = rejected.iter().flat_map(|(_, (by, _))| by).map(String::as_str).collect();
            let by: Vec<_> = by.into_iter().collect();
            let message = format!("{id} was rejected by {} ({why})", by.join(", "));
            return says(PROGRAMMED, false, "RejectedByProxies", message);
        }
        let since = self.view.since.get(key).copied().unwrap_or_default();
        if since < *have {
            says(PROGRAMMED, true, PROGRAMMED, String::new())
        } else {
            says(PROGRAMMED, false, PENDING, "not every attached proxy has confirmed it yet".to_owned())
        }
    }
}

fn condition(condition: &lower::Condition) -> v1::Condition {
    says(condition.kind.as_str(), condition.status, condition.reason.as_str(), condition.message())
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
/// The type of the condition that says whether proxies have an object.
pub const PROGRAMMED: &str = "Programmed";
/// Why it is not programmed, where nothing is wrong.
pub const PENDING: &str = "Pending";
