//! What a proxy enforces for its own application. Whatever of it is not understood denies.
//!
//! Two kinds of trouble are told apart. A message whose bones are broken (no identity, a port number that is
//! none) is rejected, and the proxy keeps what it enforced before, or denies everything if that was nothing. A
//! message that is sound but says something this build cannot read (a new action, a pattern of a new kind)
//! holds, with that part denying: rejecting it would leave an older, wider policy in force.

use std::sync::Arc;

use weft_policy::authorize::{
    Action, AuthorizationPolicy, AuthorizationRule, HeaderCondition, MtlsMode, OperationMatch, PathPattern,
    PortPolicy, SourceMatch,
};
use weft_policy::health::{HealthCheck, Probe};
use weft_policy::identity::{SpiffeId, TrustDomain};
use weft_policy::object::{Kind, ObjectRef};
use weft_policy::protocol::AppProtocol;
use weft_policy::snapshot::{Inbound, InboundPort};

use super::routes::path_prefix;
use super::{Patterns, header_name, object, optional_text, protocol, repeated, segment};
use crate::field::{
    MAX_LIST, Named, Rejected, bounded, duration, list, parsed, port, required, set, text, unknown,
};
use crate::v1;

/// An `Inbound` that holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// Who may call.
    pub inbound: Inbound,
    /// The application's checks, sorted by port.
    pub health: Vec<HealthCheck>,
    /// What denies, or is left out where it only asks after health, because it is not understood.
    pub not_understood: Vec<Rejected>,
}

/// Reads policy for calls into one workload. `missing` is a feature that the resource requires and this build
/// lacks: it cannot be told which part needs it, so every port denies.
///
/// # Errors
/// The first field without which there is no policy to speak of.
pub fn inbound(wire: v1::Inbound, missing: Option<u32>) -> Result<Decoded, Rejected> {
    let workload = required("workload", wire.workload, object)?;
    let identity: SpiffeId = parsed(&wire.identity).named("identity")?;
    let zone = optional_text(&wire.zone).named("zone")?;
    if wire.policies.len() > MAX_LIST {
        let detail = format!("has {} entries, of which {MAX_LIST} are allowed", wire.policies.len());
        return Err(Rejected::because(detail).under("policies"));
    }

    let mut reader =
        Reader { workload: &workload, identity: &identity, policies: Vec::new(), not_understood: Vec::new() };
    let mut patterns = Patterns::default();
    for (index, policy) in wire.policies.into_iter().enumerate() {
        let policy = reader.policy(policy, index, &mut patterns);
        reader.policies.push(policy.into());
    }
    let closed = missing.map(|id| format!("requires feature {id}, which this build does not have"));
    if let Some(why) = &closed {
        reader.not_understood.push(Rejected::because(why));
    }

    let numbered = wire.ports.into_iter().enumerate();
    let mut ports: Vec<InboundPort> = bounded("ports", numbered, usize::from(u16::MAX), |(index, port)| {
        reader.port(port, index, closed.as_deref())
    })?;
    ports.sort_by_key(|port| port.number);
    if let Some(twice) = repeated(&ports, |port| port.number) {
        return Err(Rejected::because(format!("has port {} twice", twice.number)).under("ports"));
    }
    let undeclared = reader.port_policy(wire.undeclared, "undeclared", closed.as_deref());
    let health = reader.health_checks(wire.health);
    let not_understood = reader.not_understood;
    Ok(Decoded { inbound: Inbound { workload, identity, zone, ports, undeclared }, health, not_understood })
}

struct Reader<'w> {
    workload: &'w ObjectRef,
    identity: &'w SpiffeId,
    policies: Vec<Arc<AuthorizationPolicy>>,
    not_understood: Vec<Rejected>,
}

