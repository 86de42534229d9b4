//! One `HTTPRoute` into the policy's words, or into the reasons why not.
//!
//! A route with a value that is not known is not accepted as a whole: with one rule left out, its requests would
//! fall to another rule that was never meant for them.

use weft_policy::deadline::Timeouts;
use weft_policy::object::{Kind, ObjectRef};
use weft_policy::retry::Retry;
use weft_policy::route::{Match, Route, Rule};

use crate::gateway_api::filter::Filter;
use crate::gateway_api::http_route::{HttpRetry, HttpRoute, HttpRule};
use crate::set::ObjectSet;

use super::condition::Reason;
use super::findings::Findings;
use super::{backends, filters, matches};

/// Lowers a route. The value means nothing if something was refused.
pub(super) fn lower(set: &ObjectSet, route: &HttpRoute) -> (Route, Findings) {
    let mut findings = Findings::default();
    let rules = route.rules.iter().enumerate();
    let rules = rules.map(|(index, rule)| lower_rule(set, route, rule, index, &mut findings)).collect();
    let origin = ObjectRef::new(Kind::HttpRoute, &route.meta.namespace, &route.meta.name);
    // Host names are for Gateways: in a mesh they are ignored (GEP-1294).
    (Route { origin, created: route.meta.created, hosts: Vec::new(), rules }, findings)
}

fn lower_rule(
    set: &ObjectSet,
    route: &HttpRoute,
    rule: &HttpRule,
    index: usize,
    findings: &mut Findings,
) -> Rule {
    let field = format!("spec.rules[{index}]");
    let mut lowered = Vec::with_capacity(rule.matches.len());
    for (index, written) in rule.matches.iter().enumerate() {
        let field = format!("{field}.matches[{index}]");
        let path = matches::path(written.path.as_ref(), &field, findings);
        let method = matches::method(written.method.as_ref(), &field, findings);
        let headers = matches::headers(&written.headers, &field, findings);
        let query = matches::query(&written.query, &field, findings);
        lowered.extend(path.map(|path| Match { path, method, headers, query }));
    }
    let paths: Vec<_> = lowered.iter().map(|matched| matched.path.clone()).collect();
    let prefix = filters::only_prefix(rule, &paths);
    let redirects = rule.filters.iter().any(|filter| matches!(filter, Filter::Redirect(_)));
    if redirects && !rule.backends.is_empty() {
        let message = "a rule that redirects has no backendRefs";
        findings.refuse(Reason::IncompatibleFilters, format!("{field}.filters"), message);
    }
    if rule.backends.is_empty() && !redirects {
        let message = "the rule has no backendRefs: requests that fall under it are answered with 500";
        findings.remark(format!("{field}.backendRefs"), message);
    }
    let filters = filters::lower(&rule.filters, &format!("{field}.filters"), prefix.as_ref(), findings);
    let namespace = &route.meta.namespace;
    let backends = backends::lower(set, namespace, &rule.backends, &field, prefix.as_ref(), findings);
    let timeouts = Timeouts { request: rule.request_timeout, backend_request: rule.backend_timeout };
    if let (Some(request), Some(backend)) = (timeouts.request, timeouts.backend_request)
        && !request.is_zero()
        && backend > request
    {
        let message = "backendRequest is longer than request, which includes it";
        findings.refuse(Reason::UnsupportedValue, format!("{field}.timeouts.backendRequest"), message);
    }
    let retry = rule.retry.as_ref().map(retry);
    Rule { name: rule.name.clone(), matches: lowered, filters, backends, timeouts, retry }
}

/// GEP-1731: beside the listed codes, lost connections and tries that ran out of time are tried again. Requests
/// that are not idempotent are not: a route has no word for that, a `TrafficPolicy` has.
fn retry(written: &HttpRetry) -> Retry {
    let default = Retry::default();
    let backoff = written.backoff.unwrap_or(default.backoff);
    Retry {
        attempts: written.attempts.unwrap_or(default.attempts),
        statuses: written.codes.clone(),
        grpc_codes: Vec::new(),
        on_timeout: true,
        on_reset: true,
        non_idempotent: false,
        backoff,
        max_backoff: default.max_backoff.max(backoff),
    }
}
