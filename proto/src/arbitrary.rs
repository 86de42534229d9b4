//! Any policy value there can be, for property tests. What comes out upholds what the types document: sorted
//! where they say so, canonical where they say so. Texts are drawn from short lists where their content does not
//! matter, so that collisions (one address, one host, one policy twice) are common and not a rarity.

mod routes;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use proptest::sample::select;
use weft_policy::authorize::{
    Action, AuthorizationPolicy, AuthorizationRule, HeaderCondition, MtlsMode, OperationMatch, PathPattern,
    PortPolicy, SourceMatch,
};
use weft_policy::breaker::BreakerConfig;
use weft_policy::deadline::Timeouts;
use weft_policy::endpoint::{Balance, Endpoint, EndpointSet, HashKey, Health, Limits};
use weft_policy::health::{HealthCheck, Probe};
use weft_policy::identity::{SpiffeId, TrustDomain};
use weft_policy::object::{Kind, ObjectRef, ServiceName, ServicePort};
use weft_policy::protocol::AppProtocol;
use weft_policy::retry::{BudgetConfig, Retry};
use weft_policy::route::path::{Pattern, StringMatch};
use weft_policy::route::{RouteKind, RouteTable, Routes};
use weft_policy::snapshot::{Inbound, InboundPort, Pod, Port, Service, Traffic};

use crate::field::MAX_SECONDS;
use crate::trust::Trust;
use crate::value::{Enforced, Value};

use routes::route;

pub(crate) fn a_service_port() -> ServicePort {
    ServicePort::new("shop", "api", 8080)
}

/// One resource of any type.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        trust().prop_map(|trust| Value::Trust(trust.into())),
        enforced().prop_map(|enforced| Value::Inbound(enforced.into())),
        endpoints().prop_map(|set| Value::Endpoints(set.into())),
        service().prop_map(|service| Value::Service(service.into())),
        routes().prop_map(|routes| Value::Routes(routes.into())),
    ]
}

pub(crate) fn trust() -> impl Strategy<Value = Trust> {
    let blobs = |most| prop::collection::vec(prop::collection::vec(any::<u8>(), 1..most), 0..4);
    (trust_domain(), any::<u64>(), blobs(100), blobs(20), prop::collection::vec(identity(), 0..4)).prop_map(
        |(domain, sequence, anchors, denied_serials, denied_identities)| {
            Trust { domain, sequence, anchors, denied_serials, denied_identities }.sorted()
        },
    )
}

pub(crate) fn enforced() -> impl Strategy<Value = Enforced> {
    (inbound(), prop::collection::vec(health_check(), 0..3)).prop_map(|(inbound, mut health)| {
        health.sort_by_key(|check| check.port);
        health.dedup_by_key(|check| check.port);
        Enforced { inbound: inbound.into(), health }
    })
}

pub(crate) fn inbound() -> impl Strategy<Value = Inbound> {
    let ports = prop::collection::vec((inbound_port(), picks()), 0..4);
    let policies = prop::collection::vec(authorization().prop_map(Arc::new), 0..5);
    (object(), identity(), zone(), ports, (port_policy(), picks()), policies).prop_map(
        |(workload, identity, zone, ports, undeclared, mut policies)| {
            policies.sort_by(|a, b| a.origin.cmp(&b.origin));
            policies.dedup_by(|a, b| a.origin == b.origin);
            let with = |mut policy: PortPolicy, picks: Vec<bool>| {
                let picked = policies.iter().zip(picks).filter(|(_, picked)| *picked);
                policy.policies = picked.map(|(policy, _)| Arc::clone(policy)).collect();
                policy
            };
            let mut ports: Vec<_> = ports
                .into_iter()
                .map(|(port, picks)| InboundPort { policy: with(port.policy, picks), ..port })
                .collect();
            ports.sort_by_key(|port| port.number);
            ports.dedup_by_key(|port| port.number);
            Inbound { workload, identity, zone, ports, undeclared: with(undeclared.0, undeclared.1) }
        },
    )
}

