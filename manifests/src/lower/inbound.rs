//! Policy for calls into a workload, port by port.
//!
//! Ports come from the Services that select the workload, from the workload itself, and from policies that name
//! one by number. Whatever is not declared gets the policy of everything that is aimed at the workload or wider.
//!
//! Of authentication the closest aim holds: workload before Service before namespace before mesh, and within
//! each of them a named port before the rest. Where two are aimed alike, strict holds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use weft_policy::authorize::{AuthorizationPolicy, AuthorizationRule, MtlsMode, PortPolicy, SourceMatch};
use weft_policy::identity::SpiffeId;
use weft_policy::object::{Kind, ObjectRef};
use weft_policy::protocol::AppProtocol;
use weft_policy::snapshot::{Inbound, InboundPort};

use crate::crd::authentication::AuthenticationPolicy;
use crate::crd::authorization::{AuthorizationPolicy as Written, Source};
use crate::crd::workload::Workload;
use crate::meta::Metadata;
use crate::set::ObjectSet;

use super::reach::{Aim, Reach, reaches};
use super::{Enforced, Lowered, endpoints};

/// Lowers the policy for calls into a workload.
#[must_use]
pub fn inbound(set: &ObjectSet, workload: &ObjectRef) -> Lowered<Enforced> {
    let found = (workload.kind == Kind::Workload)
        .then(|| set.workload(&workload.namespace, &workload.name))
        .flatten();
    let Some(found) = found else { return Lowered::nothing() };
    let Some(identity) = endpoints::identity(set, found) else { return Lowered::nothing() };
    let policies = Policies::of(set, found);
    let ports = declared(set, found, &policies)
        .into_iter()
        .map(|(number, port)| InboundPort {
            number,
            protocol: port.protocol.unwrap_or_else(|| AppProtocol::by_default_for(number)),
            address: port.listen,
            policy: policies.at(set, Some(number)),
        })
        .collect();
    let inbound = Inbound {
        workload: workload.clone(),
        identity,
        zone: found.zone.clone(),
        ports,
        undeclared: policies.at(set, None),
    };
    Lowered { value: Some(Enforced { inbound, health: found.health.clone() }), conditions: Vec::new() }
}

/// What is known of a declared port.
#[derive(Default)]
struct Declared {
    protocol: Option<AppProtocol>,
    listen: Option<SocketAddr>,
}

/// A Service's word on the protocol counts before the workload's: it is what clients go by. Of several Services
/// the first by name.
fn declared(set: &ObjectSet, workload: &Workload, policies: &Policies<'_>) -> BTreeMap<u16, Declared> {
    let mut ports: BTreeMap<u16, Declared> = BTreeMap::new();
    for service in set.before(workload) {
        for port in &service.ports {
            if let Some(number) = endpoints::target(workload, &port.target) {
                let declared = ports.entry(number).or_default();
                declared.protocol = declared.protocol.or(port.declared);
            }
        }
    }
    for port in &workload.ports {
        let declared = ports.entry(port.number).or_default();
        declared.protocol = declared.protocol.or(port.declared);
        declared.listen = port.listen;
    }
    for number in policies.authentication.iter().flat_map(|(_, policy)| policy.ports.keys()) {
        ports.entry(*number).or_default();
    }
    ports
}

/// The policies that reach a workload.
struct Policies<'s> {
    /// Sorted by namespace and name.
    authorization: Vec<(Vec<Reach>, Arc<AuthorizationPolicy>)>,
    authentication: Vec<(Reach, &'s AuthenticationPolicy)>,
}

