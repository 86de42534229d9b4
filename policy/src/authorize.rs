//! Who may call: deny wins, then allow, then the default posture.
//!
//! Missing or not understood denies. Adding a deny never allows anything. A rule that looks at what a
//! connection does not have (a path on opaque TCP, an identity in plaintext) does not match where it would
//! allow, and does match where it would deny.

mod matching;

use std::fmt;
use std::sync::Arc;

use http::HeaderName;
use ipnet::IpNet;

use crate::canonical;
use crate::facts::Facts;
use crate::identity::{SpiffeId, TrustDomain};
use crate::object::ObjectRef;
use crate::refuse::Refusal;
use crate::route::path::StringMatch;

use matching::Side;

/// Who may call one port, and how they must prove who they are.
#[derive(Clone, Debug, PartialEq)]
pub struct PortPolicy {
    /// Whether plaintext is let in at all.
    pub mtls: MtlsMode,
    /// The `AuthenticationPolicy` that said so; `None`: the install's default.
    pub mtls_origin: Option<ObjectRef>,
    /// Whose identities the default posture lets in.
    pub trust_domain: TrustDomain,
    /// The policies that apply to this port, sorted by name. Shared between ports.
    pub policies: Vec<Arc<AuthorizationPolicy>>,
}

/// Whether plaintext is let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MtlsMode {
    /// Only mTLS with an identity of the mesh.
    #[default]
    Strict,
    /// Plaintext too, counted and reported.
    Permissive,
}

impl MtlsMode {
    /// The mode that holds for a port, from what is said at each level, widest first: mesh, namespace, workload,
    /// port. The narrowest that says something wins; where nobody says anything, plaintext stays out.
    #[must_use]
    pub fn narrowest(levels: [Option<Self>; 4]) -> Self {
        levels.into_iter().rev().flatten().next().unwrap_or_default()
    }

    /// The mode that holds where several objects of one level disagree.
    #[must_use]
    pub const fn strictest(self, other: Self) -> Self {
        match (self, other) {
            (Self::Permissive, Self::Permissive) => Self::Permissive,
            _ => Self::Strict,
        }
    }
}

/// One `AuthorizationPolicy`.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthorizationPolicy {
    /// The object.
    pub origin: ObjectRef,
    /// What it does to what matches.
    pub action: Action,
    /// Any of these. Empty matches nothing: an allow without rules lets nobody in.
    pub rules: Vec<AuthorizationRule>,
    /// What in the object nobody here understands, if anything: then it denies all it applies to.
    pub not_understood: Option<Arc<str>>,
}

/// What a policy does to what matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Lets in; where any allow policy applies, only what one of them matches gets in.
    Allow,
    /// Keeps out, whatever allows.
    Deny,
    /// Changes nothing, and says in the log and metrics that it matched.
    Audit,
}

impl Action {
    /// Every action, in the order of declaration. The wire numbers them from 1 in this order.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Deny, Self::Audit];

    /// The name used in labels and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Audit => "audit",
        }
    }
}

/// One rule: from any of these, to any of those.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthorizationRule {
    /// Empty: from anybody.
    pub from: Vec<SourceMatch>,
    /// Empty: to anything.
    pub to: Vec<OperationMatch>,
}

/// A caller. Fields that are not empty must all hold; within a field any value will do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceMatch {
    /// Exact identities.
    pub identities: Vec<SpiffeId>,
    /// Namespaces of proven identities.
    pub namespaces: Vec<Arc<str>>,
    /// Addresses of the far end of the socket.
    pub cidrs: Vec<IpNet>,
}

/// What is asked for. Fields that are not empty must all hold; within a field any value will do (of headers:
/// all must hold).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperationMatch {
    /// As sent, case-sensitive; a deny means a method in any case.
    pub methods: Vec<Arc<str>>,
    /// Canonical paths.
    pub paths: Vec<PathPattern>,
    /// Each of these.
    pub headers: Vec<HeaderCondition>,
}

