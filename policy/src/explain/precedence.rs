//! Which match won, what else would have fitted, and by which sentence of the Gateway API the winner beat it.

use std::ops::ControlFlow;

use crate::decide::Matched;
use crate::facts::Request;
use crate::route::header::{HeaderMatch, QueryMatch};
use crate::route::host::HostMatch;
use crate::route::path::{PathMatch, StringMatch};
use crate::route::{Match, RouteTable};

use super::words::slash;

/// `rule 0, PathPrefix /cart (5 characters) beats PathPrefix / of rule 1`
pub(super) fn told(table: &RouteTable, request: &Request<'_>, winner: &Matched<'_>) -> String {
    let mut fitting = 0;
    let mut runner_up = None;
    let _: ControlFlow<()> = table.visit(request, |matched| {
        let same_rule = std::ptr::eq(matched.rule, winner.rule);
        if !same_rule {
            fitting += 1;
            runner_up = runner_up.or(Some(matched));
        }
        ControlFlow::Continue(())
    });
    let this = format!("{}, {}", rule_told(winner), match_told(winner.by()));
    let Some(other) = runner_up else { return format!("{this}: nothing else fits") };
    let elsewhere = if other.route.origin == winner.route.origin {
        rule_told(&other)
    } else {
        format!("{} of {}", rule_told(&other), other.route.origin)
    };
    let more = if fitting > 1 { format!(", and {} more", fitting - 1) } else { String::new() };
    format!("{this} beats {elsewhere}, {}{more}: {}", match_told(other.by()), why(request, winner, &other))
}

fn rule_told(matched: &Matched<'_>) -> String {
    match &matched.rule.name {
        Some(name) => format!("rule {} ({name})", matched.rule_index),
        None => format!("rule {}", matched.rule_index),
    }
}

fn match_told(by: Option<&Match>) -> String {
    let Some(by) = by else { return "everything".to_owned() };
    let mut told = vec![match &by.path {
        PathMatch::Exact(path) => format!("Exact {path}"),
        PathMatch::Prefix(prefix) => format!("PathPrefix {}", slash(prefix)),
        PathMatch::Regex(pattern) => format!("RegularExpression {}", pattern.as_str()),
        PathMatch::Grpc { service, method } => {
            format!("method {}/{}", string_told(service.as_ref()), string_told(method.as_ref()))
        }
    }];
    told.extend(by.method.as_ref().map(|method| format!("method {method}")));
    told.extend(
        by.headers
            .iter()
            .map(|HeaderMatch { name, value }| format!("header {name}={}", string_told(Some(value)))),
    );
    told.extend(
        by.query
            .iter()
            .map(|QueryMatch { name, value }| format!("query {name}={}", string_told(Some(value)))),
    );
    told.join(" + ")
}

fn string_told(wanted: Option<&StringMatch>) -> &str {
    match wanted {
        Some(StringMatch::Exact(exact)) => exact,
        Some(StringMatch::Regex(pattern)) => pattern.as_str(),
        None => "*",
    }
}

/// The first thing in which the two differ, in the order in which `RouteTable` asks.
fn why(request: &Request<'_>, winner: &Matched<'_>, other: &Matched<'_>) -> String {
    let hosts = (host_rank(winner, request), host_rank(other, request));
    if hosts.0 != hosts.1 {
        return "its host name is more specific".to_owned();
    }
    let paths = (path_rank(winner.by()), path_rank(other.by()));
    if paths.0 != paths.1 {
        return match (winner.by().map(|by| &by.path), other.by().map(|by| &by.path)) {
            (Some(PathMatch::Exact(_)), _) => "an exact path comes first".to_owned(),
            (Some(PathMatch::Prefix(_)), Some(PathMatch::Regex(_))) => {
                "a prefix comes before a regular expression".to_owned()
            }
            (Some(PathMatch::Prefix(prefix)), _) => {
                format!("its prefix is longer ({} characters)", prefix.chars().count())
            }
            (Some(PathMatch::Regex(_)), _) => "a regular expression comes before the bare /".to_owned(),
            _ => "its service and method say more".to_owned(),
        };
    }
    let counts = |matched: &Matched<'_>| {
        let (has_method, headers, query) = matched.by().map_or((false, 0, 0), Match::counts);
        [
            ("it names a method", usize::from(has_method)),
            ("it names more headers", headers),
            ("it names more query parameters", query),
        ]
    };
    let differing = counts(winner).into_iter().zip(counts(other)).find(|((_, a), (_, b))| a != b);
    if let Some(((told, _), _)) = differing {
        return told.to_owned();
    }
    if winner.route.created != other.route.created {
        "its route is older".to_owned()
    } else if winner.route.origin != other.route.origin {
        "its route comes first by namespace/name".to_owned()
    } else {
        "its rule comes first".to_owned()
    }
}

fn host_rank(matched: &Matched<'_>, request: &Request<'_>) -> (u8, usize) {
    let fitting = matched.route.hosts.iter().filter(|host| host.matches(request.host));
    let ranks = fitting.map(|host| match host {
        HostMatch::Exact(name) => (2, name.len()),
        HostMatch::Suffix(name) => (1, name.len()),
    });
    ranks.max().unwrap_or((0, 0))
}

fn path_rank(by: Option<&Match>) -> (u8, usize, (u8, u8)) {
    let part = |part: &Option<StringMatch>| match part {
        Some(StringMatch::Exact(_)) => 2,
        Some(StringMatch::Regex(_)) => 1,
        None => 0,
    };
    match by.map(|by| &by.path) {
        Some(PathMatch::Exact(_)) => (4, 0, (0, 0)),
        Some(PathMatch::Prefix(prefix)) if !prefix.is_empty() => (3, prefix.len(), (0, 0)),
        Some(PathMatch::Grpc { service: None, method: None }) => (0, 0, (0, 0)),
        Some(PathMatch::Grpc { service, method }) => (2, 0, (part(service), part(method))),
        Some(PathMatch::Regex(_)) => (1, 0, (0, 0)),
        Some(PathMatch::Prefix(_)) | None => (0, 0, (0, 0)), // takes everything
    }
}
