//! `targetRefs[]`: what a policy is about. Always in the policy's own namespace, so that nobody can write policy
//! for somebody else's (catalogue row 53).

use std::fmt;
use std::sync::Arc;

use crate::reader::{At, Fields};

/// One thing a policy is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetRef {
    /// What it is.
    pub kind: TargetKind,
    /// Its name, in the policy's namespace.
    pub name: Arc<str>,
    /// One of its ports, by name; `None`: all of it.
    pub section: Option<Arc<str>>,
}

/// What a policy can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetKind {
    /// The workloads of a Service, at the ports of that Service.
    Service,
    /// One workload.
    Workload,
}

impl TargetKind {
    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Workload => "Workload",
        }
    }
}

/// Reads `targetRefs`. `None`: there is none, or it is null. Items that cannot be read are logged and left out.
pub(crate) fn read(fields: &mut Fields<'_>, allowed: &[TargetKind]) -> Option<Vec<TargetRef>> {
    let list = fields.get("targetRefs")?;
    let items = list.list_of(MAX_TARGETS);
    if items.is_empty() {
        list.bad("an empty list applies to nothing", "name a target, or leave `targetRefs` out");
    }
    Some(items.iter().filter_map(|at| TargetRef::read(at, allowed)).collect())
}

impl TargetRef {
    fn read(at: &At<'_>, allowed: &[TargetKind]) -> Option<Self> {
        let mut fields = at.fields()?;
        let group = fields.get("group").map_or_else(|| Some(Arc::default()), |at| at.text());
        let words: Vec<(&str, TargetKind)> = allowed.iter().map(|kind| (kind.as_str(), *kind)).collect();
        let kind = fields.need("kind").and_then(|at| at.one_of(&words));
        let name = fields.need("name").and_then(|at| at.text());
        let section = match fields.get("sectionName") {
            None => Some(None),
            Some(at) => at.text().map(Some),
        };
        if fields.get("namespace").is_some() {
            at.bad(
                "a target has no namespace: it is in the policy's own",
                "move the policy to that namespace",
            );
        }
        fields.finish();
        let expected = match kind? {
            TargetKind::Service => "",
            TargetKind::Workload => super::GROUP,
        };
        // A Workload's group may be left out: there is only one kind of that name.
        let group = group?;
        if !(group.is_empty() || *group == *expected) {
            at.bad(format!("there is no {} in the group `{group}`", kind?.as_str()), "leave `group` out");
            return None;
        }
        Some(Self { kind: kind?, name: name?, section: section? })
    }
}

impl fmt::Display for TargetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)?;
        self.section.as_ref().map_or(Ok(()), |section| write!(f, " ({section})"))
    }
}

/// Targets of one policy.
pub(super) const MAX_TARGETS: usize = 64;
