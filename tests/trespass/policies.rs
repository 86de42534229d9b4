//! Policies that look at paths, each with what it means: which resources it keeps a caller from.

use std::sync::Arc;

use weft_policy::authorize::{
    Action, AuthorizationPolicy, AuthorizationRule, MtlsMode, OperationMatch, PathPattern, PortPolicy,
    authorize,
};
use weft_policy::decide::{Outbound, outbound};
use weft_policy::draw::Draw;
use weft_policy::facts::{Destination, Facts, Request, Source};
use weft_policy::identity::SpiffeId;
use weft_policy::live::Nothing;
use weft_policy::moment::Moment;
use weft_policy::object::{Kind, ObjectRef, ServiceName, ServicePort};
use weft_policy::protocol::AppProtocol;
use weft_policy::route::path::{PathMatch, Pattern};
use weft_policy::route::{Backend, BackendRef, Match, Route, RouteKind, RouteTable, Routes, Rule};
use weft_policy::snapshot::{Port, Service, Snapshot, Traffic};

use crate::servers::Resource;

/// One policy, and its meaning.
pub(crate) struct Meant {
    pub(crate) name: &'static str,
    how: How,
    /// Whether the resource is one that it keeps the caller from.
    pub(crate) denies: fn(&Resource) -> bool,
    /// Whether every refusal of a path that all servers read alike is one of a resource that it denies. An expression
    /// is asked about two spellings, so that it may refuse more.
    pub(crate) is_exact: bool,
}

enum How {
    Authorization(PortPolicy),
    Route(Snapshot),
}

impl Meant {
    /// Whether a request with this canonical path goes on.
    pub(crate) fn passes(&self, path: &str) -> bool {
        let headers = http::HeaderMap::new();
        let web: SpiffeId = "spiffe://weft.local/ns/shop/sa/web".parse().expect("an identity");
        let facts = Facts {
            source: Source { identity: Some(&web), addr: None },
            destination: Destination::Name { host: "api", port: 80 },
            request: Some(Request {
                method: &http::Method::GET,
                host: "api",
                path,
                query: None,
                headers: &headers,
                grpc: false,
            }),
        };
        match &self.how {
            How::Authorization(policy) => authorize(policy, &facts).is_allowed(),
            How::Route(snapshot) => {
                let decision = outbound(snapshot, &Nothing, &facts, Moment::START, &mut Draw::from_seed(1));
                matches!(decision, Outbound::Forward(_))
            }
        }
    }
}

/// All that are tried.
pub(crate) fn all() -> Vec<Meant> {
    use Action::{Allow, Deny};
    let exact = |path: &str| PathPattern::Exact(path.into());
    let prefix = |path: &str| PathPattern::Prefix(path.into());
    let regex = |text: &str| PathPattern::Regex(Pattern::new(text).expect("an expression"));
    let one = |name, action, pattern, denies, is_exact| Meant {
        name,
        how: How::Authorization(port(vec![policy(action, pattern)])),
        denies,
        is_exact,
    };
    vec![
        one("allow /public/*", Allow, prefix("/public"), |found| !under(found, &["public"]), true),
        one("deny /admin", Deny, exact("/admin"), |found| is(found, &["admin"]), true),
        one("deny /admin/*", Deny, prefix("/admin"), |found| under(found, &["admin"]), true),
        one(
            "allow /public/index",
            Allow,
            exact("/public/index"),
            |found| !is(found, &["public", "index"]),
            true,
        ),
        one("deny /joe@x", Deny, exact("/joe@x"), |found| is(found, &["joe@x"]), true),
        one(
            "deny /public/caf\u{e9}",
            Deny,
            exact("/public/caf\u{e9}"),
            |found| is(found, &["public", "caf\u{e9}"]),
            true,
        ),
        one("deny ~/adm[^/]*(/.*)?", Deny, regex("/adm[^/]*(/.*)?"), |found| begins(found, b"adm"), false),
        one("allow ~/public/[^@]*", Allow, regex("/public/[^@]*"), is_without_at, false),
        Meant {
            name: "allow /public/* and deny /public/secret/*",
            how: How::Authorization(port(vec![
                policy(Allow, prefix("/public")),
                policy(Deny, prefix("/public/secret")),
            ])),
            denies: |found| !under(found, &["public"]) || under(found, &["public", "secret"]),
            is_exact: true,
        },
        Meant {
            name: "route /public",
            how: How::Route(routed("/public")),
            denies: |found| !under(found, &["public"]),
            is_exact: true,
        },
    ]
}

fn is(found: &Resource, wanted: &[&str]) -> bool {
    found.iter().map(Vec::as_slice).eq(wanted.iter().map(|segment| segment.as_bytes()))
}

fn under(found: &Resource, wanted: &[&str]) -> bool {
    found.get(..wanted.len()).is_some_and(|found| is(&found.to_vec(), wanted))
}

fn begins(found: &Resource, with: &[u8]) -> bool {
    found.first().is_some_and(|first| first.starts_with(with))
}

fn is_without_at(found: &Resource) -> bool {
    !under(found, &["public"]) || found.len() < 2 || found.iter().any(|segment| segment.contains(&b'@'))
}

fn policy(action: Action, pattern: PathPattern) -> Arc<AuthorizationPolicy> {
    let to = OperationMatch { paths: vec![pattern], ..OperationMatch::default() };
    Arc::new(AuthorizationPolicy {
        origin: ObjectRef::new(Kind::AuthorizationPolicy, "shop", action.as_str()),
        action,
        rules: vec![AuthorizationRule { from: Vec::new(), to: vec![to] }],
        not_understood: None,
    })
}

fn port(policies: Vec<Arc<AuthorizationPolicy>>) -> PortPolicy {
    let trust_domain = "weft.local".parse().expect("a trust domain");
    PortPolicy { mtls: MtlsMode::Strict, mtls_origin: None, trust_domain, policies }
}

/// The Service `api`, of which only what is under a prefix is routed anywhere.
fn routed(prefix: &str) -> Snapshot {
    let service = ServiceName::new("shop", "api");
    let path = PathMatch::Prefix(prefix.into());
    let to = BackendRef::Service(ServicePort { service: service.clone(), port: 80 });
    let rule = Rule {
        matches: vec![Match { path, ..Match::default() }],
        backends: vec![Backend { weight: 1, to, filters: Vec::new() }],
        ..Rule::default()
    };
    let origin = ObjectRef::new(Kind::HttpRoute, "shop", "public");
    let table = RouteTable::new(
        RouteKind::Http,
        vec![Route { origin, created: 0, hosts: Vec::new(), rules: vec![rule] }],
    );
    let port = Port {
        number: 80,
        name: "".into(),
        protocol: AppProtocol::Http1,
        traffic: Arc::new(Traffic::default()),
    };
    let routes = Routes { service: service.clone(), ports: vec![(80, table)] };
    Snapshot {
        hosts: [("api".into(), service.clone())].into(),
        services: [(
            service.clone(),
            Arc::new(Service {
                name: service.clone(),
                vips: Vec::new(),
                hosts: vec!["api".into()],
                ports: vec![port],
                pod: None,
            }),
        )]
        .into(),
        routes: [(service, Arc::new(routes))].into(),
        ..Snapshot::default()
    }
}
