//! The routes of a Service, for one class of client namespaces (GEP-1294, GEP-1426).
//!
//! Port by port: a route attaches to the ports its parentRef covers. Where a consumer's namespace has routes of
//! its own for a port, they replace the producer's for that port and are never merged with them. Within a group a
//! GRPCRoute displaces HTTPRoutes. Two HTTPRoutes are merged, match by match, by the policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_policy::object::{ObjectRef, ServiceName};
use weft_policy::route::{Route, RouteKind, RouteTable, Routes};

use crate::core::{ClusterIps, Service};
use crate::gateway_api::parent::ParentRef;
use crate::object::Object;
use crate::set::ObjectSet;
use crate::suggest;

use super::Lowered;
use super::condition::{Condition, ConditionType, Detail, Reason};
use super::findings::Findings;
use super::{grpc_route, http_route};

/// Lowers the routes of a Service. There is no value for a class without consumer routes: its clients get what
/// `None` gets. Conditions are those of the producer's routes for `class` `None`, else those
/// of the consumer's: every route is reported by exactly one class.
#[must_use]
pub fn routes(set: &ObjectSet, service: &ServiceName, class: Option<&str>) -> Lowered<Routes> {
    if class.is_some_and(|class| set.class_of_routes(service, class).is_none()) {
        return Lowered::nothing();
    }
    let found = set.service(service).map(|found| &**found);
    let (mut producers, mut consumers) = (Vec::new(), Vec::new());
    for key in set.routes_to(service) {
        let group = if key.namespace == service.namespace {
            &mut producers
        } else if class == Some(&*key.namespace) {
            &mut consumers
        } else {
            continue;
        };
        group.extend(Attached::new(set, key, service, found));
    }
    let reported = if class.is_none() { &producers } else { &consumers };
    let mut conditions: Vec<Condition> = {
        let strongest = strongest(reported);
        reported.iter().flat_map(|route| route.conditions(&strongest)).collect()
    };
    conditions.sort();
    conditions.dedup();
    let value = found.map(|found| {
        let mut numbers: Vec<u16> = found.ports.iter().map(|port| port.number).collect();
        numbers.sort_unstable();
        let table = |number| table(&consumers, number).or_else(|| table(&producers, number));
        let ports = numbers.into_iter().filter_map(|number| Some((number, table(number)?))).collect();
        Routes { service: service.clone(), ports }
    });
    Lowered { value, conditions }
}

/// The routes of a group that hold at a port, in one table.
fn table(group: &[Attached], port: u16) -> Option<RouteTable> {
    let at_port = || group.iter().filter(|route| route.ports.contains(&port));
    let kind = at_port().map(|route| route.kind).max_by_key(|kind| precedence(*kind))?;
    let routes = at_port().filter(|route| route.kind == kind).map(|route| route.value.clone()).collect();
    Some(RouteTable::new(kind, routes))
}

/// By port: the kind that holds there, and the first route of it.
type Strongest<'g> = BTreeMap<u16, (RouteKind, &'g ObjectRef)>;

fn strongest(group: &[Attached]) -> Strongest<'_> {
    let mut strongest = Strongest::new();
    for route in group {
        for port in &route.ports {
            let held = strongest.entry(*port).or_insert((route.kind, &route.key));
            if precedence(route.kind) > precedence(held.0) {
                *held = (route.kind, &route.key);
            }
        }
    }
    strongest
}

/// GRPCRoute before HTTPRoute (GEP-1294).
const fn precedence(kind: RouteKind) -> u8 {
    match kind {
        RouteKind::Http => 0,
        RouteKind::Grpc => 1,
    }
}

/// A route of the Service.
struct Attached {
    key: ObjectRef,
    kind: RouteKind,
    value: Route,
    findings: Findings,
    /// Each parentRef that names the Service, with the ports it covers, or why it covers none.
    parents: Vec<(ParentRef, Result<BTreeSet<u16>, Detail>)>,
    /// Ports at which it holds: none if it is not accepted.
    ports: BTreeSet<u16>,
}

