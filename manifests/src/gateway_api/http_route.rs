//! `HTTPRoute`.

use std::sync::Arc;
use std::time::Duration;

use crate::duration;
use crate::meta::Metadata;
use crate::reader::At;

use super::backend::BackendRef;
use super::filter::Filter;
use super::parent::{self, ParentRef};
use super::{NamedMatch, Open, limit};

/// An `HTTPRoute`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRoute {
    /// `metadata`
    pub meta: Metadata,
    /// What it attaches to.
    pub parents: Vec<ParentRef>,
    /// For Gateways; ignored where the parent is a Service.
    pub hostnames: Vec<Arc<str>>,
    /// At least one: an absent list is the CRD's default, one rule that matches everything.
    pub rules: Vec<HttpRule>,
}

/// One of `rules[]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpRule {
    /// A name for logs and status.
    pub name: Option<Arc<str>>,
    /// Any of these; empty: everything.
    pub matches: Vec<HttpMatch>,
    /// In this order.
    pub filters: Vec<Filter>,
    /// By weight.
    pub backends: Vec<BackendRef>,
    /// `timeouts.request`
    pub request_timeout: Option<Duration>,
    /// `timeouts.backendRequest`
    pub backend_timeout: Option<Duration>,
    /// Experimental channel.
    pub retry: Option<HttpRetry>,
}

/// One of `matches[]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpMatch {
    /// `None`: `PathPrefix /`.
    pub path: Option<HttpPath>,
    /// Every one of these.
    pub headers: Vec<NamedMatch>,
    /// Every one of these.
    pub query: Vec<NamedMatch>,
    /// As written.
    pub method: Option<Arc<str>>,
}

/// `path`
#[derive(Clone, Debug, PartialEq)]
pub struct HttpPath {
    /// Default `PathPrefix`.
    pub kind: Open<HttpPathType>,
    /// Default `/`.
    pub value: Arc<str>,
}

/// `path.type`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpPathType {
    /// All of it.
    Exact,
    /// By whole segments.
    PathPrefix,
    /// Anchored.
    RegularExpression,
}

/// `retry`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpRetry {
    /// Statuses worth another try.
    pub codes: Vec<u16>,
    /// Retries beyond the first try.
    pub attempts: Option<u32>,
    /// The least wait between tries.
    pub backoff: Option<Duration>,
}

/// Reads `spec`.
pub(crate) fn read(meta: Metadata, spec: Option<&At<'_>>) -> Option<HttpRoute> {
    let mut fields = spec?.fields()?;
    let (parents, hostnames) = parent::read(&mut fields);
    let list = fields.get("rules");
    let mut rules: Vec<HttpRule> = list
        .as_ref()
        .map(|at| at.list_of(limit::RULES))
        .unwrap_or_default()
        .iter()
        .filter_map(HttpRule::read)
        .collect();
    if rules.is_empty() {
        fields
            .at()
            .remark("without rules a route answers everything with 500", "add a rule with a backendRef");
        rules.push(HttpRule::default());
    }
    let matches: usize = rules.iter().map(|rule| rule.matches.len()).sum();
    if let Some(list) = list.filter(|_| matches > limit::MATCHES_OF_ALL_RULES) {
        list.bad(
            format!("the rules have {matches} matches; at most {} are allowed", limit::MATCHES_OF_ALL_RULES),
            "split the route in two",
        );
    }
    fields.finish();
    Some(HttpRoute { meta, parents, hostnames, rules })
}

impl HttpRule {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut fields = at.fields()?;
        let name = fields.get("name").and_then(|at| at.text());
        let matches = fields.items("matches", limit::MATCHES).iter().filter_map(HttpMatch::read).collect();
        let filters = Filter::read_all(&mut fields);
        let backends = BackendRef::read_all(&mut fields);
        let (mut request_timeout, mut backend_timeout) = (None, None);
        if let Some(mut timeouts) = fields.get("timeouts").and_then(|at| at.fields()) {
            let mut read = |name| timeouts.get(name).and_then(|at| at.parse(duration::parse, duration::HELP));
            (request_timeout, backend_timeout) = (read("request"), read("backendRequest"));
            timeouts.finish();
        }
        let retry = fields.get("retry").and_then(|at| HttpRetry::read(&at));
        if let Some(at) = fields.get("sessionPersistence") {
            at.remark(
                "sessionPersistence is not carried out",
                "use a TrafficPolicy with loadBalancing RingHash",
            );
        }
        fields.finish();
        Some(Self { name, matches, filters, backends, request_timeout, backend_timeout, retry })
    }
}

impl HttpMatch {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut fields = at.fields()?;
        let path = fields.get("path").and_then(|at| HttpPath::read(&at));
        let headers =
            fields.items("headers", limit::CONDITIONS).iter().filter_map(NamedMatch::read).collect();
        let query =
            fields.items("queryParams", limit::CONDITIONS).iter().filter_map(NamedMatch::read).collect();
        let method = fields.get("method").and_then(|at| at.text());
        fields.finish();
        Some(Self { path, headers, query, method })
    }
}

impl HttpPath {
    fn read(at: &At<'_>) -> Option<Self> {
        use HttpPathType::{Exact, PathPrefix, RegularExpression};
        let words = [("Exact", Exact), ("PathPrefix", PathPrefix), ("RegularExpression", RegularExpression)];
        let mut fields = at.fields()?;
        let kind = fields.get("type").map_or(Some(Open::Known(PathPrefix)), |at| Open::read(&at, &words));
        let value = fields.get("value").map_or_else(|| Some("/".into()), |at| at.text());
        fields.finish();
        Some(Self { kind: kind?, value: value? })
    }
}

impl HttpRetry {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut fields = at.fields()?;
        let mut codes: Vec<u16> =
            fields.items("codes", 200).iter().filter_map(|at| at.number(400, 599)).collect();
        codes.sort_unstable();
        codes.dedup();
        let attempts = fields.get("attempts").and_then(|at| at.number(1, MAX_ATTEMPTS));
        let backoff = fields.get("backoff").and_then(|at| at.parse(duration::parse, duration::HELP));
        fields.finish();
        Some(Self { codes, attempts, backoff })
    }
}

/// More retries than anybody can mean.
const MAX_ATTEMPTS: i64 = 100;
