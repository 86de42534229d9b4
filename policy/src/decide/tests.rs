//! What becomes of a call, by row; the sentences are those of the Gateway API and of GAMMA (GEP-1294, GEP-1324).

use std::sync::Arc;
use std::time::Duration;

use super::scenario::{Busy, Call, backend, routed, rule, shop};
use super::*;
use crate::endpoint::Limits;
use crate::identity::SpiffeId;
use crate::live::{InUse, Nothing};
use crate::object::{Kind, ObjectRef, ServiceName};
use crate::protocol::AppProtocol;
use crate::route::Rule;
use crate::route::filter::{HeaderEdit, Rewrite};
use crate::snapshot::Pod;

/// What became of it, in a word.
fn told(outbound: &Outbound<'_>) -> String {
    match outbound {
        Outbound::Forward(forward) => forward.to.to_string(),
        Outbound::Redirect { to, .. } => format!("redirect {}", to.status.as_u16()),
        Outbound::Refuse { refusal, .. } => refusal.answer().token.to_owned(),
        Outbound::Unknown => "unknown".to_owned(),
    }
}

#[track_caller]
fn becomes(snapshot: &Snapshot, call: &str, want: &str) {
    let call_to = Call::new(call);
    for seed in 0..32 {
        let got = outbound(snapshot, &Nothing, &call_to.facts(), Moment::START, &mut Draw::from_seed(seed));
        assert_eq!(told(&got), want, "{call}, seed {seed}");
    }
}

fn backends(text: &str) -> Vec<Backend> {
    text.split_whitespace().map(backend).collect()
}

fn filtered(filters: Vec<Filter>) -> Rule {
    Rule { filters, ..rule("/", backends("api-v1=1")) }
}

#[test]
fn a_service_without_routes_is_its_own_backend_and_what_is_no_service_is_unknown() {
    let snapshot = shop(&Traffic::default());
    for (call, want) in [
        ("10.96.0.1:80/cart", "shop/api:80"),
        ("10.96.0.1:80", "shop/api:80"),
        ("10.96.0.1:81", "shop/api:81"),
        ("10.96.0.1:82/cart", "unknown_destination"), // a ClusterIP has no other ports
        ("10.1.1.1:80/cart", "unknown"), // a pod: traffic to pod IPs bypasses routes (MeshFrontend)
        ("192.0.2.1:443", "unknown"),
    ] {
        becomes(&snapshot, call, want);
    }
}

#[test]
fn a_pod_that_is_called_by_its_own_address_is_one_endpoint_at_every_port() {
    let mut snapshot = shop(&Traffic::default());
    let (name, ip) = (ServiceName::new("shop", "db-0.pod"), [10, 1, 8, 8].into());
    let identity: SpiffeId = "spiffe://weft.local/ns/shop/sa/db".parse().unwrap();
    let pod = Pod::new("db-0".into(), ip, identity.clone(), None);
    let port =
        Port { number: 5432, name: "pg".into(), protocol: AppProtocol::Opaque, traffic: Arc::default() };
    let (vips, hosts, ports) = (vec![ip], Vec::new(), vec![port]);
    let service = Service { name: name.clone(), vips, hosts, ports, pod: Some(Box::new(pod)) };
    snapshot.vips.insert(ip, name.clone());
    snapshot.services.insert(name, Arc::new(service));
    for (call, port, protocol) in
        [("10.1.8.8:5432", 5432, AppProtocol::Opaque), ("10.1.8.8:9999/x", 9999, AppProtocol::Detect)]
    {
        becomes(&snapshot, call, &format!("shop/db-0.pod:{port}"));
        let call_to = Call::new(call);
        let decided = outbound(&snapshot, &Nothing, &call_to.facts(), Moment::START, &mut Draw::from_seed(1));
        let Outbound::Forward(forward) = decided else { panic!("{call}") };
        assert_eq!(forward.port.protocol, protocol, "{call}");
        let set = snapshot.endpoints_of(&forward.to).unwrap();
        let [one] = set.endpoints() else { panic!("{call}") };
        assert_eq!((one.addr, one.target_port), ((ip, port).into(), port), "{call}");
        assert_eq!(one.identity.as_ref(), Some(&identity), "never in the clear: {call}");
    }
    assert!(snapshot.endpoints_of(&ServicePort::new("shop", "nobody", 80)).is_none());
}

