//! Services: the frontend of the Gateway API's mesh model, and how to send to what is behind it.

use std::net::IpAddr;

use weft_policy::endpoint::{Balance, HashKey};
use weft_policy::snapshot::{Pod, Port, Service, Traffic};

use super::{duration, object, protocol, retry, service_name, sorted, timeouts};
use crate::v1;

/// A Service as its clients see it.
#[must_use]
pub fn service(service: &Service) -> v1::Service {
    let mut ports: Vec<_> = service.ports.iter().collect();
    ports.sort_by_key(|port| port.number);
    v1::Service {
        name: Some(service_name(&service.name)),
        vips: sorted(service.vips.iter()).into_iter().map(IpAddr::to_string).collect(),
        hosts: sorted(service.hosts.iter()).into_iter().map(|host| host.as_ref().into()).collect(),
        ports: ports.into_iter().map(port).collect(),
        pod: service.pod.as_deref().map(pod),
    }
}

fn pod(pod: &Pod) -> v1::Pod {
    let Pod { name, addr, identity, zone, elsewhere: _ } = pod;
    v1::Pod {
        name: name.as_ref().into(),
        addr: addr.to_string(),
        identity: identity.as_str().into(),
        zone: zone.as_deref().unwrap_or_default().into(),
    }
}

fn port(port: &Port) -> v1::Port {
    v1::Port {
        number: port.number.into(),
        name: port.name.as_ref().into(),
        protocol: protocol(port.protocol).into(),
        traffic: Some(traffic(&port.traffic)),
    }
}

fn traffic(traffic: &Traffic) -> v1::Traffic {
    let Traffic { origin, balance: how, timeouts: waits, retry: again, budget, breaker, limits } = traffic;
    v1::Traffic {
        origin: origin.as_ref().map(object),
        balance: Some(balance(how)),
        timeouts: timeouts(*waits),
        retry: Some(retry(again)),
        budget: Some(v1::Budget {
            percent: budget.percent,
            min_per_second: budget.min_per_second,
            window: Some(duration(budget.window)),
        }),
        breaker: Some(v1::Breaker {
            consecutive_failures: breaker.consecutive_failures,
            // Adding zero turns -0.0, which equals 0.0, into its bytes.
            min_success_rate: breaker.min_success_rate + 0.0,
            window: Some(duration(breaker.window)),
            min_requests: breaker.min_requests,
            open_for: Some(duration(breaker.open_for)),
            max_open_for: Some(duration(breaker.max_open_for)),
        }),
        limits: Some(v1::Limits {
            max_connections: limits.max_connections,
            max_pending: limits.max_pending,
            max_requests: limits.max_requests,
        }),
    }
}

fn balance(balance: &Balance) -> v1::Balance {
    use v1::balance::Kind;
    use v1::ring_hash::Key;
    let kind = match balance {
        Balance::PeakEwma => Kind::PeakEwma(v1::Empty {}),
        Balance::LeastRequest => Kind::LeastRequest(v1::Empty {}),
        Balance::RoundRobin => Kind::RoundRobin(v1::Empty {}),
        Balance::Random => Kind::Random(v1::Empty {}),
        Balance::RingHash(key) => Kind::RingHash(v1::RingHash {
            key: Some(match key {
                HashKey::Header(name) => Key::Header(name.as_str().into()),
                HashKey::SourceAddr => Key::SourceAddr(v1::Empty {}),
            }),
        }),
    };
    v1::Balance { kind: Some(kind) }
}
