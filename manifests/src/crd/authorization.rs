//! `AuthorizationPolicy`: who may call what. A security kind.
//!
//! Whatever is in it that nobody understands makes the whole of it deny, wherever it applies; where it applies
//! is then read as widely as its author can have meant. A list that is written and empty is not understood
//! either: to the policy an empty list means "no condition", to its author most likely "nobody".

use std::sync::Arc;

use http::HeaderName;
use ipnet::IpNet;
use weft_policy::authorize::{Action, HeaderCondition, OperationMatch, PathPattern};
use weft_policy::canonical;
use weft_policy::identity::SpiffeId;
use weft_policy::route::path::{Pattern, StringMatch};

use crate::meta::{self, Metadata};
use crate::reader::{At, Fields, Log};

use super::target::{self, TargetKind, TargetRef};

/// An `AuthorizationPolicy`.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthorizationPolicy {
    /// `metadata`
    pub meta: Metadata,
    /// Where it applies.
    pub scope: Scope,
    /// What it does to what matches.
    pub action: Action,
    /// Any of these.
    pub rules: Vec<Rule>,
    /// What in it nobody understands.
    pub not_understood: Option<Arc<str>>,
}

/// Where a policy applies.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// No `targetRefs`: its namespace, or, in the root namespace, the mesh.
    Everything,
    /// `targetRefs` that cannot be read: its namespace, even in the root namespace, because every target lies
    /// in the policy's own.
    Namespace,
    /// These.
    Targets(Vec<TargetRef>),
}

impl Scope {
    /// Everywhere that either of the two applies.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Targets(some), Self::Targets(more)) => {
                let mut targets = [some.as_slice(), more].concat();
                targets.sort();
                targets.dedup();
                Self::Targets(targets)
            }
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
            _ => Self::Namespace,
        }
    }
}

/// One of `rules[]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Empty: from anybody.
    pub from: Vec<Source>,
    /// Empty: to anything.
    pub to: Vec<OperationMatch>,
}

/// One of `from[]`. Fields that are not empty must all hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// Exact identities.
    pub identities: Vec<SpiffeId>,
    /// Namespace and name, in the mesh's own trust domain. Together with `identities`: any of them.
    pub service_accounts: Vec<(Arc<str>, Arc<str>)>,
    /// Of proven identities.
    pub namespaces: Vec<Arc<str>>,
    /// Of the far end's address.
    pub cidrs: Vec<IpNet>,
}

/// Reads `spec`. What the log holds afterwards is what is not understood.
pub(crate) fn read(meta: Metadata, spec: Option<&At<'_>>, log: &Log) -> AuthorizationPolicy {
    let mut policy = AuthorizationPolicy {
        meta,
        scope: Scope::Everything,
        action: Action::Allow,
        rules: Vec::new(),
        not_understood: None,
    };
    match spec.and_then(At::fields) {
        Some(mut fields) => {
            policy.scope = scope(&mut fields);
            let words = [("Allow", Action::Allow), ("Deny", Action::Deny), ("Audit", Action::Audit)];
            policy.action = fields.get("action").and_then(|at| at.one_of(&words)).unwrap_or(Action::Allow);
            policy.rules = fields.items("rules", MAX_RULES).iter().map(Rule::read).collect();
            fields.finish();
        }
        // `spec` is no map: nobody knows what it was to apply to.
        None if spec.is_some() => policy.scope = Scope::Namespace,
        None => {}
    }
    policy.not_understood = log.first_problem().map(Into::into);
    policy
}

/// Reads `targetRefs` of a security kind.
pub(crate) fn scope(fields: &mut Fields<'_>) -> Scope {
    // `targetRefs:` with nothing behind it is not the same as no `targetRefs`.
    let Some(at) = fields.get_or_null("targetRefs") else { return Scope::Everything };
    let written = match at.value() {
        crate::node::Value::List(items) => items.len(),
        _ => 0,
    };
    if written == 0 {
        at.bad("`targetRefs` names nothing", "name a Service or a Workload, or leave it out");
        return Scope::Namespace;
    }
    match target::read(fields, &[TargetKind::Service, TargetKind::Workload]) {
        Some(targets) if targets.len() == written => Scope::Targets(targets),
        _ => Scope::Namespace,
    }
}

impl Rule {
    /// An unreadable rule stays in its place: positions are what verdicts name.
    fn read(at: &At<'_>) -> Self {
        let Some(mut fields) = at.fields() else { return Self::default() };
        let from = given(&mut fields, "from").iter().filter_map(Source::read).collect();
        let to = given(&mut fields, "to").iter().filter_map(operation).collect();
        fields.finish();
        Self { from, to }
    }
}