#[test]
fn a_path_that_servers_read_in_different_ways_passes_where_all_readings_fall_under_one_rule() {
    let rules = vec![rule("/admin", backends("api=1")), rule("/objects", backends("api-v1=1"))];
    let snapshot = routed(shop(&Traffic::default()), rules);
    for (call, want) in [
        ("10.96.0.1:80/objects/a%2Fb;v=1//c", "shop/api-v1:80"),
        ("10.96.0.1:80/objects%2Fa", "ambiguous_path"), // without a rule, or under the second
        ("10.96.0.1:80/objects/..%2Fadmin", "ambiguous_path"),
        ("10.96.0.1:80/objects/..;/admin", "ambiguous_path"),
        ("10.96.0.1:80/objects/%252e%252e/admin", "ambiguous_path"),
        ("10.96.0.1:80//admin", "ambiguous_path"),
        ("10.96.0.1:80/other/a%2Fb", "no_route"),
        // Another port, without routes.
        ("10.96.0.1:81/objects/..%2Fadmin", "shop/api:81"),
    ] {
        becomes(&snapshot, call, want);
    }
    let all = routed(shop(&Traffic::default()), vec![rule("/", backends("api-v1=1"))]);
    becomes(&all, "10.96.0.1:80/objects/..%2Fadmin", "shop/api-v1:80");
    // A key of 1024 bytes is read; what is much longer is not worth the time.
    for (length, told_apart, not) in
        [(1024, "shop/api-v1:80", "shop/api-v1:80"), (20_000, "ambiguous_path", "shop/api-v1:80")]
    {
        let call = format!("10.96.0.1:80/objects/{}", "%2F".repeat(length));
        becomes(&snapshot, &call, told_apart);
        becomes(&all, &call, not);
    }
}

#[test]
fn a_route_replaces_the_services_own_routing() {
    let to_v1 = rule("/cart", backends("api-v1=1"));
    let snapshot = routed(shop(&Traffic::default()), vec![to_v1]);
    for (call, want) in [
        // Matched by ClusterIP and port, whatever Host says (MeshClusterIPMatching).
        ("10.96.0.1:80/cart", "shop/api-v1:80"),
        // "Unmatched requests get 404", not the service itself.
        ("10.96.0.1:80/other", "no_route"),
        // Opaque bytes have nothing that a rule could look at.
        ("10.96.0.1:80", "shop/api:80"),
        // Routes hold for the parent's port only, and not for its backends when called directly.
        ("10.96.0.1:81", "shop/api:81"),
        ("10.96.0.2:80/other", "shop/api-v1:80"),
    ] {
        becomes(&snapshot, call, want);
    }
    // "A route whose backendRef is its own parent does not loop."
    let own = routed(shop(&Traffic::default()), vec![rule("/", backends("api=1"))]);
    becomes(&own, "10.96.0.1:80/x", "shop/api:80");
    // A backend's own routes do not apply: v1 is reached through its endpoints.
    let mut chained = routed(shop(&Traffic::default()), vec![rule("/", backends("api-v1=1"))]);
    let again = chained.routes.values().next().unwrap().clone();
    chained.routes.insert(ServiceName::new("shop", "api-v1"), again);
    becomes(&chained, "10.96.0.1:80/x", "shop/api-v1:80");
}

#[test]
fn backends_that_lead_nowhere_take_their_share_and_no_more() {
    for (written, want) in [
        ("api-v1=1 !gone=0", "shop/api-v1:80"), // weight 0 must not break the rest
        ("api-v1=0 api-v2=5", "shop/api-v2:80"),
        ("!gone=1", "invalid_backend"),
        ("api-v1=0", "invalid_backend"), // all weights zero: 500
        ("api-v1=0 !gone=0", "invalid_backend"),
        ("", "invalid_backend"),     // backendRefs omitted: 500
        ("api-v9=1", "no_endpoint"), // not in this snapshot: 503, never an older one
    ] {
        becomes(
            &routed(shop(&Traffic::default()), vec![rule("/", backends(written))]),
            "10.96.0.1:80/x",
            want,
        );
    }
    let half = routed(shop(&Traffic::default()), vec![rule("/", backends("api-v1=1 !gone=3"))]);
    let call = Call::new("10.96.0.1:80/x");
    let mut draw = Draw::from_seed(9);
    let refused = (0..4000).filter(|_| {
        let got = outbound(&half, &Nothing, &call.facts(), Moment::START, &mut draw);
        matches!(got, Outbound::Refuse { refusal: Refusal::InvalidBackend, .. })
    });
    let refused = refused.count();
    assert!(refused.abs_diff(3000) < 120, "{refused} of 4000, for exactly its share of 3 in 4");
}

#[test]
fn a_missing_port_of_a_backend_is_a_backend_without_endpoints() {
    let mut to = backend("api-v1=1");
    to.to = BackendRef::Service(ServicePort::new("shop", "api-v1", 99));
    becomes(&routed(shop(&Traffic::default()), vec![rule("/", vec![to])]), "10.96.0.1:80/x", "no_endpoint");
}

#[test]
fn filters_answer_before_anything_is_sent_and_unknown_ones_first() {
    let redirect = || {
        Filter::Redirect(Redirect {
            scheme: None,
            host: None,
            port: None,
            path: None,
            status: http::StatusCode::FOUND,
        })
    };
    let unknown = || Filter::Unsupported("ExtensionRef x".into());
    let shop = || shop(&Traffic::default());
    let case = |rule: Rule, want| becomes(&routed(shop(), vec![rule]), "10.96.0.1:80/x", want);
    case(filtered(vec![redirect()]), "redirect 302");
    // "An unresolvable ExtensionRef: error response, never skip."
    case(filtered(vec![unknown()]), "unsupported_filter");
    case(filtered(vec![redirect(), unknown()]), "unsupported_filter");
    // A redirect needs no backends.
    case(Rule { filters: vec![redirect()], ..rule("/", Vec::new()) }, "redirect 302");
    // Per-backend filters follow the pick.
    let mut backends = backends("api-v1=1 api-v2=0");
    backends[1].filters.push(unknown());
    case(rule("/", backends.clone()), "shop/api-v1:80");
    backends[0].filters.push(unknown());
    case(rule("/", backends), "unsupported_filter");
}

