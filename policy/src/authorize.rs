//! Who may call: deny wins, then allow, then the default posture.
//!
//! Missing or not understood denies. Adding a deny never allows anything. A rule that looks at what a
//! connection does not have (a path on opaque TCP, an identity in plaintext) does not match where it would
//! allow, and does match where it would deny.

use std::sync::Arc;

use http::HeaderName;
use ipnet::IpNet;

use crate::identity::{SpiffeId, TrustDomain};
use crate::object::ObjectRef;
use crate::route::path::StringMatch;

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
    /// As sent, case-sensitive.
    pub methods: Vec<Arc<str>>,
    /// Canonical paths.
    pub paths: Vec<PathPattern>,
    /// Each of these.
    pub headers: Vec<HeaderCondition>,
}

/// A path in an authorization rule.
#[derive(Clone, Debug, PartialEq)]
pub enum PathPattern {
    /// `/admin`
    Exact(Arc<str>),
    /// `/admin/*`, by whole segments; kept without the trailing `/*`.
    Prefix(Arc<str>),
    /// Anchored at both ends.
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
    /// Kept out: plaintext, where mTLS is required.
    DenyPlaintext {
        /// The `AuthenticationPolicy`, or `None` for the install's default.
        by: Option<&'p ObjectRef>,
    },
    /// Kept out: proven, but of another trust domain, and no policy names it.
    DenyForeign,
}

impl Verdict<'_> {
    /// Whether the request goes on.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. } | Self::AllowByDefault)
    }
}
