//! A decision allocates nothing: counted, not believed.
//!
//! A binary of its own with a single test, because the counter sees every thread of its process.

#![expect(clippy::unwrap_used, reason = "a test; the setting that says so knows only `#[test]` functions")]

use std::alloc::System;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use weft_policy::authorize::{
    Action, AuthorizationPolicy, AuthorizationRule, HeaderCondition, MtlsMode, OperationMatch, PathPattern,
    PortPolicy, SourceMatch,
};
use weft_policy::breaker::{Breaker, BreakerConfig, Outcome};
use weft_policy::decide::{Outbound, inbound, outbound};
use weft_policy::draw::Draw;
use weft_policy::endpoint::load::Ewma;
use weft_policy::endpoint::{Balance, Endpoint, EndpointSet, HashKey, Health, pick};
use weft_policy::facts::{Destination, Facts, Request, Source};
use weft_policy::identity::SpiffeId;
use weft_policy::live::Nothing;
use weft_policy::moment::Moment;
use weft_policy::object::{Kind, ObjectRef, ServiceName, ServicePort};
use weft_policy::protocol::AppProtocol;
use weft_policy::retry::{Attempt, Budget, BudgetConfig, Failure, Replay, Retry, next};
use weft_policy::route::header::{HeaderMatch, QueryMatch};
use weft_policy::route::path::{PathMatch, StringMatch};
use weft_policy::route::{Backend, BackendRef, Match, Route, RouteKind, RouteTable, Routes, Rule};
use weft_policy::snapshot::{Inbound, Port, Service, Snapshot, Traffic};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations while `decide` runs a thousand times. What the harness's own thread allocates meanwhile is in one round of
/// five, and not in all.
fn allocations(mut decide: impl FnMut()) -> Option<usize> {
    decide(); // what a first call may set up (a regular expression's cache) is not counted
    let round = |_| {
        let region = Region::new(COUNTED);
        for _ in 0..1000 {
            decide();
        }
        let change = region.change();
        change.allocations + change.reallocations
    };
    (0..5).map(round).min()
}

fn exact(value: &str) -> StringMatch {
    StringMatch::Exact(value.into())
}

fn id(account: &str) -> SpiffeId {
    SpiffeId::workload(&"weft.local".parse().unwrap(), "shop", account).unwrap()
}

/// A hundred routes of one service; each asks for a path, a header, a query parameter and splits two ways.
fn routes() -> Routes {
    let service = ServiceName::new("shop", "api");
    let backend = |weight| Backend {
        weight,
        to: BackendRef::Service(ServicePort { service: service.clone(), port: 80 }),
        filters: Vec::new(),
    };
    let route = |at: usize| Route {
        origin: ObjectRef::new(Kind::HttpRoute, "shop", &format!("route-{at}")),
        created: 0,
        hosts: Vec::new(),
        rules: vec![Rule {
            matches: vec![Match {
                path: PathMatch::Prefix(format!("/path/{at}").into()),
                method: Some(Method::GET),
                headers: vec![HeaderMatch { name: "x-version".parse().unwrap(), value: exact("a,b") }],
                query: vec![QueryMatch { name: "q".into(), value: exact("one two") }],
            }],
            backends: vec![backend(90), backend(10)],
            ..Rule::default()
        }],
    };
    let table = RouteTable::new(RouteKind::Http, (0..100).map(route).collect());
    Routes { service: service.clone(), ports: vec![(80, table)] }
}

/// Twenty policies, none of which lets `shop/caller` in but the last.
fn policies() -> Vec<Arc<AuthorizationPolicy>> {
    let one = |at: usize| {
        let from = SourceMatch {
            identities: vec![id(&format!("other-{at}"))],
            namespaces: vec!["shop".into()],
            cidrs: vec!["10.0.0.0/8".parse().unwrap()],
        };
        let to = OperationMatch {
            methods: vec!["GET".into()],
            paths: vec![PathPattern::Prefix("/path".into())],
            headers: vec![HeaderCondition {
                name: "x-version".parse().unwrap(),
                values: vec![exact("a"), exact("b")],
            }],
        };
        let last = AuthorizationRule { from: vec![], to: vec![to.clone()] };
        let rule = AuthorizationRule { from: vec![from], to: vec![to] };
        Arc::new(AuthorizationPolicy {
            origin: ObjectRef::new(Kind::AuthorizationPolicy, "shop", &format!("policy-{at}")),
            action: if at.is_multiple_of(3) { Action::Deny } else { Action::Allow },
            rules: if at == 19 { vec![rule, last] } else { vec![rule] },
            not_understood: None,
        })
    };
    (0..20).map(one).collect()
}