/// A path in an authorization rule. It is compared with the request's canonical path, and an escape is the character
/// it stands for: `/my docs`, `/my%20docs` and `/m%79%20docs` are one.
#[derive(Clone, Debug, PartialEq)]
pub enum PathPattern {
    /// `/admin`
    Exact(Arc<str>),
    /// `/admin/*`, by whole segments; kept without the trailing `/*`.
    Prefix(Arc<str>),
    /// Anchored at both ends. Asked about the path as it is written and with its escapes undone: a deny matches if it
    /// matches either, an allow only if both. One with a `%` in it means the written form.
    Regex(crate::route::path::Pattern),
}

/// A header in an authorization rule. A deny matches if any value of a repeated header does, an allow only if
/// all do; a value that is not visible ASCII counts for the denying side (catalogue row 46).
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderCondition {
    /// Names ignore case.
    pub name: HeaderName,
    /// Values do not. Any of these.
    pub values: Vec<StringMatch>,
}

/// The answer and its reason.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub enum Verdict<'p> {
    /// Let in by this policy.
    Allow {
        /// The policy.
        by: &'p ObjectRef,
        /// Which of its rules, from 0.
        rule: usize,
    },
    /// Let in because no allow policy applies and the caller is of the trust domain (or plaintext is let in).
    AllowByDefault,
    /// Kept out by this policy.
    Deny {
        /// The policy.
        by: &'p ObjectRef,
        /// Which of its rules, from 0; `None`: the policy is not understood.
        rule: Option<usize>,
    },
    /// Kept out because allow policies apply and none of them matched.
    DenyByDefault {
        /// How many were looked at.
        considered: usize,
    },
    /// Kept out: servers read the path in different ways, and this policy looks at paths.
    DenyAmbiguousPath {
        /// The policy.
        by: &'p ObjectRef,
    },
    /// Kept out: plaintext, where mTLS is required.
    DenyPlaintext {
        /// The `AuthenticationPolicy`, or `None` for the install's default.
        by: Option<&'p ObjectRef>,
    },
    /// Kept out: proven, but of another trust domain, and no policy names it.
    DenyForeign,
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow { by, rule } => write!(f, "allowed by {by}, rule {rule}"),
            Self::AllowByDefault => f.write_str("allowed by default: no allow policy applies"),
            Self::Deny { by, rule: Some(rule) } => write!(f, "denied by {by}, rule {rule}"),
            Self::Deny { by, rule: None } => write!(f, "denied by {by}, part of which is not understood"),
            Self::DenyByDefault { considered: 1 } => {
                f.write_str("denied: the one allow policy that applies does not match")
            }
            Self::DenyByDefault { considered } => {
                write!(f, "denied: none of the {considered} allow policies that apply matches")
            }
            Self::DenyAmbiguousPath { by } => {
                write!(f, "denied: servers read this path in different ways, and {by} looks at paths")
            }
            Self::DenyPlaintext { by: Some(by) } => write!(f, "denied: {by} requires mutual TLS"),
            Self::DenyPlaintext { by: None } => f.write_str("denied: mutual TLS is required by default"),
            Self::DenyForeign => {
                f.write_str("denied: the caller is of another trust domain and no policy names it")
            }
        }
    }
}

impl<'p> Verdict<'p> {
    /// Whether the request goes on.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. } | Self::AllowByDefault)
    }

    /// The object that decided; `None`: a default did.
    #[must_use]
    pub const fn by(&self) -> Option<&'p ObjectRef> {
        match self {
            Self::Allow { by, .. } | Self::Deny { by, .. } | Self::DenyAmbiguousPath { by } => Some(by),
            Self::DenyPlaintext { by } => *by,
            Self::AllowByDefault | Self::DenyByDefault { .. } | Self::DenyForeign => None,
        }
    }

    /// What the caller is answered, where it is kept out.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Allow { .. } | Self::AllowByDefault => None,
            Self::DenyPlaintext { .. } => Some(Refusal::PlaintextDenied),
            Self::DenyAmbiguousPath { .. } => Some(Refusal::AmbiguousPath),
            Self::Deny { .. } | Self::DenyByDefault { .. } | Self::DenyForeign => Some(Refusal::Denied),
        }
    }
}