impl Source {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut fields = at.fields()?;
        let identities = given(&mut fields, "identities")
            .iter()
            .filter_map(|at| {
                at.parse(str::parse::<SpiffeId>, "write spiffe://<trust domain>/ns/<ns>/sa/<account>")
            })
            .collect();
        let service_accounts = given(&mut fields, "serviceAccounts")
            .iter()
            .filter_map(|at| at.parse(service_account, "write namespace/name"))
            .collect();
        let namespaces = given(&mut fields, "namespaces")
            .iter()
            .filter_map(|at| {
                at.parse(
                    |text| meta::dns_label(text).map(|()| Arc::from(text)),
                    "write a namespace's exact name",
                )
            })
            .collect();
        let mut cidrs = given(&mut fields, "cidrs");
        cidrs.extend(given(&mut fields, "ipBlocks"));
        let cidrs = cidrs
            .iter()
            .filter_map(|at| at.parse(cidr, "write a block like 10.0.0.0/8, or an address"))
            .collect();
        let source = Self { identities, service_accounts, namespaces, cidrs };
        if fields.is_empty() {
            at.bad("a source without conditions is anybody", "leave `from` out to mean anybody");
        }
        fields.finish();
        Some(source)
    }
}

fn operation(at: &At<'_>) -> Option<OperationMatch> {
    let mut fields = at.fields()?;
    let methods = given(&mut fields, "methods")
        .iter()
        .filter_map(|at| {
            let method = |text: &str| http::Method::from_bytes(text.as_bytes()).map(|_| Arc::from(text));
            let method: Arc<str> = at.parse(method, "write a method like GET")?;
            if method.bytes().any(|b| b.is_ascii_lowercase()) {
                // Methods are case-sensitive (RFC 9110 §9.1): `get` would match no request there is.
                at.bad(format!("no request has the method `{method}`"), "methods are upper-case: GET");
            }
            Some(method)
        })
        .collect();
    let paths = given(&mut fields, "paths").iter().filter_map(path).collect();
    let headers = given(&mut fields, "headers").iter().filter_map(header).collect();
    let operation = OperationMatch { methods, paths, headers };
    if fields.is_empty() {
        at.bad("an operation without conditions is anything", "leave `to` out to mean anything");
    }
    fields.finish();
    Some(operation)
}

/// `/exact`, `/prefix/*`, or `{regex: …}`.
fn path(at: &At<'_>) -> Option<PathPattern> {
    if at.is_map() {
        return regex(at).map(PathPattern::Regex);
    }
    at.parse(
        |text| {
            if !text.starts_with('/') {
                return Err("a path begins with a slash");
            }
            // Requests are compared by their canonical path, so no request could ever match these.
            if text.split('/').skip(1).any(|segment| matches!(segment, "." | "..")) || text.contains("//") {
                return Err("a path has no `//`, `/./` or `/../`");
            }
            if text.contains(['?', '#']) {
                return Err("a path has no query and no fragment");
            }
            let (path, is_prefix) = text.strip_suffix("/*").map_or((text, false), |prefix| (prefix, true));
            if path.contains('*') {
                return Err("`*` stands only at the end, after a slash");
            }
            // `/*` is everything, `OPTIONS *` included.
            if path.is_empty() {
                return Ok(PathPattern::Prefix("".into()));
            }
            let form = canonical::path(path).map_err(|_| "no request has such a path")?;
            if canonical::is_ambiguous(&form) {
                return Err("servers read such a path in different ways, so no policy can be about it");
            }
            Ok(if is_prefix { PathPattern::Prefix(form.into()) } else { PathPattern::Exact(form.into()) })
        },
        "write /exact, /prefix/* or {regex: \"…\"}",
    )
}

fn header(at: &At<'_>) -> Option<HeaderCondition> {
    let mut fields = at.fields()?;
    let name = fields.need("name").and_then(|at| at.parse(str::parse::<HeaderName>, "write a header's name"));
    let mut values: Vec<StringMatch> =
        given(&mut fields, "values").iter().filter_map(At::text).map(StringMatch::Exact).collect();
    let pattern = fields.get_or_null("regex");
    if pattern.is_none() && fields.get_or_null("values").is_none() {
        at.bad("a header without values matches nothing", "write values: [...] or regex: \"…\"");
    }
    values.extend(
        pattern.and_then(|at| at.parse(Pattern::new, "simplify the expression")).map(StringMatch::Regex),
    );
    fields.finish();
    Some(HeaderCondition { name: name?, values })
}

fn regex(at: &At<'_>) -> Option<Pattern> {
    let mut fields = at.fields()?;
    let pattern = fields.need("regex").and_then(|at| at.parse(Pattern::new, "simplify the expression"));
    fields.finish();
    pattern
}

/// The items of a list that is absent or has some; an empty one is logged.
fn given<'n>(fields: &mut Fields<'n>, name: &'static str) -> Vec<At<'n>> {
    let Some(at) = fields.get_or_null(name) else { return Vec::new() };
    let items = at.list_of(MAX_ITEMS);
    if items.is_empty() {
        at.bad("an empty list says neither everything nor nothing", "add an item, or leave the field out");
    }
    items
}

fn service_account(text: &str) -> Result<(Arc<str>, Arc<str>), &'static str> {
    let (namespace, name) = text.split_once('/').ok_or("a service account is namespace/name")?;
    meta::dns_label(namespace)?;
    meta::dns_subdomain(name)?;
    Ok((namespace.into(), name.into()))
}

fn cidr(text: &str) -> Result<IpNet, &'static str> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map_err(|_| "not an address block")
        .map(|net| net.trunc())
}

pub(super) const MAX_RULES: usize = 512;
pub(super) const MAX_ITEMS: usize = 1024;
