//! A small shop to decide about: `api` in front of `api-v1` and `api-v2`, as a client's proxy sees it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method};

use crate::endpoint::{Endpoint, EndpointSet, Health};
use crate::facts::{Destination, Facts, Request, Source};
use crate::live::{Experience, InUse, Live};
use crate::moment::Moment;
use crate::object::{Kind, ObjectRef, ServiceName, ServicePort};
use crate::protocol::AppProtocol;
use crate::route::filter::Filter;
use crate::route::path::PathMatch;
use crate::route::{Backend, BackendRef, InvalidBackend, Match, Route, RouteKind, RouteTable, Routes, Rule};
use crate::snapshot::{Port, Service, Snapshot, Traffic};

/// `api` at 10.96.0.1, `api-v1` at .2, `api-v2` at .3, each with ports 80 and 81, and two endpoints a port.
pub(crate) fn shop(traffic: &Traffic) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (at, name) in (1u8..).zip(["api", "api-v1", "api-v2"]) {
        let service = ServiceName::new("shop", name);
        let port = |number: u16, protocol| Port {
            number,
            name: if number == 80 { "http".into() } else { "".into() },
            protocol,
            traffic: Arc::new(traffic.clone()),
        };
        let vip = [10, 96, 0, at].into();
        let host: Arc<str> = format!("{name}.shop").into();
        snapshot.vips.insert(vip, service.clone());
        snapshot.hosts.insert(Arc::clone(&host), service.clone());
        for number in [80, 81] {
            let of = ServicePort { service: service.clone(), port: number };
            let endpoints = (1u8..=2)
                .map(|pod| Endpoint {
                    name: format!("{name}-{pod}").into(),
                    addr: SocketAddr::from(([10, 1, at, pod], number)),
                    target_port: number,
                    identity: None,
                    zone: None,
                    weight: 1,
                    health: Health::Healthy,
                })
                .collect();
            snapshot.endpoints.insert(of.clone(), Arc::new(EndpointSet::new(of, endpoints)));
        }
        let ports = vec![port(80, AppProtocol::Http1), port(81, AppProtocol::Opaque)];
        let service = Service { name: service, vips: vec![vip], hosts: vec![host], ports, pod: None };
        snapshot.services.insert(service.name.clone(), Arc::new(service));
    }
    snapshot
}

/// Gives `api:80` one route with these rules.
pub(crate) fn routed(mut snapshot: Snapshot, rules: Vec<Rule>) -> Snapshot {
    let origin = ObjectRef::new(Kind::HttpRoute, "shop", "api");
    let table =
        RouteTable::new(RouteKind::Http, vec![Route { origin, created: 0, hosts: Vec::new(), rules }]);
    let service = ServiceName::new("shop", "api");
    let routes = Routes { service: service.clone(), ports: vec![(80, table)] };
    snapshot.routes.insert(service, Arc::new(routes));
    snapshot
}

/// A rule for a path prefix.
pub(crate) fn rule(prefix: &str, backends: Vec<Backend>) -> Rule {
    let path = PathMatch::Prefix(prefix.trim_end_matches('/').into());
    Rule { matches: vec![Match { path, ..Match::default() }], backends, ..Rule::default() }
}

/// A backend in a word: `api-v1=90`, with `!` for one that leads nowhere.
pub(crate) fn backend(text: &str) -> Backend {
    let (name, weight) = text.split_once('=').unwrap();
    let to = match name.strip_prefix('!') {
        Some(name) => BackendRef::Invalid {
            name: format!("Service shop/{name}:80").into(),
            why: InvalidBackend::BackendNotFound,
        },
        None => BackendRef::Service(ServicePort::new("shop", name, 80)),
    };
    Backend { weight: weight.parse().unwrap(), to, filters: Vec::<Filter>::new() }
}

/// `GET /path` to an address, or opaque bytes.
pub(crate) struct Call {
    to: SocketAddr,
    path: Option<String>,
    headers: HeaderMap,
}

impl Call {
    /// `10.96.0.1:80/cart`, without a path for opaque bytes.
    pub(crate) fn new(text: &str) -> Self {
        let (to, path) =
            text.split_once('/').map_or((text, None), |(to, path)| (to, Some(format!("/{path}"))));
        Self { to: to.parse().unwrap(), path, headers: HeaderMap::new() }
    }

    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            source: Source { identity: None, addr: Some([10, 1, 9, 9].into()) },
            destination: Destination::Addr(self.to),
            request: self.path.as_deref().map(|path| Request {
                method: &Method::GET,
                host: "whatever.example",
                path,
                query: None,
                headers: &self.headers,
                grpc: false,
            }),
        }
    }
}

/// A proxy that has this much under way to every backend, and these breakers open.
#[derive(Default)]
pub(crate) struct Busy {
    pub(crate) in_use: InUse,
    pub(crate) open: BTreeSet<SocketAddr>,
    pub(crate) turn: Cell<u64>,
}

impl Live for Busy {
    fn endpoint(&self, endpoint: &Endpoint, _: Moment) -> Experience {
        Experience { admits: !self.open.contains(&endpoint.addr), ..Experience::NONE }
    }

    fn in_use(&self, _: &ServicePort) -> InUse {
        self.in_use
    }

    fn turn(&self, _: &EndpointSet) -> u64 {
        self.turn.get()
    }
}
