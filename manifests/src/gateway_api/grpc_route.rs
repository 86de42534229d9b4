//! `GRPCRoute`.

use std::sync::Arc;

use crate::meta::Metadata;
use crate::reader::At;

use super::backend::BackendRef;
use super::filter::Filter;
use super::parent::{self, ParentRef};
use super::{Comparison, NamedMatch, Open, limit};

/// A `GRPCRoute`.
#[derive(Clone, Debug, PartialEq)]
pub struct GrpcRoute {
    /// `metadata`
    pub meta: Metadata,
    /// What it attaches to.
    pub parents: Vec<ParentRef>,
    /// For Gateways; ignored where the parent is a Service.
    pub hostnames: Vec<Arc<str>>,
    /// In the order written.
    pub rules: Vec<GrpcRule>,
}

/// One of `rules[]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GrpcRule {
    /// A name for logs and status.
    pub name: Option<Arc<str>>,
    /// Any of these; empty: everything.
    pub matches: Vec<GrpcMatch>,
    /// In this order.
    pub filters: Vec<Filter>,
    /// By weight.
    pub backends: Vec<BackendRef>,
}

/// One of `matches[]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GrpcMatch {
    /// `None`: any.
    pub method: Option<GrpcMethod>,
    /// Every one of these.
    pub headers: Vec<NamedMatch>,
}

/// `method`
#[derive(Clone, Debug, PartialEq)]
pub struct GrpcMethod {
    /// `type`, default `Exact`.
    pub comparison: Open<Comparison>,
    /// Fully qualified; `None`: any.
    pub service: Option<Arc<str>>,
    /// `None`: any.
    pub method: Option<Arc<str>>,
}

/// Reads `spec`.
pub(crate) fn read(meta: Metadata, spec: Option<&At<'_>>) -> Option<GrpcRoute> {
    let mut fields = spec?.fields()?;
    let (parents, hostnames) = parent::read(&mut fields);
    let list = fields.get("rules");
    let mut rules: Vec<GrpcRule> = list
        .as_ref()
        .map(|at| at.list_of(limit::RULES))
        .unwrap_or_default()
        .iter()
        .filter_map(GrpcRule::read)
        .collect();
    if rules.is_empty() {
        fields.at().remark(
            "without rules a route answers everything with UNAVAILABLE",
            "add a rule with a backendRef",
        );
        rules.push(GrpcRule::default());
    }
    let matches: usize = rules.iter().map(|rule| rule.matches.len()).sum();
    if let Some(list) = list.filter(|_| matches > limit::MATCHES_OF_ALL_RULES) {
        list.bad(
            format!("the rules have {matches} matches; at most {} are allowed", limit::MATCHES_OF_ALL_RULES),
            "split the route in two",
        );
    }
    fields.finish();
    Some(GrpcRoute { meta, parents, hostnames, rules })
}

impl GrpcRule {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut fields = at.fields()?;
        let name = fields.get("name").and_then(|at| at.text());
        let matches = fields.items("matches", limit::MATCHES).iter().filter_map(GrpcMatch::read).collect();
        let filters = Filter::read_all(&mut fields);
        let backends = BackendRef::read_all(&mut fields);
        if let Some(at) = fields.get("sessionPersistence") {
            at.remark(
                "sessionPersistence is not carried out",
                "use a TrafficPolicy with loadBalancing RingHash",
            );
        }
        fields.finish();
        Some(Self { name, matches, filters, backends })
    }
}

impl GrpcMatch {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut fields = at.fields()?;
        let method = fields.get("method").and_then(|at| GrpcMethod::read(&at));
        let headers =
            fields.items("headers", limit::CONDITIONS).iter().filter_map(NamedMatch::read).collect();
        fields.finish();
        Some(Self { method, headers })
    }
}

impl GrpcMethod {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut fields = at.fields()?;
        let comparison = fields
            .get("type")
            .map_or(Some(Open::Known(Comparison::Exact)), |at| Open::read(&at, &Comparison::WORDS));
        let service = fields.get("service").and_then(|at| at.text());
        let method = fields.get("method").and_then(|at| at.text());
        if service.is_none() && method.is_none() {
            at.bad(
                "neither service nor method is given",
                "give one of them, or leave `method` out to match all",
            );
        }
        fields.finish();
        Some(Self { comparison: comparison?, service, method })
    }
}
