//! The event of a refusal, for whoever runs `kubectl describe` or reads a namespace's events.
//!
//! Its name is a hash of what it says, so that the same thing said twice, by whichever replica, is one event.

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Value, json};
use weft_policy::object::ObjectRef;
use weft_proto::v1::Condition;

use super::merge::{CONTROLLER, shortened};

/// An `events.k8s.io/v1` object. `api_version` is the object's own.
pub(super) fn event(
    object: &ObjectRef,
    api_version: &str,
    uid: &str,
    condition: &Condition,
    replica: &str,
    now: &str,
) -> Value {
    let Condition { r#type: kind, reason, message, .. } = condition;
    let note = if message.is_empty() { format!("it is not {kind}") } else { message.clone() };
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name(object, uid, condition), "namespace": *object.namespace},
        "eventTime": now,
        "reportingController": CONTROLLER,
        "reportingInstance": shortened(replica, 128),
        "action": "Judge",
        "type": "Warning",
        "reason": reason,
        "note": shortened(&note, MAX_NOTE),
        "regarding": {
            "apiVersion": api_version,
            "kind": object.kind.as_str(),
            "namespace": *object.namespace,
            "name": *object.name,
            "uid": uid,
        },
    })
}

fn name(object: &ObjectRef, uid: &str, condition: &Condition) -> String {
    let mut hash = Context::new(&SHA256);
    for part in [uid, &condition.r#type, &condition.reason, &condition.message] {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }
    let digest = hash.finish();
    let hex: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    // A name has at most 253 characters, and a subdomain's label may not end in a dash or a dot.
    let object = shortened(&object.name, 200).trim_end_matches(['-', '.']);
    format!("{object}.{hex}")
}

/// Of the API server.
const MAX_NOTE: usize = 1024;