impl<'s> Policies<'s> {
    fn of(set: &'s ObjectSet, workload: &Workload) -> Self {
        let (own, root) = (&*workload.meta.namespace, &*set.settings().root_namespace);
        let mut namespaces = vec![own, root];
        namespaces.sort_unstable();
        namespaces.dedup();
        let mut found = Self { authorization: Vec::new(), authentication: Vec::new() };
        for namespace in namespaces {
            for written in set.authorization_in(namespace) {
                let reaches = reaches(set, namespace, &written.scope, workload);
                if !reaches.is_empty() {
                    let dangling = reaches.iter().find_map(|reach| reach.dangling.clone());
                    found.authorization.push((reaches, Arc::new(lower(set, written, dangling))));
                }
            }
            for written in set.authentication_in(namespace) {
                let reaches = reaches(set, namespace, &written.scope, workload);
                found.authentication.extend(reaches.into_iter().map(|reach| (reach, &**written)));
            }
        }
        found
    }

    /// What holds at a declared port, or, for `None`, at every other.
    fn at(&self, set: &ObjectSet, port: Option<u16>) -> PortPolicy {
        let settings = set.settings();
        let candidates =
            self.authentication.iter().filter_map(|(reach, policy)| candidate(reach, policy, port));
        let holds = candidates.max_by(|a, b| a.order().cmp(&b.order()));
        let policies = self
            .authorization
            .iter()
            .filter(|(reaches, _)| reaches.iter().any(|reach| reach.ports.has(port)));
        PortPolicy {
            mtls: holds.as_ref().map_or(settings.default_mtls, |candidate| candidate.mode),
            mtls_origin: holds.map(|candidate| key(Kind::AuthenticationPolicy, candidate.meta)),
            trust_domain: settings.trust_domain.clone(),
            policies: policies.map(|(_, policy)| Arc::clone(policy)).collect(),
        }
    }
}

/// What an `AuthenticationPolicy` says about one port.
struct Candidate<'p> {
    aim: Aim,
    names_the_port: bool,
    mode: MtlsMode,
    meta: &'p Metadata,
}

impl Candidate<'_> {
    /// The greatest holds.
    fn order(&self) -> impl Ord + '_ {
        let strict = self.mode == MtlsMode::Strict;
        (self.aim, self.names_the_port, strict, std::cmp::Reverse(self.meta.seniority()))
    }
}

fn candidate<'p>(
    reach: &Reach,
    policy: &'p AuthenticationPolicy,
    port: Option<u16>,
) -> Option<Candidate<'p>> {
    if !reach.ports.has(port) {
        return None;
    }
    let named = port.and_then(|port| policy.ports.get(&port)).copied();
    let mode = match &reach.dangling {
        Some(_) => MtlsMode::Strict,
        None => named.or(policy.mode)?,
    };
    Some(Candidate {
        aim: reach.aim,
        names_the_port: named.is_some() || reach.aim.names_a_port(),
        mode,
        meta: &policy.meta,
    })
}

fn lower(set: &ObjectSet, written: &Written, dangling: Option<Arc<str>>) -> AuthorizationPolicy {
    let rules = written.rules.iter().map(|rule| AuthorizationRule {
        from: rule.from.iter().map(|source| lower_source(set, source)).collect(),
        to: rule.to.clone(),
    });
    AuthorizationPolicy {
        origin: key(Kind::AuthorizationPolicy, &written.meta),
        action: written.action,
        rules: rules.collect(),
        not_understood: written.not_understood.clone().or(dangling),
    }
}

/// Service accounts become identities of the mesh's own trust domain.
fn lower_source(set: &ObjectSet, source: &Source) -> SourceMatch {
    let of_account = |(namespace, name): &(Arc<str>, Arc<str>)| {
        SpiffeId::workload(&set.settings().trust_domain, namespace, name)
            .expect("the reader has let only DNS names through, which are segments of a SPIFFE path")
    };
    let mut identities = source.identities.clone();
    identities.extend(source.service_accounts.iter().map(of_account));
    SourceMatch { identities, namespaces: source.namespaces.clone(), cidrs: source.cidrs.clone() }
}

fn key(kind: Kind, meta: &Metadata) -> ObjectRef {
    ObjectRef { kind, namespace: Arc::clone(&meta.namespace), name: Arc::clone(&meta.name) }
}
