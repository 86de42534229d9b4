//! Every object Weft reads, as one type, and the way from a document to it.
//!
//! What is wrong with a document decides what becomes of its object. An unknown field is a warning. A value
//! that cannot be used keeps the object from being accepted, and no other. The two security kinds are always
//! accepted: what is wrong with them is kept in them, and denies.

use std::sync::Arc;

use weft_policy::object::{Kind, ObjectRef};

use crate::core::{self, Service};
use crate::crd::authentication::{self, AuthenticationPolicy};
use crate::crd::authorization::{self, AuthorizationPolicy, Scope};
use crate::crd::traffic::{self, TrafficPolicy};
use crate::crd::workload::{self, Workload};
use crate::diagnostic::{Diagnostic, ObjectName, Severity};
use crate::document::Document;
use crate::gateway_api::grpc_route::{self, GrpcRoute};
use crate::gateway_api::http_route::{self, HttpRoute};
use crate::meta::{self, Metadata};
use crate::node::Node;
use crate::reader::{About, At, Log, shorten};
use crate::suggest;

/// An object. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// `v1/Service`
    Service(Arc<Service>),
    /// `gateway.networking.k8s.io/v1 HTTPRoute`
    HttpRoute(Arc<HttpRoute>),
    /// `gateway.networking.k8s.io/v1 GRPCRoute`
    GrpcRoute(Arc<GrpcRoute>),
    /// `weft.mesh/v1alpha1 TrafficPolicy`
    TrafficPolicy(Arc<TrafficPolicy>),
    /// `weft.mesh/v1alpha1 AuthorizationPolicy`
    AuthorizationPolicy(Arc<AuthorizationPolicy>),
    /// `weft.mesh/v1alpha1 AuthenticationPolicy`
    AuthenticationPolicy(Arc<AuthenticationPolicy>),
    /// `weft.mesh/v1alpha1 Workload`
    Workload(Arc<Workload>),
}

impl Object {
    /// Kind, namespace and name.
    #[must_use]
    pub fn key(&self) -> ObjectRef {
        let meta = self.meta();
        ObjectRef { kind: self.kind(), namespace: Arc::clone(&meta.namespace), name: Arc::clone(&meta.name) }
    }

    /// `metadata`
    #[must_use]
    pub fn meta(&self) -> &Metadata {
        match self {
            Self::Service(object) => &object.meta,
            Self::HttpRoute(object) => &object.meta,
            Self::GrpcRoute(object) => &object.meta,
            Self::TrafficPolicy(object) => &object.meta,
            Self::AuthorizationPolicy(object) => &object.meta,
            Self::AuthenticationPolicy(object) => &object.meta,
            Self::Workload(object) => &object.meta,
        }
    }

    /// Whether it is the same value as another: a glance where it is the very same one.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let shared = match (self, other) {
            (Self::Service(a), Self::Service(b)) => Arc::ptr_eq(a, b),
            (Self::HttpRoute(a), Self::HttpRoute(b)) => Arc::ptr_eq(a, b),
            (Self::GrpcRoute(a), Self::GrpcRoute(b)) => Arc::ptr_eq(a, b),
            (Self::TrafficPolicy(a), Self::TrafficPolicy(b)) => Arc::ptr_eq(a, b),
            (Self::AuthorizationPolicy(a), Self::AuthorizationPolicy(b)) => Arc::ptr_eq(a, b),
            (Self::AuthenticationPolicy(a), Self::AuthenticationPolicy(b)) => Arc::ptr_eq(a, b),
            (Self::Workload(a), Self::Workload(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        shared || self == other
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Service(_) => Kind::Service,
            Self::HttpRoute(_) => Kind::HttpRoute,
            Self::GrpcRoute(_) => Kind::GrpcRoute,
            Self::TrafficPolicy(_) => Kind::TrafficPolicy,
            Self::AuthorizationPolicy(_) => Kind::AuthorizationPolicy,
            Self::AuthenticationPolicy(_) => Kind::AuthenticationPolicy,
            Self::Workload(_) => Kind::Workload,
        }
    }
}

/// What became of a document.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// The object's name, where it could be read, even if the object could not: whoever keeps a last good
    /// version finds it by this.
    pub key: Option<ObjectRef>,
    /// `None`: not accepted (the diagnostics have an error), or not a kind that Weft reads.
    pub object: Option<Object>,
    /// What is wrong with it. Lines are filled in, the file's name is not.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads one document.
