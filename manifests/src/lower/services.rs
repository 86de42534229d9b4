//! A Service as its clients see it: names, addresses, and how to send to each of its ports.

use std::net::IpAddr;
use std::sync::Arc;

use weft_policy::object::{Kind, ObjectRef, ServiceName};
use weft_policy::snapshot::{Port, Service, Traffic};

use crate::core::{ClusterIps, Service as Written};
use crate::crd::traffic::TrafficPolicy;
use crate::set::ObjectSet;
use crate::suggest;

use super::Lowered;
use super::condition::{Condition, ConditionType, Detail, Reason};

/// Lowers a Service. `class` is its own namespace for clients there, `None` for all others.
#[must_use]
pub fn service(set: &ObjectSet, name: &ServiceName, class: Option<&str>) -> Lowered<Service> {
    let found = set.service(name);
    let policies: Vec<&Arc<TrafficPolicy>> = set.traffic_on(name).collect();
    let mut conditions: Vec<Condition> = policies
        .iter()
        .map(|policy| condition(policy, name, found.map(|found| &**found), &policies))
        .collect();
    conditions.sort();
    let value = found.map(|found| {
        let mut ports: Vec<Port> = found
            .ports
            .iter()
            .map(|port| Port {
                number: port.number,
                name: Arc::clone(&port.name),
                protocol: port.protocol(),
                traffic: Arc::new(holder(&policies, name, &port.name).map_or_else(Traffic::default, traffic)),
            })
            .collect();
        ports.sort_by_key(|port| port.number);
        Service {
            name: name.clone(),
            vips: vips(set, found),
            hosts: hosts(set, name, class),
            ports,
            pod: None,
        }
    });
    Lowered { value, conditions }
}

fn vips(set: &ObjectSet, service: &Written) -> Vec<IpAddr> {
    match &service.cluster_ips {
        ClusterIps::Headless => Vec::new(),
        ClusterIps::Given(ips) => ips.clone(),
        ClusterIps::Chosen => set.chosen_vip(&service.name()).map(IpAddr::V4).into_iter().collect(),
    }
}

/// Every name that leads to a Service; the bare one only where it does.
fn hosts(set: &ObjectSet, name: &ServiceName, class: Option<&str>) -> Vec<Arc<str>> {
    let ServiceName { namespace, name } = name;
    let cluster_domain = &set.settings().cluster_domain;
    let mut hosts: Vec<Arc<str>> = vec![
        format!("{name}.{namespace}.svc.{cluster_domain}").into(),
        format!("{name}.{namespace}.svc").into(),
        format!("{name}.{namespace}").into(),
        format!("{name}.{namespace}.mesh").into(),
    ];
    if class == Some(&**namespace) {
        hosts.push(Arc::clone(name));
    }
    hosts.sort();
    hosts
}

/// How exactly a policy is about a port. `None`: not at all.
fn aim(policy: &TrafficPolicy, service: &ServiceName, port: &str) -> Option<u8> {
    let targets = policy.targets.iter().filter(|target| target.name == service.name);
    targets
        .filter_map(|target| match &target.section {
            None => Some(0),
            Some(section) => (**section == *port).then_some(1),
        })
        .max()
}

/// The policy that holds at a port: the one that names the port before those that name the Service, of equals
/// the senior.
pub(super) fn holder<'p>(
    policies: &[&'p Arc<TrafficPolicy>],
    service: &ServiceName,
    port: &str,
) -> Option<&'p TrafficPolicy> {
    let aimed = policies.iter().filter_map(|policy| Some((aim(policy, service, port)?, *policy)));
    let best = aimed.min_by(|(a, policy), (b, other)| {
        b.cmp(a).then_with(|| policy.meta.seniority().cmp(&other.meta.seniority()))
    });
    best.map(|(_, policy)| &**policy)
}

pub(super) fn traffic(policy: &TrafficPolicy) -> Traffic {
    Traffic {
        origin: Some(key(policy)),
        balance: policy.balance.clone(),
        timeouts: policy.timeouts,
        retry: policy.retry.clone(),
        budget: policy.budget,
        breaker: policy.breaker,
        limits: policy.limits,
    }
}

fn key(policy: &TrafficPolicy) -> ObjectRef {
    ObjectRef::new(Kind::TrafficPolicy, &policy.meta.namespace, &policy.meta.name)
}

/// What becomes of a policy towards one Service.
fn condition(
    policy: &Arc<TrafficPolicy>,
    name: &ServiceName,
    service: Option<&Written>,
    policies: &[&Arc<TrafficPolicy>],
) -> Condition {
    let say = |status, reason, details| Condition {
        object: key(policy),
        parent: None,
        kind: ConditionType::Accepted,
        status,
        reason,
        details,
    };
    let Some(service) = service else {
        let detail = Detail::missing("spec.targetRefs", name);
        return say(false, Reason::TargetNotFound, vec![detail]);
    };
    for (index, target) in policy.targets.iter().enumerate().filter(|(_, target)| target.name == name.name) {
        let field = format!("spec.targetRefs[{index}]");
        if let Some(section) = &target.section
            && service.ports.iter().all(|port| port.name != *section)
        {
            let hint = suggest::hint(section, service.ports.iter().map(|port| &*port.name));
            let message = format!("Service {name} has no port named `{section}`{hint}");
            return say(
                false,
                Reason::TargetNotFound,
                vec![Detail::new(format!("{field}.sectionName"), message)],
            );
        }
        // Who is about exactly the same thing, and came first?
        let same = |other: &TrafficPolicy| other.targets.contains(target);
        let senior = policies
            .iter()
            .filter(|other| same(other) && other.meta.seniority() < policy.meta.seniority())
            .min_by(|a, b| a.meta.seniority().cmp(&b.meta.seniority()));
        if let Some(senior) = senior {
            let message = format!("{} is about the same and came first (or has the first name)", key(senior));
            return say(false, Reason::Conflicted, vec![Detail::new(field, message)]);
        }
    }
    say(true, Reason::Accepted, Vec::new())
}