impl Attached {
    fn new(set: &ObjectSet, key: &ObjectRef, service: &ServiceName, found: Option<&Service>) -> Option<Self> {
        let object = set.object(key)?;
        let (kind, (value, findings)) = match &object {
            Object::HttpRoute(route) => (RouteKind::Http, http_route::lower(set, route)),
            Object::GrpcRoute(route) => (RouteKind::Grpc, grpc_route::lower(set, route)),
            _ => return None,
        };
        let parents: Vec<_> = ObjectSet::parents_of(&object)
            .into_iter()
            .filter(|(named, _)| named == service)
            .map(|(_, parent)| {
                let covered = covered(&parent, service, found);
                (parent, covered)
            })
            .collect();
        let accepted = findings.refused.is_empty();
        let covered = parents.iter().filter_map(|(_, covered)| covered.as_ref().ok()).flatten();
        let ports = covered.filter(|_| accepted).copied().collect();
        Some(Self { key: key.clone(), kind, value, findings, parents, ports })
    }

    /// What its status says towards each parent, among routes of which `strongest` hold.
    fn conditions(&self, strongest: &Strongest<'_>) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for (parent, covered) in &self.parents {
            let mut say = |kind, status, reason, details| {
                let (object, parent) = (self.key.clone(), Some(parent.clone()));
                conditions.push(Condition { object, parent, kind, status, reason, details });
            };
            let (accepted, reason, details) = self.acceptance(covered, strongest);
            say(ConditionType::Accepted, accepted, reason, details);
            let unresolved: Vec<Detail> =
                self.findings.unresolved.iter().map(|(_, detail)| detail.clone()).collect();
            match self.findings.unresolved.first() {
                Some((reason, _)) => say(ConditionType::ResolvedRefs, false, *reason, unresolved),
                None => say(ConditionType::ResolvedRefs, true, Reason::ResolvedRefs, Vec::new()),
            }
            if accepted && !self.findings.partial.is_empty() {
                let details = self.findings.partial.clone();
                say(ConditionType::PartiallyInvalid, true, Reason::UnsupportedValue, details);
            }
        }
        conditions
    }

    fn acceptance(
        &self,
        covered: &Result<BTreeSet<u16>, Detail>,
        strongest: &Strongest<'_>,
    ) -> (bool, Reason, Vec<Detail>) {
        if let Some((reason, _)) = self.findings.refused.first() {
            let details = self.findings.refused.iter().map(|(_, detail)| detail.clone()).collect();
            return (false, *reason, details);
        }
        let ports = match covered {
            Ok(ports) => ports,
            Err(detail) => return (false, Reason::NoMatchingParent, vec![detail.clone()]),
        };
        let lost: Vec<Detail> = ports
            .iter()
            .filter_map(|port| Some((port, strongest.get(port)?)))
            .filter(|(_, (kind, _))| *kind != self.kind)
            .map(|(port, (_, other))| {
                Detail::new(
                    "spec.parentRefs",
                    format!("port {port} belongs to {other}, and kinds are never merged"),
                )
            })
            .collect();
        if lost.len() == ports.len() {
            return (false, Reason::Conflicted, lost);
        }
        (true, Reason::Accepted, lost.into_iter().chain(self.findings.remarks.iter().cloned()).collect())
    }
}

/// The ports of a Service that a parentRef means.
fn covered(
    parent: &ParentRef,
    name: &ServiceName,
    service: Option<&Service>,
) -> Result<BTreeSet<u16>, Detail> {
    let no = |message: String| Err(Detail::new("spec.parentRefs", message));
    let Some(service) = service else { return Err(Detail::missing("spec.parentRefs", name)) };
    if service.cluster_ips == ClusterIps::Headless {
        return no(format!("{name} is headless: clients do not pass through it, so no route can hold"));
    }
    let ports = service.ports.iter().filter(|port| parent.covers(&port.name, port.number));
    let ports: BTreeSet<u16> = ports.map(|port| port.number).collect();
    if ports.is_empty() {
        let names: Vec<Arc<str>> = service.ports.iter().map(|port| Arc::clone(&port.name)).collect();
        let hint =
            parent.section.as_ref().map(|section| suggest::hint(section, names.iter().map(|name| &**name)));
        return no(format!("{name} has no such port: {parent}{}", hint.unwrap_or_default()));
    }
    Ok(ports)
}