fn snapshot() -> Snapshot {
    let service = ServiceName::new("shop", "api");
    let port = Port {
        number: 80,
        name: "http".into(),
        protocol: AppProtocol::Http1,
        traffic: Arc::new(Traffic::default()),
    };
    let vip = [10, 96, 0, 1].into();
    let mut snapshot = Snapshot::default();
    snapshot.vips.insert(vip, service.clone());
    snapshot.hosts.insert("api.shop".into(), service.clone());
    snapshot.routes.insert(service.clone(), Arc::new(routes()));
    let front = Service {
        name: service.clone(),
        vips: vec![vip],
        hosts: vec!["api.shop".into()],
        ports: vec![port],
        pod: None,
    };
    snapshot.services.insert(service, Arc::new(front));
    let undeclared = PortPolicy {
        mtls: MtlsMode::Strict,
        mtls_origin: None,
        trust_domain: "weft.local".parse().unwrap(),
        policies: policies(),
    };
    let workload = ObjectRef::new(Kind::Workload, "shop", "api");
    snapshot.inbound =
        Some(Arc::new(Inbound { workload, identity: id("api"), zone: None, ports: Vec::new(), undeclared }));
    snapshot
}

fn endpoints(count: u8) -> EndpointSet {
    let endpoint = |at: u8| Endpoint {
        name: "pod".into(),
        addr: SocketAddr::from(([10, 1, 0, at], 4143)),
        target_port: 8080,
        identity: None,
        zone: None,
        weight: 1 + u32::from(at % 2),
        health: Health::Healthy,
    };
    EndpointSet::new(ServicePort::new("shop", "api", 80), (0..count).map(endpoint).collect())
}

#[test]
fn a_decision_allocates_nothing() {
    assert_eq!(allocations(|| drop(black_box(vec![1u8]))), Some(1000), "the counter counts");
    let snapshot = snapshot();
    let mut headers = HeaderMap::new();
    headers.append("x-version", "a".parse().unwrap());
    headers.append("x-version", "b".parse().unwrap());
    let caller = id("caller");
    let facts = |destination| Facts {
        source: Source { identity: Some(&caller), addr: Some([10, 2, 0, 1].into()) },
        destination,
        request: Some(Request {
            method: &Method::GET,
            host: "api.shop",
            path: "/path/99/and/more",
            query: Some("p=1&q=one%20two"),
            headers: &headers,
            grpc: false,
        }),
    };
    let by_name = facts(Destination::Name { host: "api.shop", port: 80 });
    let by_addr = facts(Destination::Addr(SocketAddr::from(([10, 96, 0, 1], 80))));
    let now = Moment::START;
    let mut draw = Draw::from_seed(1);

    for facts in [&by_name, &by_addr] {
        let first = outbound(&snapshot, &Nothing, facts, now, &mut draw);
        let Outbound::Forward(forward) = &first else { panic!("{first:?}") };
        assert_eq!(&*forward.matched.unwrap().route.origin.name, "route-99");
        let counted = allocations(|| drop(black_box(outbound(&snapshot, &Nothing, facts, now, &mut draw))));
        assert_eq!(counted, Some(0), "outbound, a hundred routes");
        assert!(inbound(&snapshot, facts, 8080).is_allowed());
        let counted = allocations(|| {
            let _ = black_box(inbound(&snapshot, facts, 8080));
        });
        assert_eq!(counted, Some(0), "inbound, twenty policies");
    }

    let set = endpoints(100);
    let tried = [set.endpoints()[3].addr];
    for balance in [
        Balance::PeakEwma,
        Balance::LeastRequest,
        Balance::RoundRobin,
        Balance::Random,
        Balance::RingHash(HashKey::SourceAddr),
    ] {
        let key = HashKey::SourceAddr.of(&by_addr);
        let counted = allocations(|| {
            let picked = pick(&set, &balance, &Nothing, key, &tried, now, &mut draw);
            black_box(&picked).as_ref().unwrap();
        });
        assert_eq!(counted, Some(0), "pick, {balance:?}");
    }

    let (ewma, breaker, budget) = (Ewma::default(), Breaker::default(), Budget::default());
    let (config, budget_config, retry) =
        (BreakerConfig::default(), BudgetConfig::default(), Retry::default());
    let replay = Replay { idempotent: true, body_replayable: true };
    let attempt = Attempt { number: 1, failure: Failure::ConnectFailed, replay, deadline: None };
    let counted = allocations(|| {
        budget.record_request(&budget_config, now);
        if let Some(permit) = breaker.begin(&config, now) {
            black_box(breaker.record(permit, Outcome::Failure, &config, now, &mut draw));
        }
        ewma.record(std::time::Duration::from_millis(3), now);
        let _ = black_box(next(&retry, &budget, &budget_config, &attempt, now, &mut draw));
    });
    assert_eq!(counted, Some(0), "what follows a try");
}