/// Says who may call. In this order: plaintext where mTLS is required stays out; a policy that is not understood
/// or denies keeps out; where any allow policy applies, one must match; else the trust domain may call, and
/// plaintext where it is let in at all.
///
/// A path that [servers read in different ways](canonical::is_ambiguous) is under every path of a deny and under none
/// of an allow, and what is kept out for that is answered as what it is, not as a lack of rights.
pub fn authorize<'p>(policy: &'p PortPolicy, facts: &Facts<'_>) -> Verdict<'p> {
    if facts.source.identity.is_none() && policy.mtls == MtlsMode::Strict {
        return Verdict::DenyPlaintext { by: policy.mtls_origin.as_ref() };
    }
    let mut allowed = None;
    let mut considered = 0;
    for candidate in &policy.policies {
        let by = &candidate.origin;
        if candidate.not_understood.is_some() {
            return Verdict::Deny { by, rule: None };
        }
        match candidate.action {
            Action::Deny => {
                if let Some(rule) = candidate.matching_rule(Side::Deny, policy, facts) {
                    return match is_ambiguous(facts) && candidate.needs_a_path(rule) {
                        true => Verdict::DenyAmbiguousPath { by },
                        false => Verdict::Deny { by, rule: Some(rule) },
                    };
                }
            }
            Action::Allow => {
                considered += 1;
                if allowed.is_none() {
                    let rule = candidate.matching_rule(Side::Allow, policy, facts);
                    allowed = rule.map(|rule| Verdict::Allow { by, rule });
                }
            }
            Action::Audit => {}
        }
    }
    match (allowed, considered, facts.source.identity) {
        (Some(allow), _, _) => allow,
        (None, 1.., _) => match policy.path_allow().filter(|_| is_ambiguous(facts)) {
            Some(by) => Verdict::DenyAmbiguousPath { by },
            None => Verdict::DenyByDefault { considered },
        },
        (None, 0, Some(identity)) if identity.trust_domain() != policy.trust_domain.as_str() => {
            Verdict::DenyForeign
        }
        (None, 0, _) => Verdict::AllowByDefault,
    }
}

fn is_ambiguous(facts: &Facts<'_>) -> bool {
    facts.request.is_some_and(|request| canonical::is_ambiguous(request.path))
}

impl PortPolicy {
    /// The first allow policy that would have to know the path.
    fn path_allow(&self) -> Option<&ObjectRef> {
        let allows = self.policies.iter().filter(|policy| policy.action == Action::Allow);
        let mut by_path =
            allows.filter(|policy| (0..policy.rules.len()).any(|rule| policy.needs_a_path(rule)));
        by_path.next().map(|policy| &policy.origin)
    }
}

impl AuthorizationPolicy {
    /// Whether a rule cannot match without a path that matches.
    fn needs_a_path(&self, rule: usize) -> bool {
        let to = self.rules.get(rule).map_or(&[][..], |rule| &rule.to);
        !to.is_empty() && to.iter().all(|to| !to.paths.is_empty())
    }
}

/// The audit policies that match, each with the first of its rules that does. They match what the same rule
/// would deny, so that an audit shows everything a deny would keep out before it is turned into one.
pub fn audits<'p>(policy: &'p PortPolicy, facts: &Facts<'_>) -> impl Iterator<Item = (&'p ObjectRef, usize)> {
    let audits = consider(policy, facts).filter(|(candidate, _)| candidate.action == Action::Audit);
    audits.filter_map(|(candidate, rule)| Some((&candidate.origin, rule?)))
}

/// Every policy that applies, with the first of its rules that matches, as seen from the side its action is on.
/// [`authorize`] looks no further than it must; this is for showing what it would have found.
pub fn consider<'p>(
    policy: &'p PortPolicy,
    facts: &Facts<'_>,
) -> impl Iterator<Item = (&'p AuthorizationPolicy, Option<usize>)> {
    policy.policies.iter().map(move |candidate| {
        let side = match candidate.action {
            Action::Allow => Side::Allow,
            Action::Deny | Action::Audit => Side::Deny,
        };
        (&**candidate, candidate.matching_rule(side, policy, facts))
    })
}

#[cfg(test)]
mod tests;
