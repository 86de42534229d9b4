//! Which ports of a workload a policy reaches, and how closely it was aimed.

use std::collections::BTreeSet;
use std::sync::Arc;

use weft_policy::object::ServiceName;

use crate::crd::authorization::Scope;
use crate::crd::target::{TargetKind, TargetRef};
use crate::crd::workload::Workload;
use crate::set::ObjectSet;

use super::endpoints;

/// How far a policy reaches into a workload.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reach {
    pub(super) aim: Aim,
    pub(super) ports: Ports,
    /// A target whose port is not there. A security policy then reaches all ports it could have meant.
    pub(super) dangling: Option<Arc<str>>,
}

/// How closely a policy was aimed, widest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aim {
    Mesh,
    Namespace,
    Service,
    ServicePort,
    Workload,
    WorkloadPort,
}

impl Aim {
    /// Whether one port was named.
    pub(super) const fn names_a_port(self) -> bool {
        matches!(self, Self::ServicePort | Self::WorkloadPort)
    }
}

/// Ports of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    All,
    These(BTreeSet<u16>),
}

impl Ports {
    /// Whether a declared port (or, for `None`, every undeclared one) is among them.
    pub(super) fn has(&self, port: Option<u16>) -> bool {
        match (self, port) {
            (Self::All, _) => true,
            (Self::These(ports), Some(port)) => ports.contains(&port),
            (Self::These(_), None) => false,
        }
    }
}

/// How a policy of `namespace` reaches a workload: once per target that means it.
pub(super) fn reaches(set: &ObjectSet, namespace: &str, scope: &Scope, workload: &Workload) -> Vec<Reach> {
    let same_namespace = *namespace == *workload.meta.namespace;
    let all = |aim| vec![Reach { aim, ports: Ports::All, dangling: None }];
    match scope {
        Scope::Everything if *namespace == *set.settings().root_namespace => all(Aim::Mesh),
        Scope::Everything | Scope::Namespace if same_namespace => all(Aim::Namespace),
        Scope::Targets(targets) if same_namespace => {
            targets.iter().filter_map(|target| reach_of(set, target, workload)).collect()
        }
        _ => Vec::new(),
    }
}

fn reach_of(set: &ObjectSet, target: &TargetRef, workload: &Workload) -> Option<Reach> {
    match target.kind {
        TargetKind::Workload if target.name == workload.meta.name => Some(match &target.section {
            None => Reach { aim: Aim::Workload, ports: Ports::All, dangling: None },
            Some(section) => match workload.port_named(section) {
                Some(port) => Reach {
                    aim: Aim::WorkloadPort,
                    ports: Ports::These([port.number].into()),
                    dangling: None,
                },
                None => Reach { aim: Aim::Workload, ports: Ports::All, dangling: Some(dangling(target)) },
            },
        }),
        TargetKind::Workload => None,
        TargetKind::Service => {
            let service = set.service(&ServiceName::new(&workload.meta.namespace, &target.name))?;
            if !service.has(workload) {
                return None;
            }
            let ports = |only: Option<&str>| -> BTreeSet<u16> {
                let ports = service.ports.iter().filter(|port| only.is_none_or(|only| *port.name == *only));
                ports.filter_map(|port| endpoints::target(workload, &port.target)).collect()
            };
            let known = |section: &str| service.ports.iter().any(|port| *port.name == *section);
            Some(match &target.section {
                Some(section) if known(section) => {
                    Reach { aim: Aim::ServicePort, ports: Ports::These(ports(Some(section))), dangling: None }
                }
                section => Reach {
                    aim: Aim::Service,
                    ports: Ports::These(ports(None)),
                    dangling: section.as_ref().map(|_| dangling(target)),
                },
            })
        }
    }
}

fn dangling(target: &TargetRef) -> Arc<str> {
    let section = target.section.as_deref().unwrap_or_default();
    format!("spec.targetRefs: {} {} has no port named `{section}`", target.kind.as_str(), target.name).into()
}
