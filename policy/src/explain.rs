//! The decision, told step by step.
//!
//! Nothing is decided here: [`outbound()`] and [`inbound()`] ask `decide` and [`pick`] for the
//! answer, with the arguments they were given, and then look at the same values again to say what was considered.
//!
//! Invariant: `explain(x).verdict == decide(x)`, and the draw ends where it would have ended.

mod inbound;
mod precedence;
mod words;

use std::fmt;

use crate::decide::{self, Forward, Matched, Outbound};
use crate::draw::Draw;
use crate::endpoint::{Balance, Endpoint, HashKey, Pick, PickReason, Pool, limits, pick};
use crate::facts::{Destination, Facts, Request};
use crate::live::Live;
use crate::moment::Moment;
use crate::object::{ObjectRef, ServicePort};
use crate::refuse::Refusal;
use crate::route::filter::{Filter, Redirect};
use crate::route::{Backend, BackendRef, RouteKind, split};
use crate::snapshot::{Absent, Alias, Service, Snapshot};

pub use inbound::{InboundExplanation, inbound};

use words::{backend_told, bound, census, filter_told, listed, pick_told, retry_told};

/// What happens to a call of the proxy's own application, and how that came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation<'s> {
    /// In the order of the decision.
    pub steps: Vec<Step>,
    /// What [`decide::outbound`] says.
    pub verdict: Outbound<'s>,
    /// For a request that is sent on: what [`pick`] says for its first try.
    pub pick: Option<Result<Picked, Refusal>>,
}

/// A [`Pick`] that outlives the set it was made from: that of a pod is made for the port that was dialled.
#[derive(Clone, Debug, PartialEq)]
pub struct Picked {
    /// Ask this one.
    pub endpoint: Endpoint,
    /// Among which it was chosen.
    pub from: Pool,
    /// Why this one of them.
    pub why: PickReason,
}

impl From<Pick<'_>> for Picked {
    fn from(pick: Pick<'_>) -> Self {
        Self { endpoint: pick.endpoint.clone(), from: pick.from, why: pick.why }
    }
}

/// One step of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `service`, `route`, `filter`, `split`, `backend`, `limits`, `timeouts`, `retry`, `endpoint`, `policy`,
    /// `mtls`, `caller`, `authorize`, `audit` or `answer`.
    pub stage: &'static str,
    /// The object an operator wrote, if one had a say.
    pub object: Option<ObjectRef>,
    /// What came of it, in a line.
    pub outcome: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9} ", self.stage)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        f.write_str(&self.outcome)
    }
}

/// Tells what happens to a call of the proxy's own application. Takes the arguments of [`decide::outbound`], and
/// the endpoint's draw after it.
pub fn outbound<'s>(
    snapshot: &'s Snapshot,
    live: &impl Live,
    facts: &Facts<'_>,
    now: Moment,
    draw: &mut Draw,
) -> Explanation<'s> {
    let verdict = decide::outbound(snapshot, live, facts, now, draw);
    let mut steps = Steps::default();
    steps.service(snapshot, facts);
    let (service, matched, refusal) = match &verdict {
        Outbound::Unknown => (None, None, None),
        Outbound::Refuse { refusal, service, matched } => (*service, *matched, Some(*refusal)),
        Outbound::Redirect { matched, .. } => {
            (snapshot.service_at(&facts.destination).map(|s| &**s), Some(*matched), None)
        }
        Outbound::Forward(forward) => (Some(forward.service), forward.matched, None),
    };
    if let Some(service) = service.filter(|_| refusal != Some(Refusal::UnknownDestination)) {
        steps.route(snapshot, service, facts, matched);
    }
    if let Some(matched) = matched {
        steps.filters(&matched.route.origin, &matched.rule.filters);
    }
    let mut picked = None;
    match &verdict {
        Outbound::Unknown => {
            steps.push("answer", None, "not of the mesh: passed through to where it was going")
        }
        Outbound::Refuse { refusal, .. } => steps.refused(snapshot, live, facts, &verdict, *refusal),
        Outbound::Redirect { matched, to } => steps.redirect(facts, *matched, to),
        Outbound::Forward(forward) => {
            steps.forward(live, facts, forward);
            picked = Some(steps.endpoint(snapshot, live, facts, forward, now, draw));
        }
    }
    Explanation { steps: steps.0, verdict, pick: picked }
}

