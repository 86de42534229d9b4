//! The decision: what happens to a request, with the reason for each step.
//!
//! Outbound asks for route, backend and plan once ([`outbound`]), then for an endpoint once a try
//! ([`crate::endpoint::pick`]) and for the next try after each failure ([`crate::retry::next`]). Inbound asks
//! who may call ([`inbound`]). Nothing here allocates, but for a path that servers read in different ways.
//!
//! Invariant: the same arguments give the same answer; `explain` calls these very functions.

use crate::authorize::{Verdict, authorize};
use crate::canonical;
use crate::deadline::Timeouts;
use crate::draw::Draw;
use crate::endpoint::limits;
use crate::facts::{Facts, Request};
use crate::live::Live;
use crate::moment::Moment;
use crate::object::ServicePort;
use crate::refuse::Refusal;
use crate::retry::Retry;
pub use crate::route::Matched;
use crate::route::filter::{Filter, Redirect};
use crate::route::path::PathMatch;
use crate::route::{Backend, BackendRef, RouteTable, split};
use crate::snapshot::{Port, Service, Snapshot, Traffic};

/// Decides what happens to a call of the proxy's own application: service, route, filters, backend, limits. The
/// endpoint is asked for afterwards, once a try, by [`crate::endpoint::pick`] with the same `draw`.
///
/// `now` has no say yet: nothing above the endpoints depends on the time.
pub fn outbound<'s>(
    snapshot: &'s Snapshot,
    live: &impl Live,
    facts: &Facts<'_>,
    _now: Moment,
    draw: &mut Draw,
) -> Outbound<'s> {
    let Some(service) = snapshot.service_at(&facts.destination) else { return Outbound::Unknown };
    let refuse = |refusal, matched| Outbound::Refuse { refusal, service: Some(service), matched };
    let number = facts.destination.port();
    let Some(port) = service.way_to(number) else { return refuse(Refusal::UnknownDestination, None) };

    let table = snapshot.routes.get(&service.name).and_then(|routes| routes.table(number));
    let (Some(table), Some(request)) = (table, &facts.request) else {
        // No routes apply, or nothing in these bytes that a rule could look at: the service itself.
        let to = ServicePort { service: service.name.clone(), port: number };
        return forward(Call { service, port }, None, to, port, live, facts);
    };
    let found = table.find(request);
    if canonical::is_ambiguous(request.path) && !is_read_alike(table, request, found) {
        return refuse(Refusal::AmbiguousPath, found);
    }
    let Some(matched) = found else { return refuse(Refusal::NoRoute, None) };
    if let Some(answer) = answered_by(&matched.rule.filters, service, matched) {
        return answer;
    }
    let Some(backend) = split::pick(&matched.rule.backends, draw) else {
        return refuse(Refusal::InvalidBackend, Some(matched));
    };
    if let Some(answer) = answered_by(&backend.filters, service, matched) {
        return answer;
    }
    let to = match &backend.to {
        BackendRef::Service(to) => to,
        BackendRef::Invalid { .. } => return refuse(Refusal::InvalidBackend, Some(matched)),
    };
    match snapshot.services.get(&to.service).and_then(|target| target.port(to.port)) {
        Some(target) => {
            forward(Call { service, port }, Some((matched, backend)), to.clone(), target, live, facts)
        }
        // The snapshot does not carry what the rule names: never an older one instead.
        None => refuse(Refusal::NoEndpoint, Some(matched)),
    }
}

/// Decides who may call this proxy's own application on `port`.
pub fn inbound<'s>(snapshot: &'s Snapshot, facts: &Facts<'_>, port: u16) -> Inbound<'s> {
    match &snapshot.inbound {
        Some(inbound) => Inbound::Judged(authorize(inbound.policy(port), facts)),
        None => Inbound::NoPolicy,
    }
}

/// What a proxy does with a call into its own application.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub enum Inbound<'s> {
    /// Policy has spoken.
    Judged(Verdict<'s>),
    /// Policy has not arrived yet: kept out.
    NoPolicy,
}

impl<'s> Inbound<'s> {
    /// Whether the request goes on.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Judged(verdict) if verdict.is_allowed())
    }

    /// What the caller is answered, where it is kept out.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Judged(verdict) => verdict.refusal(),
            Self::NoPolicy => Some(Refusal::NoPolicy),
        }
    }

    /// What policy says, once there is one.
    #[must_use]
    pub const fn verdict(&self) -> Option<Verdict<'s>> {
        match self {
            Self::Judged(verdict) => Some(*verdict),
            Self::NoPolicy => None,
        }
    }
}

