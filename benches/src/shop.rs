//! A shop of any size: routes, policies and endpoints by number.

use std::net::SocketAddr;
use std::sync::Arc;

use weft_policy::authorize::{
    Action, AuthorizationPolicy, AuthorizationRule, MtlsMode, OperationMatch, PathPattern, PortPolicy,
    SourceMatch,
};
use weft_policy::endpoint::{Endpoint, EndpointSet, Health};
use weft_policy::identity::SpiffeId;
use weft_policy::object::{Kind, ObjectRef, ServiceName, ServicePort};
use weft_policy::protocol::AppProtocol;
use weft_policy::route::path::PathMatch;
use weft_policy::route::{Backend, BackendRef, Match, Route, RouteKind, RouteTable, Routes, Rule};
use weft_policy::snapshot::{Port, Service, Snapshot, Traffic};

/// The address of the one service there is.
pub const VIP: [u8; 4] = [10, 96, 0, 1];

/// A service `shop/api:80` with so many routes: two thirds by prefix `/path/<n>`, a third by exact path
/// `/exact/<n>`, each split two ways.
#[must_use]
pub fn with_routes(count: usize) -> Snapshot {
    let service = ServiceName::new("shop", "api");
    let port = Port {
        number: 80,
        name: "http".into(),
        protocol: AppProtocol::Http1,
        traffic: Arc::new(Traffic::default()),
    };
    let backend = |weight| Backend {
        weight,
        to: BackendRef::Service(ServicePort { service: service.clone(), port: 80 }),
        filters: Vec::new(),
    };
    let route = |at: usize| {
        let path = if at % 3 == 1 {
            PathMatch::Exact(format!("/exact/{at}").into())
        } else {
            PathMatch::Prefix(format!("/path/{at}").into())
        };
        Route {
            origin: ObjectRef::new(Kind::HttpRoute, "shop", &format!("route-{at}")),
            created: 0,
            hosts: Vec::new(),
            rules: vec![Rule {
                matches: vec![Match { path, ..Match::default() }],
                backends: vec![backend(90), backend(10)],
                ..Rule::default()
            }],
        }
    };
    let table = RouteTable::new(RouteKind::Http, (0..count).map(route).collect());
    let mut snapshot = Snapshot::default();
    snapshot.vips.insert(VIP.into(), service.clone());
    snapshot
        .routes
        .insert(service.clone(), Arc::new(Routes { service: service.clone(), ports: vec![(80, table)] }));
    let api = Service {
        name: service.clone(),
        vips: vec![VIP.into()],
        hosts: Vec::new(),
        ports: vec![port],
        pod: None,
    };
    snapshot.services.insert(service, Arc::new(api));
    snapshot
}

/// The identity `shop/<account>`.
///
/// # Panics
/// If `account` is not a path segment.
#[must_use]
pub fn identity(account: &str) -> SpiffeId {
    let domain = "weft.local".parse().expect("a literal trust domain");
    SpiffeId::workload(&domain, "shop", account).expect("a path segment")
}

/// Allow policies with so many rules in all, ten a policy; each rule lets one account ask for one path. Only the
/// very last lets `caller` in.
///
/// # Panics
/// Never: every name in it is well formed.
#[must_use]
pub fn with_rules(count: usize) -> PortPolicy {
    let rule = |at: usize| {
        let account = if at + 1 == count { "caller".to_owned() } else { format!("other-{at}") };
        AuthorizationRule {
            from: vec![SourceMatch { identities: vec![identity(&account)], ..SourceMatch::default() }],
            to: vec![OperationMatch {
                methods: vec!["GET".into()],
                paths: vec![PathPattern::Prefix("/path".into())],
                headers: Vec::new(),
            }],
        }
    };
    let rules: Vec<AuthorizationRule> = (0..count).map(rule).collect();
    let policy = |(at, rules): (usize, &[AuthorizationRule])| {
        Arc::new(AuthorizationPolicy {
            origin: ObjectRef::new(Kind::AuthorizationPolicy, "shop", &format!("policy-{at}")),
            action: Action::Allow,
            rules: rules.to_vec(),
            not_understood: None,
        })
    };
    PortPolicy {
        mtls: MtlsMode::Strict,
        mtls_origin: None,
        trust_domain: "weft.local".parse().expect("a literal trust domain"),
        policies: rules.chunks(10).enumerate().map(policy).collect(),
    }
}

/// So many healthy endpoints of even weight.
#[must_use]
pub fn endpoints(count: u32) -> EndpointSet {
    let endpoint = |at: u32| Endpoint {
        name: format!("api-{at}").into(),
        addr: SocketAddr::from((std::net::Ipv4Addr::from_bits(0x0A01_0000 + at), 4143)),
        target_port: 8080,
        identity: None,
        zone: None,
        weight: 1,
        health: Health::Healthy,
    };
    EndpointSet::new(ServicePort::new("shop", "api", 80), (0..count).map(endpoint).collect())
}
