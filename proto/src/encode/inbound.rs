//! What a proxy enforces for its own application. Policies that several ports share are said once.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;
use weft_policy::authorize::{
    Action, AuthorizationPolicy, AuthorizationRule, HeaderCondition, MtlsMode, OperationMatch, PathPattern,
    PortPolicy, SourceMatch,
};
use weft_policy::health::{HealthCheck, Probe};
use weft_policy::identity::SpiffeId;
use weft_policy::snapshot::{Inbound, InboundPort};

use super::{duration, object, protocol, sorted, string_match, text};
use crate::v1;

/// Policy for calls into one workload, and the checks that its proxy makes of it.
#[must_use]
pub fn inbound(inbound: &Inbound, health: &[HealthCheck]) -> v1::Inbound {
    let policies = Policies::of(inbound);
    let mut ports: Vec<_> = inbound.ports.iter().collect();
    ports.sort_by_key(|port| port.number);
    let mut health: Vec<_> = health.iter().map(health_check).collect();
    health.sort_by_cached_key(|check| (check.port, check.encode_to_vec()));
    v1::Inbound {
        workload: Some(object(&inbound.workload)),
        identity: inbound.identity.to_string(),
        zone: text(inbound.zone.as_deref()),
        ports: ports.into_iter().map(|port| inbound_port(port, &policies)).collect(),
        undeclared: Some(port_policy(&inbound.undeclared, &policies)),
        policies: policies.wire,
        health,
    }
}

/// Every policy that some port points at, once, by name.
struct Policies {
    wire: Vec<v1::AuthorizationPolicy>,
    /// By address: ports share policies, and each is encoded once.
    places: HashMap<*const AuthorizationPolicy, u32>,
}

impl Policies {
    fn of(inbound: &Inbound) -> Self {
        let every_port = inbound.ports.iter().map(|port| &port.policy).chain([&inbound.undeclared]);
        let distinct: HashMap<_, _> =
            every_port.flat_map(|port| &port.policies).map(|policy| (Arc::as_ptr(policy), policy)).collect();
        // Different policies of one name are told apart, and equal ones found, by their bytes.
        let mut entries: Vec<_> = distinct
            .into_iter()
            .map(|(place, policy)| {
                let wire = authorization(policy);
                (&policy.origin, wire.encode_to_vec(), wire, place)
            })
            .collect();
        entries.sort_by(|(a, a_bytes, ..), (b, b_bytes, ..)| (a, a_bytes).cmp(&(b, b_bytes)));

        let mut policies = Self { wire: Vec::new(), places: HashMap::new() };
        let mut last = None;
        for (_, bytes, wire, place) in entries {
            if last.as_ref() != Some(&bytes) {
                policies.wire.push(wire);
                last = Some(bytes);
            }
            let index = u32::try_from(policies.wire.len() - 1).expect("fewer policies than 2^32");
            policies.places.insert(place, index);
        }
        policies
    }

    /// Where these stand, in order.
    fn indices(&self, policies: &[Arc<AuthorizationPolicy>]) -> Vec<u32> {
        sorted(policies.iter().filter_map(|policy| self.places.get(&Arc::as_ptr(policy)).copied()))
    }
}

fn inbound_port(port: &InboundPort, policies: &Policies) -> v1::InboundPort {
    v1::InboundPort {
        number: port.number.into(),
        protocol: protocol(port.protocol).into(),
        address: port.address.map(|addr| addr.to_string()).unwrap_or_default(),
        policy: Some(port_policy(&port.policy, policies)),
    }
}

fn port_policy(policy: &PortPolicy, policies: &Policies) -> v1::PortPolicy {
    let mtls = match policy.mtls {
        MtlsMode::Strict => v1::MtlsMode::Strict,
        MtlsMode::Permissive => v1::MtlsMode::Permissive,
    };
    v1::PortPolicy {
        mtls: mtls.into(),
        mtls_origin: policy.mtls_origin.as_ref().map(object),
        trust_domain: policy.trust_domain.to_string(),
        policies: policies.indices(&policy.policies),
    }
}

fn authorization(policy: &AuthorizationPolicy) -> v1::AuthorizationPolicy {
    let action = match policy.action {
        Action::Allow => v1::Action::Allow,
        Action::Deny => v1::Action::Deny,
        Action::Audit => v1::Action::Audit,
    };
    v1::AuthorizationPolicy {
        origin: Some(object(&policy.origin)),
        action: action.into(),
        rules: policy.rules.iter().map(rule).collect(),
        not_understood: match policy.not_understood.as_deref() {
            None => String::new(),
            // On the wire nothing means understood: an unnamed doubt must not get lost on the way.
            Some("") => "unnamed".into(),
            Some(what) => what.into(),
        },
    }
}

fn rule(rule: &AuthorizationRule) -> v1::AuthorizationRule {
    v1::AuthorizationRule {
        from: rule.from.iter().map(source).collect(),
        to: rule.to.iter().map(operation).collect(),
    }
}

fn source(source: &SourceMatch) -> v1::SourceMatch {
    v1::SourceMatch {
        identities: source.identities.iter().map(SpiffeId::to_string).collect(),
        namespaces: source.namespaces.iter().map(|namespace| namespace.as_ref().into()).collect(),
        cidrs: source.cidrs.iter().map(ToString::to_string).collect(),
    }
}

fn operation(operation: &OperationMatch) -> v1::OperationMatch {
    v1::OperationMatch {
        methods: operation.methods.iter().map(|method| method.as_ref().into()).collect(),
        paths: operation.paths.iter().map(path).collect(),
        headers: operation.headers.iter().map(header).collect(),
    }
}

fn path(pattern: &PathPattern) -> v1::PathPattern {
    use v1::path_pattern::Kind;
    let kind = match pattern {
        PathPattern::Exact(path) => Kind::Exact(path.as_ref().into()),
        PathPattern::Prefix(prefix) => Kind::Prefix(prefix.as_ref().into()),
        PathPattern::Regex(pattern) => Kind::Regex(pattern.as_str().into()),
    };
    v1::PathPattern { kind: Some(kind) }
}

fn header(condition: &HeaderCondition) -> v1::HeaderCondition {
    v1::HeaderCondition {
        name: condition.name.as_str().into(),
        values: condition.values.iter().map(string_match).collect(),
    }
}

fn health_check(check: &HealthCheck) -> v1::HealthCheck {
    use v1::health_check::Kind;
    let kind = match &check.probe {
        Probe::Tcp => Kind::Tcp(v1::TcpCheck {}),
        Probe::Http { path } => Kind::Http(v1::HttpCheck { path: path.as_ref().into() }),
        Probe::Grpc { service } => Kind::Grpc(v1::GrpcCheck { service: service.as_ref().into() }),
    };
    v1::HealthCheck {
        port: check.port.into(),
        kind: Some(kind),
        interval: Some(duration(check.interval)),
        timeout: Some(duration(check.timeout)),
        healthy_threshold: check.healthy_threshold,
        unhealthy_threshold: check.unhealthy_threshold,
    }
}