/// What a proxy does with a call of its own application.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Outbound<'s> {
    /// Send it on.
    Forward(Forward<'s>),
    /// Answer it with a redirect.
    Redirect {
        /// Where it fell.
        matched: Matched<'s>,
        /// To where.
        to: &'s Redirect,
    },
    /// Answer it with a refusal.
    Refuse {
        /// How.
        refusal: Refusal,
        /// The service it was for, where one is known.
        service: Option<&'s Service>,
        /// Where it fell, if it fell anywhere.
        matched: Option<Matched<'s>>,
    },
    /// It leads to no service of the mesh. Ask the control plane if it has not been asked, else pass it
    /// through to where it was going.
    Unknown,
}

/// A request on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward<'s> {
    /// The frontend: what the application called.
    pub service: &'s Service,
    /// Its port.
    pub port: &'s Port,
    /// The rule; `None`: no routes apply, the service itself is the backend.
    pub matched: Option<Matched<'s>>,
    /// The backend of the rule that was drawn.
    pub backend: Option<&'s Backend>,
    /// Whose endpoints are asked.
    pub to: ServicePort,
    /// How the backend is sent to.
    pub traffic: &'s Traffic,
    /// The rule's, completed from the backend's.
    pub timeouts: Timeouts,
    /// The rule's, or the backend's.
    pub retry: &'s Retry,
}

impl<'s> Forward<'s> {
    /// Filters in the order in which they apply: the rule's, then the backend's (Gateway API
    /// `HTTPBackendRef.filters`).
    pub fn filters(&self) -> impl Iterator<Item = &'s Filter> + use<'s> {
        let of_rule = self.matched.map_or(&[][..], |matched| &matched.rule.filters);
        let of_backend = self.backend.map_or(&[][..], |backend| &backend.filters);
        of_rule.iter().chain(of_backend)
    }
}

/// What the application called.
#[derive(Clone, Copy)]
struct Call<'s> {
    service: &'s Service,
    port: &'s Port,
}

fn forward<'s>(
    call: Call<'s>,
    routed: Option<(Matched<'s>, &'s Backend)>,
    to: ServicePort,
    target: &'s Port,
    live: &impl Live,
    facts: &Facts<'_>,
) -> Outbound<'s> {
    let traffic = &*target.traffic;
    let matched = routed.map(|(matched, _)| matched);
    if limits::exceeded(&traffic.limits, live.in_use(&to), facts.request.is_some()).is_some() {
        return Outbound::Refuse { refusal: Refusal::OverLimit, service: Some(call.service), matched };
    }
    let rule = matched.map(|matched| matched.rule);
    Outbound::Forward(Forward {
        service: call.service,
        port: call.port,
        matched,
        backend: routed.map(|(_, backend)| backend),
        to,
        traffic,
        timeouts: rule.map_or(traffic.timeouts, |rule| rule.timeouts.or(traffic.timeouts)),
        retry: rule.and_then(|rule| rule.retry.as_ref()).unwrap_or(&traffic.retry),
    })
}

/// Whether a path that servers read in different ways falls under one rule however it is read. Where routes tell no
/// paths apart, or not these, an object store's key with a `%2F` in it passes as it is.
///
/// Bound: there are some hundred readings of a path, so a long one is not read but refused.
fn is_read_alike(table: &RouteTable, request: &Request<'_>, found: Option<Matched<'_>>) -> bool {
    let rules = table.routes().iter().flat_map(|route| &route.rules);
    let any_path = PathMatch::default();
    if rules.flat_map(|rule| &rule.matches).all(|matched| matched.path == any_path) {
        return true;
    }
    let rule = found.map(|matched| std::ptr::from_ref(matched.rule));
    request.path.len() <= LONGEST_READ
        && canonical::readings(request.path).iter().all(|path| {
            let found = table.find(&Request { path, ..*request });
            found.map(|matched| std::ptr::from_ref(matched.rule)) == rule
        })
}

/// An object's key of 1024 bytes, all of them written as escapes, and a path to it.
const LONGEST_READ: usize = 4096;

/// The answer that filters give by themselves. One that nobody knows comes first: whatever else the rule says,
/// part of what the operator meant is missing.
fn answered_by<'s>(
    filters: &'s [Filter],
    service: &'s Service,
    matched: Matched<'s>,
) -> Option<Outbound<'s>> {
    if filters.iter().any(|filter| matches!(filter, Filter::Unsupported(_))) {
        let refusal = Refusal::UnsupportedFilter;
        return Some(Outbound::Refuse { refusal, service: Some(service), matched: Some(matched) });
    }
    filters.iter().find_map(|filter| match filter {
        Filter::Redirect(to) => Some(Outbound::Redirect { matched, to }),
        _ => None,
    })
}

#[cfg(test)]
pub(crate) mod scenario;
#[cfg(test)]
mod tests;
