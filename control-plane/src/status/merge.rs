//! What an object's status becomes: our part is what is wanted, and everybody else's stays as it is.
//!
//! The lists of a route's status are atomic to the API server, so what others say is written back as it was read, with
//! the version that it was read at.

use serde_json::{Map, Value, json};
use weft_manifests::cluster::Edition;
use weft_manifests::gateway_api::parent::ParentRef;
use weft_proto::v1::Condition;

use super::wanted::{Says, Wanted};
use crate::report::{PENDING, PROGRAMMED};

/// Who says it, in the status of a route.
pub(super) const CONTROLLER: &str = "weft.mesh/controller";

/// What is to be written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Merged {
    /// In place of the fields of the same names in `status`.
    pub(super) status: Value,
    /// What is wrong, and was not said before.
    pub(super) news: Vec<Condition>,
}

/// What to write into this object. `None` if it says already what is wanted, or is no longer what was judged.
pub(super) fn merge(object: &Value, wanted: &Wanted, now: &str) -> Option<Merged> {
    let is = Edition::of(object);
    if is.uid != wanted.uid || is.generation != wanted.generation {
        return None;
    }
    let mut news = Vec::new();
    let mut change = Change { generation: wanted.generation, now, news: &mut news };
    let status = match &wanted.says {
        Says::Itself(said) => {
            let before = list(object, "/status/conditions");
            let ours = change.conditions(before, said)?;
            let others = before.iter().filter(|old| !OURS.contains(&word(old, "type"))).cloned();
            json!({"conditions": ours.into_iter().chain(others).collect::<Vec<_>>()})
        }
        Says::Towards(towards) => {
            let towards = towards.iter().map(|(parent, said)| (written(parent), said.as_slice()));
            json!({"parents": change.parents(list(object, "/status/parents"), towards.collect())?})
        }
        Says::TowardsAll(said) => {
            let named = list(object, "/spec/parentRefs").iter().filter(|parent| is_service(parent));
            let towards = named.map(|parent| (parent.clone(), said.as_slice())).collect();
            json!({"parents": change.parents(list(object, "/status/parents"), towards)?})
        }
    };
    Some(Merged { status, news })
}

struct Change<'c> {
    generation: u64,
    now: &'c str,
    news: &'c mut Vec<Condition>,
}

impl Change<'_> {
    /// The entries of a route's status; `None` if they are what they were.
    fn parents(&mut self, before: &[Value], towards: Vec<(Value, &[Condition])>) -> Option<Vec<Value>> {
        let is_ours = |entry: &&Value| word(entry, "controllerName") == CONTROLLER;
        let others: Vec<Value> = before.iter().filter(|entry| !is_ours(entry)).cloned().collect();
        let mut ours_before: Vec<&Value> = before.iter().filter(is_ours).collect();
        let mut changed = false;
        let mut ours = Vec::new();
        for (parent, said) in towards.into_iter().take(MAX_PARENTS.saturating_sub(others.len())) {
            let place = ours_before.iter().position(|entry| entry.get("parentRef") == Some(&parent));
            let entry = place.map(|place| ours_before.remove(place));
            let old = entry.map_or(&[][..], |entry| list(entry, "/conditions"));
            let conditions = match self.conditions(old, said) {
                Some(conditions) => {
                    changed = true;
                    conditions
                }
                None => old.to_vec(),
            };
            ours.push(json!({"parentRef": parent, "controllerName": CONTROLLER, "conditions": conditions}));
        }
        // Whatever is left of ours is about a parent that the route no longer names.
        changed |= !ours_before.is_empty();
        changed.then(|| others.into_iter().chain(ours).collect())
    }

    /// Our conditions; `None` if they are what they were.
    fn conditions(&mut self, before: &[Value], said: &[Condition]) -> Option<Vec<Value>> {
        let ours: Vec<&Value> = before.iter().filter(|old| OURS.contains(&word(old, "type"))).collect();
        let generation_of = |old: &Value| old.get("observedGeneration").and_then(Value::as_u64);
        let mut conditions = Vec::new();
        let mut changed = false;
        for condition in said {
            let old = ours.iter().find(|old| word(old, "type") == condition.r#type).copied();
            let was = old.map(|old| word(old, "status"));
            // A proxy that has just come holds nothing yet. That takes back nothing of what the others confirmed.
            let is_pending = condition.r#type == PROGRAMMED && condition.reason == PENDING;
            if let Some(old) = old
                && is_pending
                && was == Some("True")
                && generation_of(old) == Some(self.generation)
            {
                conditions.push(old.clone());
                continue;
            }
            let status = if condition.status { "True" } else { "False" };
            let message = shortened(&condition.message, MAX_MESSAGE);
            let same_words = old.is_some_and(|old| {
                word(old, "reason") == condition.reason && word(old, "message") == message
            });
            if let Some(old) = old
                && was == Some(status)
                && same_words
                && generation_of(old) == Some(self.generation)
            {
                conditions.push(old.clone());
                continue;
            }
            changed = true;
            let since = old.filter(|_| was == Some(status)).map(|old| word(old, "lastTransitionTime"));
            conditions.push(json!({
                "type": condition.r#type,
                "status": status,
                "reason": condition.reason,
                "message": message,
                "observedGeneration": self.generation,
                "lastTransitionTime": since.filter(|since| !since.is_empty()).unwrap_or(self.now),
            }));
            let is_wrong = (condition.status == (condition.r#type == PARTLY)) && !is_pending;
            if is_wrong && !(same_words && was == Some(status)) && !self.news.contains(condition) {
                self.news.push(condition.clone());
            }
        }
        changed |= ours.len() != conditions.len();
        changed.then_some(conditions)
    }
}

fn list<'v>(value: &'v Value, place: &str) -> &'v [Value] {
    value.pointer(place).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn word<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is_service(parent: &Value) -> bool {
    word(parent, "kind") == "Service" && parent.get("group").and_then(Value::as_str) == Some("")
}

/// As in the route, with what the CRD fills in.
fn written(parent: &ParentRef) -> Value {
    let ParentRef { group, kind, namespace, name, section, port } = parent;
    let mut written = Map::new();
    let mut put = |field: &str, value: Value| written.insert(field.to_owned(), value);
    put("group", (**group).into());
    put("kind", (**kind).into());
    put("name", (**name).into());
    if let Some(namespace) = namespace {
        put("namespace", (**namespace).into());
    }
    if let Some(section) = section {
        put("sectionName", (**section).into());
    }
    if let Some(port) = port {
        put("port", (*port).into());
    }
    Value::Object(written)
}

/// At most so many bytes of a text.
pub(super) fn shortened(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The types of condition that are ours to write.
const OURS: [&str; 4] = ["Accepted", "ResolvedRefs", PARTLY, PROGRAMMED];
/// The one that says by being true that something is wrong.
const PARTLY: &str = "PartiallyInvalid";
/// Of the kinds of the Gateway API.
const MAX_PARENTS: usize = 32;
const MAX_MESSAGE: usize = 32_768;