pub(crate) fn authorization() -> impl Strategy<Value = AuthorizationPolicy> {
    let rule = (prop::collection::vec(source(), 0..3), prop::collection::vec(operation(), 0..3))
        .prop_map(|(from, to)| AuthorizationRule { from, to });
    let not_understood = prop::option::weighted(0.2, text("[ -~]{1,20}"));
    (object(), select(&Action::ALL[..]), prop::collection::vec(rule, 0..3), not_understood).prop_map(
        |(origin, action, rules, not_understood)| AuthorizationPolicy {
            origin,
            action,
            rules,
            not_understood,
        },
    )
}

pub(crate) fn endpoints() -> impl Strategy<Value = EndpointSet> {
    (service_port(), prop::collection::vec(endpoint(), 0..12)).prop_map(|(of, mut endpoints)| {
        endpoints.sort_by_key(|endpoint| endpoint.addr);
        endpoints.dedup_by_key(|endpoint| endpoint.addr);
        EndpointSet::new(of, endpoints)
    })
}

pub(crate) fn service() -> impl Strategy<Value = Service> {
    let vips = prop::collection::btree_set(ip(), 0..3);
    let hosts = prop::collection::btree_set(host(), 0..4);
    let ports = prop::collection::vec(service_port_entry(), 0..4);
    (service_name(), vips, hosts, ports, prop::option::of(pod())).prop_map(
        |(name, vips, hosts, mut ports, pod)| {
            ports.sort_by_key(|port| port.number);
            ports.dedup_by_key(|port| port.number);
            let (vips, hosts) = (vips.into_iter().collect(), hosts.into_iter().collect());
            Service { name, vips, hosts, ports, pod: pod.map(Box::new) }
        },
    )
}

pub(crate) fn routes() -> impl Strategy<Value = Routes> {
    let kind = select(&[RouteKind::Http, RouteKind::Grpc][..]);
    let table = (kind, prop::collection::vec(route(), 0..4)).prop_map(|(kind, mut routes)| {
        routes.sort_by(|a, b| a.origin.cmp(&b.origin));
        routes.dedup_by(|a, b| a.origin == b.origin);
        RouteTable::new(kind, routes)
    });
    (service_name(), prop::collection::btree_map(port(), table, 0..3))
        .prop_map(|(service, ports)| Routes { service, ports: ports.into_iter().collect() })
}

// ── parts, in the order of the schema ──────────────────────────────────────────────────────────────────

fn text(pattern: &'static str) -> impl Strategy<Value = Arc<str>> {
    pattern.prop_map(Arc::from)
}

fn segment() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![select(&["shop", "api", "web"][..]).prop_map(Arc::from), text("[a-z][a-z0-9.-]{0,20}")]
}

fn object() -> impl Strategy<Value = ObjectRef> {
    (select(&Kind::ALL[..]), segment(), segment()).prop_map(|(kind, namespace, name)| ObjectRef {
        kind,
        namespace,
        name,
    })
}

pub(crate) fn service_name() -> impl Strategy<Value = ServiceName> {
    // Namespaces called ip and host are not reachable by this strategy's pattern often enough to matter, and
    // must not be: they read as aliases.
    (segment(), segment())
        .prop_filter("reads as an alias", |(namespace, _)| !matches!(&**namespace, "ip" | "host"))
        .prop_map(|(namespace, name)| ServiceName { namespace, name })
}

fn service_port() -> impl Strategy<Value = ServicePort> {
    (service_name(), port()).prop_map(|(service, port)| ServicePort { service, port })
}

fn trust_domain() -> impl Strategy<Value = TrustDomain> {
    "[a-z0-9._-]{1,20}".prop_map(|name| name.parse().unwrap())
}

fn identity() -> impl Strategy<Value = SpiffeId> {
    (trust_domain(), segment(), segment())
        .prop_filter_map("no identity", |(domain, ns, sa)| SpiffeId::workload(&domain, &ns, &sa).ok())
}

fn pod() -> impl Strategy<Value = Pod> {
    (segment(), ip(), identity(), zone())
        .prop_map(|(name, addr, identity, zone)| Pod::new(name, addr, identity, zone))
}

