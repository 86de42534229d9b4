//! What becomes of an object, in the words of its `status.conditions` (GEP-1364).

use weft_policy::object::{ObjectRef, ServiceName};

use crate::gateway_api::parent::ParentRef;

/// One condition of an object, or of an object towards one of its parents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// Whose.
    pub object: ObjectRef,
    /// Towards whom; `None` for policies.
    pub parent: Option<ParentRef>,
    /// Which.
    pub kind: ConditionType,
    /// `True` or `False`.
    pub status: bool,
    /// One word.
    pub reason: Reason,
    /// What in detail; may be empty.
    pub details: Vec<Detail>,
}

impl Condition {
    /// For people: the first details one after the other, and how many there are beyond.
    #[must_use]
    pub fn message(&self) -> String {
        let beyond = self.details.len().saturating_sub(MOST_DETAILS);
        let sentences = self.details.iter().take(MOST_DETAILS).map(|detail| {
            if detail.field.is_empty() {
                detail.message.clone()
            } else {
                format!("{}: {}", detail.field, detail.message)
            }
        });
        let beyond = (beyond > 0).then(|| format!("and {beyond} more"));
        sentences.chain(beyond).collect::<Vec<_>>().join("; ")
    }
}

/// An API server takes messages of up to 32 768 bytes.
const MOST_DETAILS: usize = 16;

/// A sentence about a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Detail {
    /// `spec.rules[0].backendRefs[0]`
    pub field: String,
    /// What is so.
    pub message: String,
    /// The Service that is missed, where one is. A message names no other Service that may have been meant: it
    /// would change with objects that the condition does not depend on.
    pub missing: Option<ServiceName>,
}

impl Detail {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), missing: None }
    }

    pub(crate) fn missing(field: impl Into<String>, service: &ServiceName) -> Self {
        Self { missing: Some(service.clone()), ..Self::new(field, format!("there is no Service {service}")) }
    }
}

/// `type`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionType {
    /// Whether it takes part at all.
    Accepted,
    /// Whether everything it refers to is there.
    ResolvedRefs,
    /// Only ever true: part of it does not do what it says.
    PartiallyInvalid,
}

impl ConditionType {
    /// As in a status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::PartiallyInvalid => "PartiallyInvalid",
        }
    }
}

/// `reason`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Of a true `Accepted`.
    Accepted,
    /// Of a true `ResolvedRefs`.
    ResolvedRefs,
    /// A value that is not known or not possible.
    UnsupportedValue,
    /// Filters that exclude each other.
    IncompatibleFilters,
    /// The parent is not there, or has no such port.
    NoMatchingParent,
    /// Another object holds the place.
    Conflicted,
    /// What the policy is about is not there.
    TargetNotFound,
    /// A security policy that is not understood.
    Invalid,
    /// A backend of a kind that routes cannot point at.
    InvalidKind,
    /// A backend that is not there.
    BackendNotFound,
    /// A backend that speaks something else.
    UnsupportedProtocol,
}

impl Reason {
    /// As in a status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::UnsupportedValue => "UnsupportedValue",
            Self::IncompatibleFilters => "IncompatibleFilters",
            Self::NoMatchingParent => "NoMatchingParent",
            Self::Conflicted => "Conflicted",
            Self::TargetNotFound => "TargetNotFound",
            Self::Invalid => "Invalid",
            Self::InvalidKind => "InvalidKind",
            Self::BackendNotFound => "BackendNotFound",
            Self::UnsupportedProtocol => "UnsupportedProtocol",
        }
    }
}