impl Reader<'_> {
    fn port(
        &mut self,
        wire: v1::InboundPort,
        index: usize,
        closed: Option<&str>,
    ) -> Result<InboundPort, Rejected> {
        let number = port(wire.number).named("number")?;
        let here = format!("ports[{index}]");
        // A protocol nobody knows is bytes: then rules about requests deny what they deny and allow nothing.
        let protocol = protocol(wire.protocol).unwrap_or_else(|rejected| {
            self.not_understood.push(rejected.under("protocol").under(&here));
            AppProtocol::Opaque
        });
        Ok(InboundPort {
            number,
            protocol,
            address: set(&wire.address).map(parsed).transpose().named("address")?,
            policy: self.port_policy(wire.policy, &format!("{here}.policy"), closed),
        })
    }

    /// Never fails: what is missing or dangling becomes a policy that denies.
    fn port_policy(&mut self, wire: Option<v1::PortPolicy>, here: &str, closed: Option<&str>) -> PortPolicy {
        let mut doubts: Vec<Rejected> = Vec::new();
        let wire = wire.unwrap_or_else(|| {
            doubts.push(Rejected::because("is missing"));
            v1::PortPolicy::default()
        });
        let mtls = match v1::MtlsMode::try_from(wire.mtls) {
            Ok(v1::MtlsMode::Permissive) => MtlsMode::Permissive,
            Ok(v1::MtlsMode::Strict) => MtlsMode::Strict,
            Err(_) => {
                self.not_understood.push(unknown("mode", wire.mtls).under("mtls").under(here));
                MtlsMode::Strict
            }
        };
        let trust_domain = parsed(&wire.trust_domain).named("trust_domain").unwrap_or_else(|rejected| {
            doubts.push(rejected);
            let own = self.identity.trust_domain().parse::<TrustDomain>();
            own.expect("an identity begins with a trust domain")
        });
        let mut policies = Vec::new();
        for &index in wire.policies.iter().take(MAX_LIST) {
            match usize::try_from(index).ok().and_then(|index| self.policies.get(index)) {
                Some(policy) => policies.push(Arc::clone(policy)),
                None => {
                    doubts.push(Rejected::because(format!("there is no policy {index}")).under("policies"))
                }
            }
        }
        if wire.policies.len() > MAX_LIST {
            doubts.push(Rejected::because("has too many entries").under("policies"));
        }
        if let Some(what) = doubts.first().map(Rejected::to_string).or_else(|| closed.map(str::to_owned)) {
            policies.push(Arc::new(denies(self.workload.clone(), &what)));
        }
        self.not_understood.extend(doubts.into_iter().map(|rejected| rejected.under(here)));
        PortPolicy {
            mtls,
            // Only a reason's wording hangs on it.
            mtls_origin: wire.mtls_origin.and_then(|origin| object(origin).ok()),
            trust_domain,
            policies,
        }
    }

    /// Never fails: a check that cannot be made must not keep a policy from being enforced.
    fn health_checks(&mut self, wire: Vec<v1::HealthCheck>) -> Vec<HealthCheck> {
        let mut checks = Vec::new();
        for (index, wire) in wire.into_iter().take(MAX_HEALTH_CHECKS).enumerate() {
            match health_check(wire) {
                Ok(check) => checks.push(check),
                Err(rejected) => self.not_understood.push(rejected.at(index).under("health")),
            }
        }
        checks.sort_by_key(|check| check.port);
        checks
    }

    /// Never fails: what cannot be read denies, under the policy's own name where that can be read.
    fn policy(
        &mut self,
        wire: v1::AuthorizationPolicy,
        index: usize,
        patterns: &mut Patterns,
    ) -> AuthorizationPolicy {
        let origin =
            wire.origin.as_ref().map_or_else(|| self.workload.clone(), |wire| self.named_or_own(wire));
        authorization(wire, patterns).unwrap_or_else(|rejected| {
            let policy = denies(origin, &rejected.to_string());
            self.not_understood.push(rejected.at(index).under("policies"));
            policy
        })
    }

    /// The policy's own name, whatever its kind is called these days; else the workload that it protects.
    fn named_or_own(&self, wire: &v1::ObjectRef) -> ObjectRef {
        match (segment(&wire.namespace), segment(&wire.name)) {
            (Ok(namespace), Ok(name)) => ObjectRef { kind: Kind::AuthorizationPolicy, namespace, name },
            _ => self.workload.clone(),
        }
    }
}

/// A policy that denies all it applies to.
fn denies(origin: ObjectRef, not_understood: &str) -> AuthorizationPolicy {
    AuthorizationPolicy {
        origin,
        action: Action::Deny,
        rules: Vec::new(),
        not_understood: Some(not_understood.into()),
    }
}