#[must_use]
pub fn decode(document: &Document) -> Decoded {
    let log = Log::default();
    let at = At::new(&document.root, String::new(), &log);
    let mut decoded = Decoded::default();
    let kind = kind_of(document, &log, &mut decoded.diagnostics);
    if let Some(kind) = kind {
        for problem in &document.problems {
            log.note(problem.line, problem.message.clone(), problem.help.clone());
        }
        decoded.object = read(kind, document, &at, &log);
        let metadata = document.root.field("metadata");
        let word = |name| metadata.and_then(|m| m.field(name)).and_then(Node::as_str);
        decoded.key = decoded.object.as_ref().map(Object::key).or_else(|| {
            Some(ObjectRef::new(
                kind,
                word("namespace").map_or("default", |namespace| namespace),
                word("name")?,
            ))
        });
    } else {
        decoded.diagnostics.extend(document.problems.iter().cloned());
    }
    let security = kind.is_some_and(is_security);
    let name = decoded.key.as_ref().map(ObjectName::from).or_else(|| document.name());
    for entry in log.into_entries() {
        if entry.about == About::BadValue && !security {
            decoded.object = None;
        }
        decoded.diagnostics.push(diagnostic(entry, security));
    }
    for diagnostic in &mut decoded.diagnostics {
        diagnostic.object.clone_from(&name);
    }
    decoded
}

fn diagnostic(entry: crate::reader::Entry, security: bool) -> Diagnostic {
    let severity = match entry.about {
        About::BadValue => Severity::Error,
        About::UnknownField if security => Severity::Error,
        About::UnknownField | About::Remark => Severity::Warning,
    };
    let mut message = entry.message;
    if security && severity == Severity::Error {
        message.push_str("; because it is not understood, this policy denies all it applies to");
    } else if entry.about == About::UnknownField {
        message.push_str("; it is ignored");
    }
    Diagnostic { line: entry.line, ..Diagnostic::new(severity, message, entry.help).at(entry.field) }
}

/// Whether an object of this kind fails closed.
#[must_use]
pub const fn is_security(kind: Kind) -> bool {
    matches!(kind, Kind::AuthorizationPolicy | Kind::AuthenticationPolicy)
}

fn read(kind: Kind, document: &Document, at: &At<'_>, log: &Log) -> Option<Object> {
    let mut fields = at.fields()?;
    fields.skip(&["apiVersion", "kind", "status"]);
    let is_name = if kind == Kind::Service { meta::dns_label } else { meta::dns_subdomain };
    let mut metadata = fields.need("metadata").and_then(|at| meta::read(&at, is_name));
    let spec = fields.need("spec");
    fields.finish();
    if metadata.is_none() && is_security(kind) {
        metadata = usable_name(document);
    }
    let (metadata, spec) = (metadata?, spec.as_ref());
    Some(match kind {
        Kind::Service => Object::Service(core::read(metadata, spec)?.into()),
        Kind::HttpRoute => Object::HttpRoute(http_route::read(metadata, spec)?.into()),
        Kind::GrpcRoute => Object::GrpcRoute(grpc_route::read(metadata, spec)?.into()),
        Kind::TrafficPolicy => Object::TrafficPolicy(traffic::read(metadata, spec)?.into()),
        Kind::Workload => Object::Workload(workload::read(metadata, spec)?.into()),
        Kind::AuthorizationPolicy => {
            let mut policy = authorization::read(metadata, spec, log);
            if document.cut_short || spec.is_none() {
                policy.scope = Scope::Namespace;
            }
            Object::AuthorizationPolicy(policy.into())
        }
        Kind::AuthenticationPolicy => {
            let mut policy = authentication::read(metadata, spec, log);
            if document.cut_short || spec.is_none() {
                policy.scope = Scope::Namespace;
            }
            Object::AuthenticationPolicy(policy.into())
        }
    })
}

/// A security policy with a name that breaks the rules must not vanish: it is kept under the name it has, and
/// denies. One whose namespace breaks them applies nowhere, because no such namespace can be.
fn usable_name(document: &Document) -> Option<Metadata> {
    let name = document.name()?;
    meta::namespace(&name.namespace).ok()?;
    Some(Metadata::new(&name.namespace, &shorten(&name.name)))
}

