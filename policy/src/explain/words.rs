//! The words in which steps are told: filters, backends, retries, endpoints.

use std::time::Duration;

use crate::decide::Forward;
use crate::endpoint::{EndpointSet, Health, PickReason};
use crate::live::Live;
use crate::moment::Moment;
use crate::route::filter::{Filter, HeaderEdit, PathEdit};
use crate::route::{Backend, BackendRef};

pub(super) fn filter_told(filter: &Filter) -> String {
    match filter {
        Filter::RequestHeaders(edit) => format!("request headers: {}", edit_told(edit)),
        Filter::ResponseHeaders(edit) => format!("response headers: {}", edit_told(edit)),
        Filter::Redirect(to) => format!("redirect, {}", to.status.as_u16()),
        Filter::Rewrite(to) => {
            let host = to.host.as_ref().map(|host| format!("host {host}"));
            let path = to.path.as_ref().map(|path| match path {
                PathEdit::Full(path) => format!("path {path}"),
                PathEdit::Prefix { matched, with } => format!("prefix {} to {}", slash(matched), slash(with)),
            });
            let told: Vec<String> = host.into_iter().chain(path).collect();
            format!("rewrite {}", listed(&told))
        }
        Filter::Unsupported(name) => format!("{name} is not supported: nothing is sent unfiltered"),
    }
}

fn edit_told(edit: &HeaderEdit) -> String {
    let removed = edit.remove.iter().map(|name| format!("remove {name}"));
    let set = edit.set.iter().map(|(name, _)| format!("set {name}"));
    let added = edit.add.iter().map(|(name, _)| format!("add {name}"));
    removed.chain(set).chain(added).collect::<Vec<_>>().join(", ")
}

pub(super) fn backend_told(backend: &Backend) -> String {
    match &backend.to {
        BackendRef::Service(to) => to.to_string(),
        BackendRef::Invalid { name, why } => format!("{name} ({})", why.as_str()),
    }
}

pub(super) fn retry_told(forward: &Forward<'_>) -> String {
    let retry = forward.retry;
    if retry.attempts == 0 {
        return "off".to_owned();
    }
    let mut on = vec!["what is proven unprocessed".to_owned()];
    on.extend(retry.on_reset.then(|| "resets".to_owned()));
    on.extend(retry.on_timeout.then(|| "timeouts of a try".to_owned()));
    on.extend(retry.statuses.iter().map(u16::to_string));
    on.extend(retry.grpc_codes.iter().map(|code| format!("grpc {code}")));
    let whom = if retry.non_idempotent { ", any method" } else { "" };
    let budget = &forward.traffic.budget;
    format!(
        "up to {}, on {}{whom}; budget {} % of requests and {} a second",
        retry.attempts,
        listed(&on),
        budget.percent,
        budget.min_per_second
    )
}

pub(super) fn pick_told(why: &PickReason) -> String {
    match why {
        PickReason::OnlyOne => "the only one".to_owned(),
        PickReason::LessLoadedOfTwo { other, other_cost, cost } => {
            format!("less loaded of two ({cost:.0} against {other_cost:.0} for {other})")
        }
        PickReason::Turn => "its turn".to_owned(),
        PickReason::Chance => "by chance".to_owned(),
        PickReason::Hash => "the key's own".to_owned(),
    }
}

/// `3 endpoints (1 breaker open, 1 draining)`
pub(super) fn census(set: &EndpointSet, live: &impl Live, now: Moment) -> String {
    let of = |health| set.endpoints().iter().filter(|endpoint| endpoint.health == health).count();
    let sendable =
        set.endpoints().iter().filter(|e| matches!(e.health, Health::Healthy | Health::Unconfirmed));
    let open = sendable.filter(|endpoint| !live.endpoint(endpoint, now).admits).count();
    let aside = [
        (open, "with an open breaker"),
        (of(Health::Unconfirmed), "unconfirmed"),
        (of(Health::Draining), "draining"),
        (of(Health::Unhealthy), "unhealthy"),
    ];
    let aside: Vec<String> =
        aside.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let all = match set.endpoints().len() {
        1 => "1 endpoint".to_owned(),
        count => format!("{count} endpoints"),
    };
    if aside.is_empty() { all } else { format!("{all} ({})", aside.join(", ")) }
}

pub(super) fn bound(limit: Option<Duration>) -> String {
    match limit {
        Some(limit) if !limit.is_zero() => format!("{limit:?}"),
        _ => "without end".to_owned(),
    }
}

/// `a`, `a and b`, `a, b and c`; `nothing`.
pub(super) fn listed(items: &[String]) -> String {
    match items {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}

/// A prefix as an operator writes it.
pub(super) fn slash(prefix: &str) -> &str {
    if prefix.is_empty() { "/" } else { prefix }
}