#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn push(&mut self, stage: &'static str, object: Option<&ObjectRef>, outcome: impl Into<String>) {
        self.0.push(Step { stage, object: object.cloned(), outcome: outcome.into() });
    }

    fn service(&mut self, snapshot: &Snapshot, facts: &Facts<'_>) {
        let to = &facts.destination;
        let dialled = match to {
            Destination::Addr(addr) => addr.to_string(),
            Destination::Name { host, port } => format!("{host}:{port}"),
        };
        let Some(service) = snapshot.service_at(to) else {
            let told = match snapshot.absent.get(&Alias::of(to)) {
                Some(Absent::NotFound) => "the control plane says that the mesh has no such service",
                Some(Absent::Forbidden) => "the control plane says that this proxy may not see that service",
                None => "it leads to no service this proxy has been told of",
            };
            return self.push("service", None, format!("{dialled}: {told}"));
        };
        let object = service.name.object();
        let outcome = match service.way_to(to.port()) {
            Some(port) if port.number == 0 => {
                format!("{dialled} is a pod, of whose port nothing is said: {}", port.protocol.as_str())
            }
            Some(port) if port.name.is_empty() => {
                format!("{dialled} is its port {}, {}", port.number, port.protocol.as_str())
            }
            Some(port) => {
                format!("{dialled} is its port {} ({}), {}", port.number, port.name, port.protocol.as_str())
            }
            None => {
                let ports: Vec<String> = service.ports.iter().map(|port| port.number.to_string()).collect();
                format!("{dialled}: it has no such port, but {}", listed(&ports))
            }
        };
        self.push("service", Some(&object), outcome);
    }

    fn route(
        &mut self,
        snapshot: &Snapshot,
        service: &Service,
        facts: &Facts<'_>,
        matched: Option<Matched<'_>>,
    ) {
        let port = facts.destination.port();
        let table = snapshot.routes.get(&service.name).and_then(|routes| routes.table(port));
        let (Some(table), Some(request)) = (table, &facts.request) else {
            let why = if table.is_none() {
                "no routes apply"
            } else {
                "routes apply to requests, not to opaque bytes"
            };
            return self.push("route", None, format!("{why}: to the service itself"));
        };
        match matched {
            Some(matched) => {
                let outcome = precedence::told(table, request, &matched);
                self.push("route", Some(&matched.route.origin), outcome);
            }
            None => {
                let kind = match table.kind() {
                    RouteKind::Http => "HTTPRoute",
                    RouteKind::Grpc => "GRPCRoute",
                };
                let routes: Vec<String> =
                    table.routes().iter().map(|route| route.origin.to_string()).collect();
                let asked = format!("{} {}", request.method, request.path);
                let outcome = format!(
                    "{asked} matches no rule of {}",
                    if routes.is_empty() { format!("any {kind}") } else { listed(&routes) }
                );
                self.push("route", None, outcome);
            }
        }
    }

    fn filters(&mut self, of: &ObjectRef, filters: &[Filter]) {
        for filter in filters {
            self.push("filter", Some(of), filter_told(filter));
        }
    }

    fn split(&mut self, rule: &Matched<'_>, drawn: Option<&Backend>) {
        let backends = &rule.rule.backends;
        let total = split::total(backends);
        let shares: Vec<String> = backends
            .iter()
            .map(|backend| {
                let percent = if total == 0 { 0.0 } else { 100.0 * f64::from(backend.weight) / total as f64 };
                format!("{} {} %", backend_told(backend), (percent * 10.0).round() / 10.0)
            })
            .collect();
        let outcome = match drawn {
            _ if backends.is_empty() => "the rule has no backends".to_owned(),
            None if total == 0 => format!("{}: the weights sum to zero", shares.join(", ")),
            None => format!("{}: drew one that leads nowhere", shares.join(", ")),
            Some(_) if shares.len() == 1 => shares.concat(),
            Some(drawn) => format!("{}: drew {}", shares.join(", "), backend_told(drawn)),
        };
        self.push("split", Some(&rule.route.origin), outcome);
    }

    fn refused(
        &mut self,
        snapshot: &Snapshot,
        live: &impl Live,
        facts: &Facts<'_>,
        verdict: &Outbound<'_>,
        refusal: Refusal,
    ) {
        if let Outbound::Refuse { matched: Some(matched), .. } = verdict {
            match refusal {
                Refusal::InvalidBackend => self.split(matched, None),
                Refusal::UnsupportedFilter => {
                    let of_backends = matched.rule.backends.iter().flat_map(|backend| &backend.filters);
                    for filter in of_backends.filter(|filter| matches!(filter, Filter::Unsupported(_))) {
                        self.push("filter", Some(&matched.route.origin), filter_told(filter));
                    }
                }
                Refusal::NoEndpoint => {
                    let gone = matched.rule.backends.iter().filter(|backend| match &backend.to {
                        BackendRef::Service(to) => snapshot
                            .services
                            .get(&to.service)
                            .is_none_or(|service| service.port(to.port).is_none()),
                        BackendRef::Invalid { .. } => false,
                    });
                    let gone: Vec<String> = gone.map(backend_told).collect();
                    self.push("backend", None, format!("this proxy has not been told of {}", listed(&gone)));
                }
                _ => {}
            }
        }
        if refusal == Refusal::OverLimit {
            self.over_limit(snapshot, live, facts, verdict);
        }
        self.answer(refusal, facts.request.as_ref());
    }

    /// Says which backends are at a limit: the refusal alone does not tell which of them was drawn.
    fn over_limit(
        &mut self,
        snapshot: &Snapshot,
        live: &impl Live,
        facts: &Facts<'_>,
        verdict: &Outbound<'_>,
    ) {
        let Outbound::Refuse { service: Some(service), matched, .. } = verdict else { return };
        let own = ServicePort { service: service.name.clone(), port: facts.destination.port() };
        let of_rule = matched.iter().flat_map(|matched| &matched.rule.backends).filter_map(|b| match &b.to {
            BackendRef::Service(to) => Some(to),
            BackendRef::Invalid { .. } => None,
        });
        for to in of_rule.chain(matched.is_none().then_some(&own)) {
            let Some(port) = snapshot.services.get(&to.service).and_then(|service| service.port(to.port))
            else {
                continue;
            };
            if let Some(over) =
                limits::exceeded(&port.traffic.limits, live.in_use(to), facts.request.is_some())
            {
                let outcome =
                    format!("{to}: {} is {}, and {} are under way", over.limit, over.max, over.in_use);
                self.push("limits", port.traffic.origin.as_ref(), outcome);
            }
        }
    }

    fn redirect(&mut self, facts: &Facts<'_>, matched: Matched<'_>, to: &Redirect) {
        let Some(request) = &facts.request else { return };
        let location =
            to.location("http", request.host, facts.destination.port(), request.path, request.query);
        self.push("answer", Some(&matched.route.origin), format!("{} to {location}", to.status.as_u16()));
    }

    fn forward(&mut self, live: &impl Live, facts: &Facts<'_>, forward: &Forward<'_>) {
        if let Some((matched, backend)) = forward.matched.as_ref().zip(forward.backend) {
            self.split(matched, Some(backend));
            self.filters(&matched.route.origin, &backend.filters);
        }
        let traffic = forward.traffic;
        let limits = &traffic.limits;
        let in_use = live.in_use(&forward.to);
        let bounds = [
            ("requests", in_use.requests, limits.max_requests),
            ("pending", in_use.pending, limits.max_pending),
            ("connections", in_use.connections, limits.max_connections),
        ];
        let bounds: Vec<String> = bounds
            .iter()
            .filter(|(_, _, max)| *max > 0)
            .map(|(what, in_use, max)| format!("{in_use} of {max} {what}"))
            .collect();
        let outcome = if bounds.is_empty() { "none".to_owned() } else { bounds.join(", ") };
        self.push("limits", traffic.origin.as_ref(), outcome);
        if facts.request.is_none() {
            return;
        }
        let rule = forward.matched.map(|matched| matched.rule);
        let route = forward.matched.map(|matched| &matched.route.origin);
        let by_rule = |set: bool| if set { route } else { traffic.origin.as_ref() };
        let timeouts = forward.timeouts;
        let set = rule.is_some_and(|rule| rule.timeouts != crate::deadline::Timeouts::default());
        let outcome =
            format!("request {}, each try {}", bound(timeouts.request), bound(timeouts.backend_request));
        self.push("timeouts", by_rule(set), outcome);
        let set = rule.is_some_and(|rule| rule.retry.is_some());
        self.push("retry", by_rule(set), retry_told(forward));
    }

    fn endpoint(
        &mut self,
        snapshot: &Snapshot,
        live: &impl Live,
        facts: &Facts<'_>,
        forward: &Forward<'_>,
        now: Moment,
        draw: &mut Draw,
    ) -> Result<Picked, Refusal> {
        let Some(set) = snapshot.endpoints_of(&forward.to) else {
            self.push("endpoint", None, format!("no endpoints of {} have been told", forward.to));
            self.answer(Refusal::NoEndpoint, facts.request.as_ref());
            return Err(Refusal::NoEndpoint);
        };
        let balance = &forward.traffic.balance;
        let key = match balance {
            Balance::RingHash(over) => HashKey::of(over, facts),
            _ => None,
        };
        let census = census(&set, live, now);
        let picked = pick(&set, balance, live, key, &[], now, draw);
        match &picked {
            Ok(pick) => {
                let outcome = format!(
                    "{} ({}) of {census}: {}{}",
                    pick.endpoint.addr,
                    pick.endpoint.name,
                    pick_told(&pick.why),
                    if pick.from == Pool::Unconfirmed { ", and nothing healthy is left" } else { "" },
                );
                self.push("endpoint", forward.traffic.origin.as_ref(), outcome);
            }
            Err(refusal) => {
                self.push("endpoint", None, format!("none of {census}"));
                self.answer(*refusal, facts.request.as_ref());
            }
        }
        picked.map(Picked::from)
    }

    fn answer(&mut self, refusal: Refusal, request: Option<&Request<'_>>) {
        let answer = refusal.answer();
        let outcome = match request {
            Some(request) if request.grpc => {
                format!("grpc-status {} ({}): {}", answer.grpc_status, answer.token, answer.text)
            }
            Some(_) => format!("{} ({}): {}", answer.status.as_u16(), answer.token, answer.text),
            None => format!("connection closed ({}): {}", answer.token, answer.text),
        };
        self.push("answer", None, outcome);
    }
}

#[cfg(test)]
mod tests;