fn authorization(
    wire: v1::AuthorizationPolicy,
    patterns: &mut Patterns,
) -> Result<AuthorizationPolicy, Rejected> {
    let action = match v1::Action::try_from(wire.action) {
        Ok(v1::Action::Allow) => Action::Allow,
        Ok(v1::Action::Deny) => Action::Deny,
        Ok(v1::Action::Audit) => Action::Audit,
        Ok(v1::Action::Unspecified) | Err(_) => {
            return Err(unknown("kind of action", wire.action).under("action"));
        }
    };
    Ok(AuthorizationPolicy {
        origin: required("origin", wire.origin, object)?,
        action,
        rules: list("rules", wire.rules, |rule| {
            Ok(AuthorizationRule {
                from: list("from", rule.from, source)?,
                to: list("to", rule.to, |operation| operation_match(operation, patterns))?,
            })
        })?,
        not_understood: optional_text(&wire.not_understood).named("not_understood")?,
    })
}

fn source(wire: v1::SourceMatch) -> Result<SourceMatch, Rejected> {
    Ok(SourceMatch {
        identities: list("identities", &wire.identities, |id| parsed(id))?,
        namespaces: list("namespaces", &wire.namespaces, |namespace| segment(namespace))?,
        cidrs: list("cidrs", &wire.cidrs, |cidr| parsed(cidr))?,
    })
}

fn operation_match(wire: v1::OperationMatch, patterns: &mut Patterns) -> Result<OperationMatch, Rejected> {
    Ok(OperationMatch {
        methods: list("methods", &wire.methods, |method| {
            let sound = http::Method::from_bytes(text(method)?.as_bytes()).is_ok();
            if sound { Ok(method.as_str().into()) } else { Err(Rejected::because("is not an HTTP method")) }
        })?,
        paths: list("paths", wire.paths, |path| path_pattern(path, patterns))?,
        headers: list("headers", wire.headers, |header| {
            Ok(HeaderCondition {
                name: header_name(&header.name).named("name")?,
                values: list("values", header.values, |value| patterns.string_match(value))?,
            })
        })?,
    })
}

fn path_pattern(wire: v1::PathPattern, patterns: &mut Patterns) -> Result<PathPattern, Rejected> {
    use v1::path_pattern::Kind;
    match wire.kind {
        Some(Kind::Exact(path)) => text(&path).named("exact").map(|path| PathPattern::Exact(path.into())),
        Some(Kind::Prefix(prefix)) => path_prefix(&prefix).named("prefix").map(PathPattern::Prefix),
        Some(Kind::Regex(regex)) => patterns.pattern(regex).named("regex").map(PathPattern::Regex),
        None => Err(Rejected::because("is of a kind that this build does not know")),
    }
}

fn health_check(wire: v1::HealthCheck) -> Result<HealthCheck, Rejected> {
    use v1::health_check::Kind;
    let probe = match wire.kind {
        Some(Kind::Tcp(_)) => Probe::Tcp,
        Some(Kind::Http(v1::HttpCheck { path })) if path.starts_with('/') => {
            Probe::Http { path: text(&path).named("http.path")?.into() }
        }
        Some(Kind::Http(_)) => {
            return Err(Rejected::because("does not begin with a slash").under("http.path"));
        }
        Some(Kind::Grpc(v1::GrpcCheck { service })) => {
            Probe::Grpc { service: text(&service).named("grpc.service")?.into() }
        }
        None => return Err(Rejected::because("is of a kind that this build does not know")),
    };
    let threshold =
        |threshold: u32| if threshold == 0 { Err(Rejected::because("is 0")) } else { Ok(threshold) };
    let above_zero = |wire| {
        duration(wire).and_then(|time| if time.is_zero() { Err(Rejected::because("is 0")) } else { Ok(time) })
    };
    Ok(HealthCheck {
        port: port(wire.port).named("port")?,
        probe,
        interval: required("interval", wire.interval, above_zero)?,
        timeout: required("timeout", wire.timeout, above_zero)?,
        healthy_threshold: threshold(wire.healthy_threshold).named("healthy_threshold")?,
        unhealthy_threshold: threshold(wire.unhealthy_threshold).named("unhealthy_threshold")?,
    })
}

/// More checks of one application than anybody makes.
const MAX_HEALTH_CHECKS: usize = 256;
