//! What `meshctl check DIR` says: everything wrong with each object, and with all of them together.
//!
//! The files are loaded and lowered by the same code that a control plane runs, so whatever it would put on a
//! status is said here, with file and line, before anything is applied.

mod cross;
mod proof;
mod shadow;

use std::collections::BTreeSet;

use serde::Serialize;
use weft_policy::object::Kind;

use crate::diagnostic::{Diagnostic, Severity};
use crate::document::Document;
use crate::load::{Loaded, load};
use crate::lower::{self, Condition, ConditionType, Reason, Resource};
use crate::object::{self, is_security};
use crate::set::ObjectSet;
use crate::settings::MeshSettings;
use crate::suggest;

pub use proof::refused_object;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// By file and line.
    pub diagnostics: Vec<Diagnostic>,
    /// Accepted objects.
    pub objects: usize,
}

impl Report {
    /// How many of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|found| found.severity == severity).count()
    }
}

/// Checks files, given by name and text, for a mesh with the usual settings.
#[must_use]
pub fn check<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Report {
    check_for(MeshSettings::default(), files)
}

/// Checks files for a mesh.
#[must_use]
pub fn check_for<N: AsRef<str>, T: AsRef<str>>(settings: MeshSettings, files: &[(N, T)]) -> Report {
    let loaded = load(files);
    let set = ObjectSet::of(settings, loaded.accepted());
    let mut findings = Vec::new();
    let mut conditions = BTreeSet::new();
    for key in set.keys() {
        let lowered = lower::resource(&set, &key);
        conditions.extend(lowered.conditions);
        match &lowered.value {
            Some(Resource::Routes(routes)) => shadow::find(routes, &mut findings),
            Some(Resource::Inbound(enforced)) => cross::unseen_requests(&enforced.inbound, &mut findings),
            _ => {}
        }
    }
    for key in loaded.objects.keys().filter(|key| is_security(key.kind)) {
        conditions.extend(lower::status(&set, key));
    }
    for condition in &conditions {
        from_condition(&set, condition, &mut findings);
    }
    cross::find(&set, &mut findings);
    let mut diagnostics: Vec<Diagnostic> = findings.into_iter().map(|found| placed(found, &loaded)).collect();
    diagnostics.extend(loaded.diagnostics);
    diagnostics.sort();
    diagnostics.dedup();
    Report { diagnostics, objects: loaded.objects.len() }
}

/// Checks one object of an API server, by itself: what is wrong with it wherever it stands. What it refers to may come
/// later, and is not looked for.
#[must_use]
pub fn check_object(json: &serde_json::Value) -> Vec<Diagnostic> {
    let decoded = object::decode(&Document::from_json(json));
    let mut findings = decoded.diagnostics;
    if let (Some(key), Some(object)) = (decoded.key, decoded.object) {
        let alone = ObjectSet::of(MeshSettings::default(), [object]);
        let own = [Reason::UnsupportedValue, Reason::IncompatibleFilters];
        for condition in lower::status(&alone, &key) {
            if own.contains(&condition.reason) || condition.kind == ConditionType::PartiallyInvalid {
                from_condition(&alone, &condition, &mut findings);
            }
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

/// What a status would say, as diagnostics: one for each detail.
fn from_condition(set: &ObjectSet, condition: &Condition, findings: &mut Vec<Diagnostic>) {
    let security = is_security(condition.object.kind);
    let severity = match (condition.kind, condition.status) {
        // That it is not understood was said as it was read, with the line.
        (ConditionType::Accepted, false) if security => return,
        // A target that is not there may be elsewhere; a port that is not there makes a security policy deny.
        (_, false) if condition.reason == Reason::TargetNotFound => Severity::Warning,
        (_, false) | (ConditionType::PartiallyInvalid, true) => Severity::Error,
        (ConditionType::Accepted | ConditionType::ResolvedRefs, true) => Severity::Warning,
    };
    for detail in &condition.details {
        let denies = security && detail.field.ends_with(".sectionName");
        let severity = if denies { Severity::Error } else { severity };
        let meant = detail.missing.as_ref().map(|missing| {
            let near = set.services_in(&missing.namespace).map(|service| &*service.meta.name);
            suggest::hint(&missing.name, near)
        });
        let message = format!("{}{}", detail.message, meant.unwrap_or_default());
        let found = Diagnostic::new(severity, message, advice(condition));
        findings.push(found.about(&condition.object).at(detail.field.clone()));
    }
}

/// What to do about it.
const fn advice(condition: &Condition) -> &'static str {
    match (condition.kind, condition.reason) {
        (ConditionType::PartiallyInvalid, _) => "take the filter out, or keep the requests from this rule",
        (_, Reason::UnsupportedValue) => "correct the value: until then the whole route is ignored",
        (_, Reason::IncompatibleFilters) => "take one of them out: until then the whole route is ignored",
        (_, Reason::NoMatchingParent) => {
            "correct the parentRef, or create the Service: until then the route is ignored"
        }
        (_, Reason::BackendNotFound | Reason::InvalidKind | Reason::UnsupportedProtocol) => {
            "correct the backendRef, or create the Service: until then its share of requests is answered with 500"
        }
        (_, Reason::TargetNotFound) => "correct the targetRef, or create what it names",
        (_, Reason::Conflicted) => "remove one of the two, or give them different targets",
        (_, Reason::Accepted | Reason::ResolvedRefs | Reason::Invalid) => {
            "change it if it is not what you mean"
        }
    }
}

/// Puts in file and line, from the object and the field.
fn placed(found: Diagnostic, loaded: &Loaded) -> Diagnostic {
    let named = |name: &crate::diagnostic::ObjectName| {
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == name.kind)?;
        loaded.objects.get(&weft_policy::object::ObjectRef::new(kind, &name.namespace, &name.name))
    };
    let Some(object) = found.object.as_ref().and_then(named) else { return found };
    let line = object.source.line_of(&found.field).or(Some(object.place.line));
    Diagnostic { file: Some(object.place.file.to_string()), line, ..found }
}

#[cfg(test)]
mod tests;