#[test]
fn a_rules_filters_come_before_its_backends() {
    let edit = |name: &'static str| {
        let remove = vec![http::HeaderName::from_static(name)];
        Filter::RequestHeaders(HeaderEdit { remove, ..HeaderEdit::default() })
    };
    let mut of_backend = backend("api-v1=1");
    of_backend.filters = vec![edit("c"), Filter::Rewrite(Rewrite::default())];
    let filters = vec![edit("a"), edit("b")];
    let snapshot = routed(shop(&Traffic::default()), vec![Rule { filters, ..rule("/", vec![of_backend]) }]);
    let call = Call::new("10.96.0.1:80/x");
    let got = outbound(&snapshot, &Nothing, &call.facts(), Moment::START, &mut Draw::from_seed(0));
    let Outbound::Forward(forward) = got else { panic!("{got:?}") };
    let want = [edit("a"), edit("b"), edit("c"), Filter::Rewrite(Rewrite::default())];
    assert_eq!(forward.filters().cloned().collect::<Vec<_>>(), want);
}

#[test]
fn a_rule_completes_its_timeouts_from_the_backend_and_replaces_its_retry() {
    let second = Duration::from_secs(1);
    let policy = ObjectRef::new(Kind::TrafficPolicy, "shop", "slow");
    let timeouts = Timeouts { request: Some(second * 9), backend_request: Some(second * 3) };
    let traffic = Traffic {
        origin: Some(policy),
        timeouts,
        retry: Retry { attempts: 7, ..Retry::default() },
        ..Traffic::default()
    };
    let own = Retry { attempts: 1, ..Retry::default() };
    let plain = rule("/plain", backends("api-v1=1"));
    let short = Timeouts { request: Some(second), backend_request: None };
    let special = Rule { timeouts: short, retry: Some(own), ..rule("/special", backends("api-v1=1")) };
    let snapshot = routed(shop(&traffic), vec![plain, special]);
    for (path, request, attempts) in [("plain", 9, 7), ("special", 1, 1)] {
        let call = Call::new(&format!("10.96.0.1:80/{path}"));
        let got = outbound(&snapshot, &Nothing, &call.facts(), Moment::START, &mut Draw::from_seed(0));
        let Outbound::Forward(forward) = got else { panic!("{got:?}") };
        let want = Timeouts { request: Some(second * request), backend_request: Some(second * 3) };
        assert_eq!((forward.timeouts, forward.retry.attempts), (want, attempts), "{path}");
    }
}

#[test]
fn what_is_over_a_limit_is_refused_at_once() {
    let limits = Limits { max_connections: 2, max_pending: 3, max_requests: 4 };
    let snapshot = shop(&Traffic { limits, ..Traffic::default() });
    let in_use = |connections, pending, requests| InUse { connections, pending, requests };
    for (call, in_use, want) in [
        ("10.96.0.1:80/x", in_use(2, 2, 3), "shop/api:80"),
        ("10.96.0.1:80/x", in_use(0, 0, 4), "over_limit"),
        ("10.96.0.1:80/x", in_use(0, 3, 0), "over_limit"),
        ("10.96.0.1:81", in_use(1, 9, 9), "shop/api:81"),
        ("10.96.0.1:81", in_use(2, 0, 0), "over_limit"),
    ] {
        let live = Busy { in_use, ..Busy::default() };
        let call = Call::new(call);
        let got = outbound(&snapshot, &live, &call.facts(), Moment::START, &mut Draw::from_seed(0));
        assert_eq!(told(&got), want, "{in_use:?}");
    }
}

#[test]
fn a_name_leads_where_its_address_does() {
    let snapshot = shop(&Traffic::default());
    for (host, want) in
        [("api.shop", "shop/api:80"), ("10.96.0.2", "shop/api-v1:80"), ("elsewhere", "unknown")]
    {
        let destination = crate::facts::Destination::Name { host, port: 80 };
        let facts = Facts { source: crate::facts::Source::default(), destination, request: None };
        let got = outbound(&snapshot, &Nothing, &facts, Moment::START, &mut Draw::from_seed(0));
        assert_eq!(told(&got), want, "{host}");
    }
}

#[test]
fn without_policy_nobody_gets_in() {
    let call = Call::new("10.1.1.1:8080/x");
    let snapshot = Snapshot::default();
    let got = inbound(&snapshot, &call.facts(), 8080);
    assert_eq!((got, got.refusal()), (Inbound::NoPolicy, Some(Refusal::NoPolicy)));
}
