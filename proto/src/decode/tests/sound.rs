//! A message of each kind in which every field is set, to be spoiled one field at a time.

use crate::v1::*;

fn name() -> Option<ServiceName> {
    Some(ServiceName { namespace: "shop".into(), name: "api".into() })
}

fn origin(kind: Kind) -> Option<ObjectRef> {
    Some(ObjectRef { kind: kind.into(), namespace: "shop".into(), name: "api".into() })
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn retry() -> Retry {
    Retry {
        attempts: 2,
        statuses: vec![503],
        backoff: seconds(1),
        max_backoff: seconds(2),
        ..Retry::default()
    }
}

pub(super) fn trust() -> Trust {
    Trust {
        trust_domain: "weft.local".into(),
        sequence: 3,
        anchor_der: vec![vec![0x30, 0x00]],
        denied_serial: vec![vec![7]],
        denied_identity: vec!["spiffe://weft.local/ns/shop/sa/old".into()],
    }
}

pub(super) fn endpoints() -> Endpoints {
    let endpoint = |last| Endpoint {
        addr: vec![10, 0, 0, last, 0x1f, 0x90],
        name: format!("api-{last}"),
        weight: 1,
        health: Health::Healthy.into(),
    };
    Endpoints {
        of: Some(ServicePort { service: name(), port: 80 }),
        groups: vec![EndpointGroup {
            identity: "spiffe://weft.local/ns/shop/sa/api".into(),
            zone: "a".into(),
            target_port: 8080,
            endpoints: vec![endpoint(1), endpoint(2)],
        }],
    }
}

pub(super) fn service() -> Service {
    let traffic = Traffic {
        origin: origin(Kind::TrafficPolicy),
        balance: Some(Balance {
            kind: Some(balance::Kind::RingHash(RingHash {
                key: Some(ring_hash::Key::Header("x-user".into())),
            })),
        }),
        timeouts: Some(Timeouts { request: seconds(15), backend_request: seconds(0) }),
        retry: Some(retry()),
        budget: Some(Budget { percent: 20, min_per_second: 10, window: seconds(10) }),
        breaker: Some(Breaker {
            consecutive_failures: 7,
            min_success_rate: 0.5,
            window: seconds(10),
            min_requests: 10,
            open_for: seconds(1),
            max_open_for: seconds(60),
        }),
        limits: Some(Limits::default()),
    };
    let port =
        Port { number: 80, name: "http".into(), protocol: AppProtocol::Http1.into(), traffic: Some(traffic) };
    Service {
        name: name(),
        vips: vec!["10.96.0.7".into()],
        hosts: vec!["api.shop".into()],
        ports: vec![port],
        pod: None,
    }
}

pub(super) fn routes() -> Routes {
    let edit = HeaderEdit {
        set: vec![Header { name: "x-a".into(), value: b"1".to_vec() }],
        add: vec![Header { name: "x-b".into(), value: b"2".to_vec() }],
        remove: vec!["x-c".into()],
    };
    let redirect = Redirect {
        scheme: "https".into(),
        host: "example.com".into(),
        port: 443,
        path: Some(PathEdit { kind: Some(path_edit::Kind::Full("/new".into())) }),
        status: 301,
    };
    let rewrite = Rewrite {
        host: "api.internal".into(),
        path: Some(PathEdit {
            kind: Some(path_edit::Kind::Prefix(PrefixEdit { matched: "/v1".into(), with: "/".into() })),
        }),
    };
    let filter = |kind| Filter { kind: Some(kind) };
    let regex = |text: &str| Some(StringMatch { kind: Some(string_match::Kind::Regex(text.into())) });
    let rule = Rule {
        name: "main".into(),
        matches: vec![
            Match {
                path: Some(r#match::Path::Prefix("/v1".into())),
                method: "GET".into(),
                headers: vec![HeaderMatch { name: "x-user".into(), value: regex("[a-z]+") }],
                query: vec![HeaderMatch { name: "q".into(), value: regex(".*") }],
            },
            Match {
                path: Some(r#match::Path::Grpc(GrpcMethod { service: regex("shop\\..*"), method: None })),
                ..Match::default()
            },
        ],
        filters: vec![
            filter(filter::Kind::RequestHeaders(edit)),
            filter(filter::Kind::Redirect(redirect)),
            filter(filter::Kind::Rewrite(rewrite)),
        ],
        backends: vec![
            Backend {
                weight: 90,
                to: Some(backend::To::Service(ServicePort { service: name(), port: 80 })),
                filters: vec![],
            },
            Backend {
                weight: 10,
                to: Some(backend::To::Invalid(InvalidBackend {
                    name: "Service shop/v3:80".into(),
                    why: invalid_backend::Why::BackendNotFound.into(),
                })),
                filters: vec![],
            },
        ],
        timeouts: None,
        retry: Some(retry()),
    };
    let route = Route {
        origin: origin(Kind::HttpRoute),
        created: 1,
        hosts: vec!["*.example.com".into()],
        rules: vec![rule],
    };
    Routes {
        service: name(),
        ports: vec![PortRoutes { port: 80, kind: RouteKind::Http.into(), routes: vec![route] }],
    }
}

pub(super) fn inbound() -> Inbound {
    let policy = AuthorizationPolicy {
        origin: origin(Kind::AuthorizationPolicy),
        action: Action::Allow.into(),
        rules: vec![AuthorizationRule {
            from: vec![SourceMatch {
                identities: vec!["spiffe://weft.local/ns/shop/sa/web".into()],
                namespaces: vec!["shop".into()],
                cidrs: vec!["10.0.0.0/8".into()],
            }],
            to: vec![OperationMatch {
                methods: vec!["GET".into()],
                paths: vec![PathPattern { kind: Some(path_pattern::Kind::Prefix("/v1".into())) }],
                headers: vec![HeaderCondition {
                    name: "x-user".into(),
                    values: vec![StringMatch { kind: Some(string_match::Kind::Exact("a".into())) }],
                }],
            }],
        }],
        not_understood: String::new(),
    };
    let policies = |policies| PortPolicy {
        mtls: MtlsMode::Permissive.into(),
        mtls_origin: origin(Kind::AuthenticationPolicy),
        trust_domain: "weft.local".into(),
        policies,
    };
    Inbound {
        workload: origin(Kind::Workload),
        identity: "spiffe://weft.local/ns/shop/sa/api".into(),
        zone: "a".into(),
        ports: vec![InboundPort {
            number: 8080,
            protocol: AppProtocol::Http1.into(),
            address: "127.0.0.1:8080".into(),
            policy: Some(policies(vec![0])),
        }],
        undeclared: Some(policies(vec![])),
        policies: vec![policy],
        health: vec![HealthCheck {
            port: 8080,
            kind: Some(health_check::Kind::Http(HttpCheck { path: "/ready".into() })),
            interval: seconds(10),
            timeout: seconds(1),
            healthy_threshold: 2,
            unhealthy_threshold: 3,
        }],
    }
}