/// The kind, where it is one that Weft reads; says so if it looks as if it was meant to be one.
fn kind_of(document: &Document, log: &Log, diagnostics: &mut Vec<Diagnostic>) -> Option<Kind> {
    let word = |name| document.root.field(name).and_then(Node::as_str).map(|text| &**text);
    let line = (document.line > 0).then_some(document.line);
    let mut report = |severity, field: &str, message: String, help: &str| {
        let line = document.root.line_of(field).or(line);
        diagnostics.push(Diagnostic { line, ..Diagnostic::new(severity, message, help).at(field) });
    };
    let (Some(version), Some(kind)) = (word("apiVersion"), word("kind")) else {
        if document.problems.is_empty() {
            report(
                Severity::Error,
                "",
                "this is no object: apiVersion or kind is missing".into(),
                "add both",
            );
        }
        return None;
    };
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    let known = KINDS
        .iter()
        .find(|(known_group, known_kind, _)| *known_group == group && known_kind.as_str() == kind);
    if let Some((_, known, versions)) = known {
        if versions.contains(&version) {
            return Some(*known);
        }
        let help = format!("write {}", api_version(group, versions.first().copied().unwrap_or_default()));
        let message = format!("{kind} has no version `{}`", shorten(version));
        if is_security(*known) {
            // One from the future still says: something is to be kept out here.
            log.note(document.root.line_of("apiVersion"), message, help);
            return Some(*known);
        }
        report(Severity::Error, "apiVersion", message, &help);
        return None;
    }
    let ours = KINDS.iter().any(|(known_group, _, _)| *known_group == group && !group.is_empty());
    let near = suggest::nearest(kind, KINDS.iter().map(|(_, kind, _)| kind.as_str()));
    let same_kind = KINDS.iter().find(|(_, known, _)| known.as_str() == kind);
    match (ours, near, same_kind) {
        (_, _, Some((group, _, versions))) => {
            let help = format!("write {}", api_version(group, versions.first().copied().unwrap_or_default()));
            report(Severity::Error, "apiVersion", format!("there is no {kind} in this group"), &help);
        }
        (_, Some(near), _) => {
            let message = format!("there is no kind `{}`", shorten(kind));
            report(Severity::Error, "kind", message, &format!("did you mean {near}?"));
        }
        (true, None, _) if NOT_YET.contains(&kind) => {
            report(
                Severity::Warning,
                "kind",
                format!("{kind} is not carried out yet; it is ignored"),
                "nothing to do",
            );
        }
        (true, None, _) => {
            let message = format!("there is no kind `{}` in {group}", shorten(kind));
            report(Severity::Error, "kind", message, "see the list of kinds in the documentation");
        }
        (false, None, _) if is_of_kubernetes(group) => {}
        (false, None, _) => {
            let message = format!("Weft does not read `{}`; it is ignored", shorten(kind));
            report(Severity::Warning, "kind", message, "keep it elsewhere if it is not meant for the mesh");
        }
    }
    None
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { format!("apiVersion: {version}") } else { format!("apiVersion: {group}/{version}") }
}

/// Deployments, ConfigMaps and the like stand in the same files as what Weft reads.
fn is_of_kubernetes(group: &str) -> bool {
    group.ends_with(".k8s.io") || matches!(group, "" | "apps" | "batch" | "autoscaling" | "policy")
}

/// Group, kind, and the versions that are read.
const KINDS: [(&str, Kind, &[&str]); 7] = [
    ("", Kind::Service, &["v1"]),
    ("gateway.networking.k8s.io", Kind::HttpRoute, &["v1", "v1beta1"]),
    ("gateway.networking.k8s.io", Kind::GrpcRoute, &["v1"]),
    ("weft.mesh", Kind::TrafficPolicy, &["v1alpha1"]),
    ("weft.mesh", Kind::AuthorizationPolicy, &["v1alpha1"]),
    ("weft.mesh", Kind::AuthenticationPolicy, &["v1alpha1"]),
    ("weft.mesh", Kind::Workload, &["v1alpha1"]),
];

/// Kinds of the two groups that have their own future.
const NOT_YET: [&str; 10] = [
    "Gateway",
    "GatewayClass",
    "TLSRoute",
    "TCPRoute",
    "UDPRoute",
    "ListenerSet",
    "BackendTLSPolicy",
    "ReferenceGrant",
    "Canary",
    "ExternalService",
];

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