fn zone() -> impl Strategy<Value = Option<Arc<str>>> {
    prop::option::of(text("[a-c]"))
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![select(&[80u16, 443, 8080][..]), 1..=u16::MAX]
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![(0u8..8).prop_map(|n| IpAddr::from([10, 0, 0, n])), any::<IpAddr>()]
}

fn addr() -> impl Strategy<Value = SocketAddr> {
    (ip(), port()).prop_map(SocketAddr::from)
}

fn host() -> impl Strategy<Value = Arc<str>> {
    text("[a-z0-9_][a-z0-9_-]{0,8}(\\.[a-z0-9-]{1,8}){0,3}")
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        (0u64..100_000).prop_map(Duration::from_millis),
        (0..MAX_SECONDS, 0u32..1_000_000_000).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos)),
    ]
}

fn pattern() -> impl Strategy<Value = Pattern> {
    select(&["", "a+", "/v[0-9]+/.*", "(?i)x|y", "[^/]{1,20}", "é"][..])
        .prop_map(|text| Pattern::new(text).unwrap())
}

fn string_match() -> impl Strategy<Value = StringMatch> {
    prop_oneof![text("\\PC{0,12}").prop_map(StringMatch::Exact), pattern().prop_map(StringMatch::Regex)]
}

fn header_name() -> impl Strategy<Value = HeaderName> {
    prop_oneof![
        select(&["x-user", "accept", "content-type"][..]).prop_map(HeaderName::from_static),
        "[a-z][a-z0-9-]{0,10}".prop_map(|name| name.parse().unwrap()),
    ]
}

fn header_value() -> impl Strategy<Value = HeaderValue> {
    prop::collection::vec(prop_oneof![0x20u8..0x7f, 0x80u8..=0xff], 0..10)
        .prop_map(|bytes| HeaderValue::from_bytes(&bytes).unwrap())
}

fn path() -> impl Strategy<Value = Arc<str>> {
    text("(/[a-z0-9._~%-]{0,6}){1,4}")
}

fn prefix() -> impl Strategy<Value = Arc<str>> {
    text("(/[a-z0-9._-]{1,6}){0,3}")
}

fn method() -> impl Strategy<Value = Method> {
    select(&["GET", "POST", "PURGE", "get"][..])
        .prop_map(|method| Method::from_bytes(method.as_bytes()).unwrap())
}

fn protocol() -> impl Strategy<Value = AppProtocol> {
    select(&AppProtocol::ALL[..])
}

fn picks() -> impl Strategy<Value = Vec<bool>> {
    prop::collection::vec(any::<bool>(), 5)
}

fn port_policy() -> impl Strategy<Value = PortPolicy> {
    (select(&[MtlsMode::Strict, MtlsMode::Permissive][..]), prop::option::of(object()), trust_domain())
        .prop_map(|(mtls, mtls_origin, trust_domain)| PortPolicy {
            mtls,
            mtls_origin,
            trust_domain,
            policies: Vec::new(),
        })
}

fn inbound_port() -> impl Strategy<Value = InboundPort> {
    (port(), protocol(), prop::option::of(addr()), port_policy())
        .prop_map(|(number, protocol, address, policy)| InboundPort { number, protocol, address, policy })
}

fn source() -> impl Strategy<Value = SourceMatch> {
    let cidr = (any::<IpAddr>(), 0u8..=32).prop_map(|(ip, len)| ipnet::IpNet::new(ip, len).unwrap());
    (
        prop::collection::vec(identity(), 0..3),
        prop::collection::vec(segment(), 0..3),
        prop::collection::vec(cidr, 0..3),
    )
        .prop_map(|(identities, namespaces, cidrs)| SourceMatch { identities, namespaces, cidrs })
}

fn operation() -> impl Strategy<Value = OperationMatch> {
    let paths = prop_oneof![
        path().prop_map(PathPattern::Exact),
        prefix().prop_map(PathPattern::Prefix),
        pattern().prop_map(PathPattern::Regex),
    ];
    let header = (header_name(), prop::collection::vec(string_match(), 0..3))
        .prop_map(|(name, values)| HeaderCondition { name, values });
    (
        prop::collection::vec(method().prop_map(|method| method.as_str().into()), 0..3),
        prop::collection::vec(paths, 0..3),
        prop::collection::vec(header, 0..3),
    )
        .prop_map(|(methods, paths, headers)| OperationMatch { methods, paths, headers })
}

