//! Everything the status of one object says.

use std::sync::Arc;

use weft_policy::object::{ObjectRef, ServiceName};

use crate::crd::authorization::Scope;
use crate::crd::target::{TargetKind, TargetRef};
use crate::object::Object;
use crate::set::{ObjectSet, ResourceKey};
use crate::suggest;

use super::condition::{Condition, ConditionType, Detail, Reason};
use super::{routes, service};

/// The conditions of one object, sorted. Services and Workloads have none. Those of routes and TrafficPolicies are
/// what lowering their resources says; those of the security kinds change with what their namespace holds.
#[must_use]
pub fn status(set: &ObjectSet, object: &ObjectRef) -> Vec<Condition> {
    let mut conditions = match set.object(object) {
        None | Some(Object::Service(_) | Object::Workload(_)) => Vec::new(),
        Some(Object::AuthorizationPolicy(policy)) => {
            security(set, object, &policy.scope, policy.not_understood.as_ref())
        }
        Some(Object::AuthenticationPolicy(policy)) => {
            security(set, object, &policy.scope, policy.not_understood.as_ref())
        }
        Some(Object::HttpRoute(_) | Object::GrpcRoute(_) | Object::TrafficPolicy(_)) => {
            let said = set.concerned_by(object).into_iter().flat_map(|key| match key {
                ResourceKey::Routes { service, class } => routes(set, &service, class.as_deref()).conditions,
                ResourceKey::Service { name, class: None } => service(set, &name, None).conditions,
                _ => Vec::new(),
            });
            said.filter(|condition| condition.object == *object).collect()
        }
    };
    conditions.sort();
    conditions.dedup();
    conditions
}

/// A policy that is not understood is not accepted, and denies. One whose targets are missing waits for them.
fn security(
    set: &ObjectSet,
    object: &ObjectRef,
    scope: &Scope,
    not_understood: Option<&Arc<str>>,
) -> Vec<Condition> {
    let say = |kind, status, reason, details| Condition {
        object: object.clone(),
        parent: None,
        kind,
        status,
        reason,
        details,
    };
    let missing: Vec<Detail> = match scope {
        Scope::Everything | Scope::Namespace => Vec::new(),
        Scope::Targets(targets) => {
            let targets = targets.iter().enumerate();
            targets.filter_map(|(index, target)| missing(set, &object.namespace, target, index)).collect()
        }
    };
    let accepted = match not_understood {
        Some(reason) => {
            let message = format!("not understood, so it denies all it applies to: {reason}");
            say(ConditionType::Accepted, false, Reason::Invalid, vec![Detail::new("", message)])
        }
        None => say(ConditionType::Accepted, true, Reason::Accepted, Vec::new()),
    };
    let resolved = if missing.is_empty() {
        say(ConditionType::ResolvedRefs, true, Reason::ResolvedRefs, Vec::new())
    } else {
        say(ConditionType::ResolvedRefs, false, Reason::TargetNotFound, missing)
    };
    vec![accepted, resolved]
}

fn missing(set: &ObjectSet, namespace: &str, target: &TargetRef, index: usize) -> Option<Detail> {
    let field = format!("spec.targetRefs[{index}]");
    let ports: Option<Vec<&str>> = match target.kind {
        TargetKind::Service => {
            let service = set.service(&ServiceName::new(namespace, &target.name));
            service.map(|service| service.ports.iter().map(|port| &*port.name).collect())
        }
        TargetKind::Workload => {
            let workload = set.workload(namespace, &target.name);
            workload.map(|workload| workload.ports.iter().map(|port| &*port.name).collect())
        }
    };
    let named = format!("{} {namespace}/{}", target.kind.as_str(), target.name);
    let Some(ports) = ports else {
        return Some(match target.kind {
            TargetKind::Service => Detail::missing(field, &ServiceName::new(namespace, &target.name)),
            TargetKind::Workload => Detail::new(field, format!("there is no {named}")),
        });
    };
    let section = target.section.as_ref().filter(|section| !ports.contains(&&***section))?;
    let hint = suggest::hint(section, ports);
    let message =
        format!("{named} has no port named `{section}`{hint}; until it has, the policy denies all its ports");
    Some(Detail::new(format!("{field}.sectionName"), message))
}
