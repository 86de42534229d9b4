//! One `GRPCRoute` into the policy's words, or into the reasons why not.

use weft_policy::deadline::Timeouts;
use weft_policy::object::{Kind, ObjectRef};
use weft_policy::route::{Match, Route, Rule};

use crate::gateway_api::filter::Filter;
use crate::gateway_api::grpc_route::{GrpcRoute, GrpcRule};
use crate::set::ObjectSet;

use super::condition::Reason;
use super::findings::Findings;
use super::{backends, filters, matches};

/// Lowers a route. The value means nothing if something was refused.
pub(super) fn lower(set: &ObjectSet, route: &GrpcRoute) -> (Route, Findings) {
    let mut findings = Findings::default();
    let rules = route.rules.iter().enumerate();
    let rules = rules.map(|(index, rule)| lower_rule(set, route, rule, index, &mut findings)).collect();
    let origin = ObjectRef::new(Kind::GrpcRoute, &route.meta.namespace, &route.meta.name);
    (Route { origin, created: route.meta.created, hosts: Vec::new(), rules }, findings)
}

fn lower_rule(
    set: &ObjectSet,
    route: &GrpcRoute,
    rule: &GrpcRule,
    index: usize,
    findings: &mut Findings,
) -> Rule {
    let field = format!("spec.rules[{index}]");
    let written = rule.matches.iter().enumerate();
    let matches = written
        .map(|(index, written)| {
            let field = format!("{field}.matches[{index}]");
            Match {
                path: matches::grpc(written.method.as_ref(), &field, findings),
                method: None,
                headers: matches::headers(&written.headers, &field, findings),
                query: Vec::new(),
            }
        })
        .collect();
    if rule.backends.is_empty() {
        let message = "the rule has no backendRefs: calls that fall under it are answered with UNAVAILABLE";
        findings.remark(format!("{field}.backendRefs"), message);
    }
    let of_backends = rule.backends.iter().flat_map(|backend| &backend.filters);
    for filter in rule.filters.iter().chain(of_backends) {
        if matches!(filter, Filter::Redirect(_) | Filter::Rewrite(_)) {
            let message = format!("a GRPCRoute has no filter {}", filter.type_name());
            findings.refuse(Reason::UnsupportedValue, format!("{field}.filters"), message);
        }
    }
    let filters = filters::lower(&rule.filters, &format!("{field}.filters"), None, findings);
    let backends = backends::lower(set, &route.meta.namespace, &rule.backends, &field, None, findings);
    Rule { name: rule.name.clone(), matches, filters, backends, timeouts: Timeouts::default(), retry: None }
}
