//! What only shows when objects are seen together, and what no status would say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use weft_policy::authorize::Action;
use weft_policy::object::{Kind, ObjectRef};
use weft_policy::protocol::AppProtocol;
use weft_policy::snapshot::Inbound;

use crate::core::{Service, TargetPort};
use crate::crd::workload::{Sidecar, Workload};
use crate::diagnostic::{Diagnostic, Severity};
use crate::gateway_api::parent::ParentRef;
use crate::object::Object;
use crate::set::ObjectSet;
use crate::suggest;

/// Finds it.
pub(super) fn find(set: &ObjectSet, findings: &mut Vec<Diagnostic>) {
    // Files for a cluster hold no Workloads: its pods are not in them.
    let with_workloads = set.objects().any(|object| object.kind() == Kind::Workload);
    let mut listeners: BTreeMap<SocketAddr, ObjectRef> = BTreeMap::new();
    for object in set.objects() {
        match &object {
            Object::Service(service) if with_workloads => selection(set, service, findings),
            Object::HttpRoute(route) => parents(&object.key(), &route.parents, findings),
            Object::GrpcRoute(route) => parents(&object.key(), &route.parents, findings),
            Object::Workload(workload) => listener(workload, &mut listeners, findings),
            _ => {}
        }
    }
    for (ip, names) in set.disputed_vips() {
        let mut names = names.iter();
        let Some(first) = names.next() else { continue };
        for name in names {
            let message = format!("Service {first} has the clusterIP {ip} too, and comes first by name");
            let found =
                Diagnostic::new(Severity::Error, message, "give one of them another address, or none");
            findings.push(found.about(&name.object()).at("spec.clusterIP"));
        }
    }
}

/// Policies that ask for methods, paths or headers where nobody parses requests: there an allow matches nothing
/// and a deny everything.
pub(super) fn unseen_requests(inbound: &Inbound, findings: &mut Vec<Diagnostic>) {
    for port in
        inbound.ports.iter().filter(|port| matches!(port.protocol, AppProtocol::Opaque | AppProtocol::Tls))
    {
        for policy in port.policy.policies.iter().filter(|policy| policy.not_understood.is_none()) {
            let Some(rule) = policy.rules.iter().position(|rule| !rule.to.is_empty()) else { continue };
            let effect = match policy.action {
                Action::Allow => "there it allows nothing",
                Action::Deny => "there it denies everything from the sources it names",
                Action::Audit => "there it reports everything from the sources it names",
            };
            let message = format!(
                "it asks for methods, paths or headers, and port {} of {} carries bytes that nobody parses; {effect}",
                port.number, inbound.workload
            );
            let help = "aim the policy at other ports with sectionName, or declare the port's appProtocol";
            let found = Diagnostic::new(Severity::Warning, message, help);
            findings.push(found.about(&policy.origin).at(format!("spec.rules[{rule}].to")));
        }
    }
}

/// A Service without workloads, and ports that its workloads do not have.
fn selection(set: &ObjectSet, service: &Service, findings: &mut Vec<Diagnostic>) {
    let mut warn = |field: String, message: String, help: &str| {
        let found = Diagnostic::new(Severity::Warning, message, help);
        findings.push(found.about(&service.name().object()).at(field));
    };
    if service.selector.is_empty() {
        let message = "without a selector the Service has no endpoints";
        warn("spec".into(), message.into(), "add a selector that matches the labels of its Workloads");
        return;
    }
    let selected: Vec<&Arc<Workload>> = set.behind(service).collect();
    if selected.is_empty() {
        let message = "the selector matches the labels of no Workload, so calls are answered with 503";
        warn("spec.selector".into(), message.into(), "correct the selector, or the labels of the Workloads");
    }
    for (index, port) in service.ports.iter().enumerate() {
        let TargetPort::Named(name) = &port.target else { continue };
        let lacking: Vec<&&Arc<Workload>> =
            selected.iter().filter(|workload| workload.port_named(name).is_none()).collect();
        let Some(one) = lacking.first() else { continue };
        let hint = suggest::hint(name, one.ports.iter().map(|port| &*port.name));
        let message = format!(
            "{} of {} Workloads have no port named `{name}`{hint}, {} for one; they get no calls on port {}",
            lacking.len(),
            selected.len(),
            one.meta.name,
            port.number
        );
        warn(
            format!("spec.ports[{index}].targetPort"),
            message,
            "correct the name here, or name the Workload's port",
        );
    }
}

/// Parents that nobody serves.
fn parents(route: &ObjectRef, parents: &[ParentRef], findings: &mut Vec<Diagnostic>) {
    for (index, parent) in parents.iter().enumerate() {
        let is_service = parent.group.is_empty() && &*parent.kind == "Service";
        // `kind: Service` without its group has been remarked upon as it was read.
        if !is_service && &*parent.kind != "Service" {
            let message =
                format!("a parent of kind {} is not served; the route does nothing for it", parent.kind);
            let found = Diagnostic::new(Severity::Warning, message, "name a Service, with group: \"\"");
            findings.push(found.about(route).at(format!("spec.parentRefs[{index}]")));
        }
    }
}

/// Two sidecars cannot listen on one address.
fn listener(
    workload: &Workload,
    listeners: &mut BTreeMap<SocketAddr, ObjectRef>,
    findings: &mut Vec<Diagnostic>,
) {
    let Sidecar::Listener(port) = workload.sidecar else { return };
    let address = SocketAddr::new(workload.address, port);
    let key = workload.key();
    match listeners.get(&address) {
        None => drop(listeners.insert(address, key)),
        Some(other) => {
            let message = format!("the sidecar of {other} listens on {address} too");
            let found = Diagnostic::new(Severity::Error, message, "give each its own spec.inbound.port");
            findings.push(found.about(&key).at("spec.inbound.port"));
        }
    }
}
