//! Matches that no request ever reaches, because an equal one comes first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use weft_policy::route::path::{PathMatch, StringMatch};
use weft_policy::route::{Match, Route, RouteTable, Routes};

use crate::diagnostic::{Diagnostic, Severity};

/// Finds them in the routes of a Service.
pub(super) fn find(routes: &Routes, findings: &mut Vec<Diagnostic>) {
    for (port, table) in &routes.ports {
        in_table(*port, table, findings);
    }
}

fn in_table(port: u16, table: &RouteTable, findings: &mut Vec<Diagnostic>) {
    let mut routes: Vec<&Route> = table.routes().iter().collect();
    routes.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.origin.cmp(&b.origin)));
    let everything = Match::default();
    let mut first: BTreeMap<String, (&Route, usize)> = BTreeMap::new();
    for route in routes {
        for (rule_index, rule) in route.rules.iter().enumerate() {
            let written = rule.matches.iter().enumerate().map(|(index, matched)| (Some(index), matched));
            let default = rule.matches.is_empty().then_some((None, &everything));
            for (index, matched) in written.chain(default) {
                match first.get(&words(matched)) {
                    None => drop(first.insert(words(matched), (route, rule_index))),
                    Some((winner, winning_rule)) => {
                        let field = match index {
                            Some(index) => format!("spec.rules[{rule_index}].matches[{index}]"),
                            None => format!("spec.rules[{rule_index}]"),
                        };
                        findings.push(report(route, field, port, winner, *winning_rule));
                    }
                }
            }
        }
    }
}

fn report(loser: &Route, field: String, port: u16, winner: &Route, winning_rule: usize) -> Diagnostic {
    let message = if loser.origin == winner.origin {
        format!("no request reaches this: rule {winning_rule} of the same route has an equal match")
    } else {
        let why = if winner.created < loser.created { "is older" } else { "comes first by name" };
        format!(
            "no request on port {port} reaches this: rule {winning_rule} of {} has an equal match and {why}",
            winner.origin
        )
    };
    Diagnostic::new(Severity::Warning, message, "change one of the two matches, or remove one")
        .about(&loser.origin)
        .at(field)
}

/// The same words for equal matches only. The order of headers and parameters does not matter.
fn words(matched: &Match) -> String {
    let mut words = match &matched.path {
        PathMatch::Exact(path) => format!("exact {path:?}"),
        PathMatch::Prefix(path) => format!("prefix {path:?}"),
        PathMatch::Regex(pattern) => format!("regex {:?}", pattern.as_str()),
        // A GRPCRoute's match without method is the same as a rule without matches.
        PathMatch::Grpc { service: None, method: None } => format!("prefix {:?}", ""),
        PathMatch::Grpc { service, method } => {
            let part = |part: &Option<StringMatch>| part.as_ref().map(value);
            format!("grpc {:?} {:?}", part(service), part(method))
        }
    };
    if let Some(method) = &matched.method {
        let _ = write!(words, " method {method}");
    }
    let mut conditions: Vec<String> = matched
        .headers
        .iter()
        .map(|header| format!(" header {} {}", header.name, value(&header.value)))
        .collect();
    conditions
        .extend(matched.query.iter().map(|query| format!(" query {:?} {}", query.name, value(&query.value))));
    conditions.sort();
    words.extend(conditions);
    words
}

fn value(value: &StringMatch) -> String {
    match value {
        StringMatch::Exact(text) => format!("= {text:?}"),
        StringMatch::Regex(pattern) => format!("~ {:?}", pattern.as_str()),
    }
}
