//! Services and how to send to what is behind them.

use std::sync::Arc;

use weft_policy::breaker::BreakerConfig;
use weft_policy::endpoint::{Balance, HashKey, Limits};
use weft_policy::retry::BudgetConfig;
use weft_policy::snapshot::{Pod, Port, Service, Traffic};

use super::{header_name, in_order, object, protocol, repeated, retry, service_name, timeouts};
use crate::field::{Named, Rejected, bounded, duration, list, optional, parsed, port, required, set, text};
use crate::name::is_host;
use crate::v1;

/// Reads a Service.
///
/// # Errors
/// The first field that is wrong, or a port that stands there twice.
pub fn service(wire: v1::Service) -> Result<Service, Rejected> {
    let mut ports: Vec<Port> = bounded("ports", wire.ports, usize::from(u16::MAX), service_port)?;
    ports.sort_by_key(|port| port.number);
    if let Some(twice) = repeated(&ports, |port| port.number) {
        return Err(Rejected::because(format!("has port {} twice", twice.number)).under("ports"));
    }
    Ok(Service {
        name: required("name", wire.name, service_name)?,
        vips: in_order(list("vips", &wire.vips, |vip| parsed(vip))?),
        hosts: in_order(list("hosts", &wire.hosts, |name| host(name))?),
        ports,
        pod: optional("pod", wire.pod, pod)?.map(Box::new),
    })
}

/// A host name in the form in which requests are matched against it.
pub(super) fn host(wire: &str) -> Result<Arc<str>, Rejected> {
    if !is_host(wire) || wire.ends_with('.') || wire.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(Rejected::because("is not a host name in lower case, without port and trailing dot"));
    }
    Ok(wire.into())
}

/// One without an identity would be called by nobody knows whom.
fn pod(wire: v1::Pod) -> Result<Pod, Rejected> {
    let zone = set(&wire.zone).map(text).transpose().named("zone")?.map(Arc::from);
    let name = text(&wire.name).named("name")?.into();
    let addr = parsed(&wire.addr).named("addr")?;
    Ok(Pod::new(name, addr, parsed(&wire.identity).named("identity")?, zone))
}

fn service_port(wire: v1::Port) -> Result<Port, Rejected> {
    Ok(Port {
        number: port(wire.number).named("number")?,
        name: text(&wire.name).named("name")?.into(),
        protocol: protocol(wire.protocol).named("protocol")?,
        traffic: required("traffic", wire.traffic, traffic)?.into(),
    })
}

fn traffic(wire: v1::Traffic) -> Result<Traffic, Rejected> {
    Ok(Traffic {
        origin: optional("origin", wire.origin, object)?,
        balance: required("balance", wire.balance, balance)?,
        timeouts: optional("timeouts", wire.timeouts, timeouts)?.unwrap_or_default(),
        retry: required("retry", wire.retry, retry)?,
        budget: required("budget", wire.budget, budget)?,
        breaker: required("breaker", wire.breaker, breaker)?,
        limits: required("limits", wire.limits, |limits| {
            Ok(Limits {
                max_connections: limits.max_connections,
                max_pending: limits.max_pending,
                max_requests: limits.max_requests,
            })
        })?,
    })
}

fn balance(wire: v1::Balance) -> Result<Balance, Rejected> {
    use v1::balance::Kind;
    use v1::ring_hash::Key;
    let not_known = || Rejected::because("is of a kind that this build does not know");
    Ok(match wire.kind.ok_or_else(not_known)? {
        Kind::PeakEwma(_) => Balance::PeakEwma,
        Kind::LeastRequest(_) => Balance::LeastRequest,
        Kind::RoundRobin(_) => Balance::RoundRobin,
        Kind::Random(_) => Balance::Random,
        Kind::RingHash(v1::RingHash { key }) => {
            Balance::RingHash(match key.ok_or_else(|| not_known().under("ring_hash"))? {
                Key::Header(name) => HashKey::Header(header_name(&name).named("ring_hash.header")?),
                Key::SourceAddr(_) => HashKey::SourceAddr,
            })
        }
    })
}

fn budget(wire: v1::Budget) -> Result<BudgetConfig, Rejected> {
    Ok(BudgetConfig {
        percent: wire.percent,
        min_per_second: wire.min_per_second,
        window: required("window", wire.window, duration)?,
    })
}

fn breaker(wire: v1::Breaker) -> Result<BreakerConfig, Rejected> {
    // Not a number is in no range.
    if !(0.0..=1.0).contains(&wire.min_success_rate) {
        let detail = format!("{} is not a share from 0 to 1", wire.min_success_rate);
        return Err(Rejected::because(detail).under("min_success_rate"));
    }
    Ok(BreakerConfig {
        consecutive_failures: wire.consecutive_failures,
        min_success_rate: wire.min_success_rate,
        window: required("window", wire.window, duration)?,
        min_requests: wire.min_requests,
        open_for: required("open_for", wire.open_for, duration)?,
        max_open_for: required("max_open_for", wire.max_open_for, duration)?,
    })
}