fn health_check() -> impl Strategy<Value = HealthCheck> {
    let probe = prop_oneof![
        Just(Probe::Tcp),
        path().prop_map(|path| Probe::Http { path }),
        text("[a-z.]{0,10}").prop_map(|service| Probe::Grpc { service }),
    ];
    let time = || duration().prop_map(|time| time + Duration::from_millis(1));
    (port(), probe, time(), time(), 1u32..10, 1u32..10).prop_map(
        |(port, probe, interval, timeout, healthy_threshold, unhealthy_threshold)| HealthCheck {
            port,
            probe,
            interval,
            timeout,
            healthy_threshold,
            unhealthy_threshold,
        },
    )
}

fn service_port_entry() -> impl Strategy<Value = Port> {
    (port(), text("[a-z]{0,5}"), protocol(), traffic()).prop_map(|(number, name, protocol, traffic)| Port {
        number,
        name,
        protocol,
        traffic: traffic.into(),
    })
}

fn traffic() -> impl Strategy<Value = Traffic> {
    let budget = (any::<u32>(), any::<u32>(), duration())
        .prop_map(|(percent, min_per_second, window)| BudgetConfig { percent, min_per_second, window });
    let limits = any::<[u32; 3]>().prop_map(|[max_connections, max_pending, max_requests]| Limits {
        max_connections,
        max_pending,
        max_requests,
    });
    (prop::option::of(object()), balance(), timeouts(), retry(), budget, breaker(), limits).prop_map(
        |(origin, balance, timeouts, retry, budget, breaker, limits)| Traffic {
            origin,
            balance,
            timeouts,
            retry,
            budget,
            breaker,
            limits,
        },
    )
}

fn balance() -> impl Strategy<Value = Balance> {
    prop_oneof![
        Just(Balance::PeakEwma),
        Just(Balance::LeastRequest),
        Just(Balance::RoundRobin),
        Just(Balance::Random),
        Just(Balance::RingHash(HashKey::SourceAddr)),
        header_name().prop_map(|name| Balance::RingHash(HashKey::Header(name))),
    ]
}

fn breaker() -> impl Strategy<Value = BreakerConfig> {
    (any::<u32>(), 0.0..=1.0, duration(), any::<u32>(), duration(), duration()).prop_map(
        |(consecutive_failures, min_success_rate, window, min_requests, open_for, max_open_for)| {
            BreakerConfig {
                consecutive_failures,
                min_success_rate,
                window,
                min_requests,
                open_for,
                max_open_for,
            }
        },
    )
}

fn timeouts() -> impl Strategy<Value = Timeouts> {
    (prop::option::of(duration()), prop::option::of(duration()))
        .prop_map(|(request, backend_request)| Timeouts { request, backend_request })
}

fn retry() -> impl Strategy<Value = Retry> {
    (
        any::<u32>(),
        prop::collection::btree_set(400u16..=599, 0..4),
        prop::collection::btree_set(0u8..=16, 0..4),
        any::<[bool; 3]>(),
        duration(),
        duration(),
    )
        .prop_map(
            |(attempts, statuses, codes, [on_timeout, on_reset, non_idempotent], backoff, max_backoff)| {
                Retry {
                    attempts,
                    statuses: statuses.into_iter().collect(),
                    grpc_codes: codes.into_iter().collect(),
                    on_timeout,
                    on_reset,
                    non_idempotent,
                    backoff,
                    max_backoff,
                }
            },
        )
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let target_port = select(&[8080u16, 9090][..]);
    (
        segment(),
        addr(),
        target_port,
        prop::option::of(identity()),
        zone(),
        1u32..=1_000_000,
        select(&Health::ALL[..]),
    )
        .prop_map(|(name, addr, target_port, identity, zone, weight, health)| Endpoint {
            name,
            addr,
            target_port,
            identity,
            zone,
            weight,
            health,
        })
}
