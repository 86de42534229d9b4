//! What is told is what is decided, and it is told in words that an operator can use.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::authorize::{Action, AuthorizationPolicy, AuthorizationRule, MtlsMode, PortPolicy, SourceMatch};
use crate::decide::scenario::{Busy, Call, backend, routed, rule, shop};
use crate::endpoint::Limits;
use crate::live::{InUse, Nothing};
use crate::object::Kind;
use crate::route::Rule;
use crate::route::filter::HeaderEdit;
use crate::snapshot::{Inbound as InboundPolicy, InboundPort, Traffic};

fn lines(steps: &[Step]) -> Vec<String> {
    steps.iter().map(ToString::to_string).collect()
}

fn backends(text: &str) -> Vec<Backend> {
    text.split_whitespace().map(backend).collect()
}

#[track_caller]
fn tells(snapshot: &Snapshot, live: &impl Live, call: &str, want: &[&str]) {
    let call = Call::new(call);
    let told = outbound(snapshot, live, &call.facts(), Moment::START, &mut Draw::from_seed(2));
    assert_eq!(lines(&told.steps), want);
}

#[test]
fn a_forwarded_request_is_told_from_service_to_endpoint() {
    let split = Rule { name: Some("canary".into()), ..rule("/cart", backends("api-v1=90 api-v2=10")) };
    let edit =
        HeaderEdit { set: vec![("x-by".parse().unwrap(), "weft".parse().unwrap())], ..HeaderEdit::default() };
    let all = Rule { filters: vec![Filter::RequestHeaders(edit)], ..rule("/", backends("api=1")) };
    let snapshot = routed(shop(&Traffic::default()), vec![all, split]);
    tells(
        &snapshot,
        &Nothing,
        "10.96.0.1:80/cart/1",
        &[
            "service   Service shop/api: 10.96.0.1:80 is its port 80 (http), http/1.1",
            "route     HTTPRoute shop/api: rule 1 (canary), PathPrefix /cart beats rule 0, PathPrefix /: \
             its prefix is longer (5 characters)",
            "split     HTTPRoute shop/api: shop/api-v1:80 90 %, shop/api-v2:80 10 %: drew shop/api-v1:80",
            "limits    none",
            "timeouts  request without end, each try without end",
            "retry     up to 2, on what is proven unprocessed; budget 20 % of requests and 10 a second",
            "endpoint  10.1.2.2:80 (api-v1-2) of 2 endpoints: less loaded of two (0 against 0 for 10.1.2.1:80)",
        ],
    );
    tells(
        &snapshot,
        &Nothing,
        "10.96.0.1:80/x",
        &[
            "service   Service shop/api: 10.96.0.1:80 is its port 80 (http), http/1.1",
            "route     HTTPRoute shop/api: rule 0, PathPrefix /: nothing else fits",
            "filter    HTTPRoute shop/api: request headers: set x-by",
            "split     HTTPRoute shop/api: shop/api:80 100 %",
            "limits    none",
            "timeouts  request without end, each try without end",
            "retry     up to 2, on what is proven unprocessed; budget 20 % of requests and 10 a second",
            "endpoint  10.1.1.2:80 (api-2) of 2 endpoints: less loaded of two (0 against 0 for 10.1.1.1:80)",
        ],
    );
}

#[test]
fn a_refusal_names_what_is_in_the_way() {
    let limits = Limits { max_requests: 4, ..Limits::default() };
    let origin = Some(ObjectRef::new(Kind::TrafficPolicy, "shop", "small"));
    let small = shop(&Traffic { limits, origin, ..Traffic::default() });
    let busy = Busy { in_use: InUse { requests: 4, ..InUse::default() }, ..Busy::default() };
    tells(
        &small,
        &busy,
        "10.96.0.2:80/x",
        &[
            "service   Service shop/api-v1: 10.96.0.2:80 is its port 80 (http), http/1.1",
            "route     no routes apply: to the service itself",
            "limits    TrafficPolicy shop/small: shop/api-v1:80: max_requests is 4, and 4 are under way",
            "answer    503 (over_limit): the backend's limit is reached",
        ],
    );
    let routed = routed(shop(&Traffic::default()), vec![rule("/cart", backends("!gone=1"))]);
    tells(
        &routed,
        &Nothing,
        "10.96.0.1:80/other",
        &[
            "service   Service shop/api: 10.96.0.1:80 is its port 80 (http), http/1.1",
            "route     GET /other matches no rule of HTTPRoute shop/api",
            "answer    404 (no_route): no rule of the service's routes matches",
        ],
    );
    tells(
        &routed,
        &Nothing,
        "10.96.0.1:80/cart",
        &[
            "service   Service shop/api: 10.96.0.1:80 is its port 80 (http), http/1.1",
            "route     HTTPRoute shop/api: rule 0, PathPrefix /cart: nothing else fits",
            "split     HTTPRoute shop/api: Service shop/gone:80 (BackendNotFound) 100 %: drew one that leads nowhere",
            "answer    500 (invalid_backend): the matching rule has no valid backend",
        ],
    );
    let open = ["10.1.1.1:81", "10.1.1.2:81"].map(|addr| addr.parse().unwrap());
    tells(
        &routed,
        &Busy { open: open.into(), ..Busy::default() },
        "10.96.0.1:81",
        &[
            "service   Service shop/api: 10.96.0.1:81 is its port 81, opaque",
            "route     no routes apply: to the service itself",
            "limits    none",
            "endpoint  none of 2 endpoints (2 with an open breaker)",
            "answer    connection closed (breakers_open): every endpoint's circuit breaker is open",
        ],
    );
    tells(
        &routed,
        &Nothing,
        "10.96.0.1:82/x",
        &[
            "service   Service shop/api: 10.96.0.1:82: it has no such port, but 80 and 81",
            "answer    502 (unknown_destination): the destination is outside the mesh and not allowed",
        ],
    );
    tells(
        &routed,
        &Nothing,
        "192.0.2.1:443",
        &[
            "service   192.0.2.1:443: it leads to no service this proxy has been told of",
            "answer    not of the mesh: passed through to where it was going",
        ],
    );
}

#[test]
fn the_winner_is_told_with_the_sentence_by_which_it_won() {
    use crate::route::path::{PathMatch, Pattern};
    use crate::route::{Match, Route, RouteTable};
    let path = |path| Match { path, ..Match::default() };
    let prefix = |text: &str| path(PathMatch::Prefix(text.into()));
    let exact = || path(PathMatch::Exact("/cart".into()));
    let regex = || path(PathMatch::Regex(Pattern::new("/ca.*").unwrap()));
    let with_method = || Match { method: Some(http::Method::GET), ..prefix("/cart") };
    let route = |name: &str, created, of: Vec<Match>| Route {
        origin: ObjectRef::new(Kind::HttpRoute, "shop", name),
        created,
        hosts: Vec::new(),
        rules: of.into_iter().map(|one| Rule { matches: vec![one], ..Rule::default() }).collect(),
    };
    let table: [(Vec<Route>, &str); 8] = [
        (vec![route("a", 0, vec![prefix("/cart"), exact()])], "an exact path comes first"),
        (vec![route("a", 0, vec![prefix(""), regex()])], "a regular expression comes before the bare /"),
        (vec![route("a", 0, vec![regex(), prefix("/cart")])], "a prefix comes before a regular expression"),
        (vec![route("a", 0, vec![prefix("/cart"), with_method()])], "it names a method"),
        (vec![route("a", 0, vec![prefix("/cart"), prefix("/cart")])], "its rule comes first"),
        (vec![route("a", 2, vec![exact()]), route("b", 1, vec![exact()])], "its route is older"),
        (
            vec![route("a", 1, vec![exact()]), route("b", 1, vec![exact()])],
            "its route comes first by namespace/name",
        ),
        (vec![route("a", 0, vec![exact()])], "nothing else fits"),
    ];
    let call = Call::new("10.96.0.1:80/cart");
    let facts = call.facts();
    let request = facts.request.as_ref().unwrap();
    for (routes, want) in table {
        let table = RouteTable::new(RouteKind::Http, routes);
        let told = precedence::told(&table, request, &table.find(request).unwrap());
        assert!(told.ends_with(&format!(": {want}")), "{told}");
    }
}

fn guarded(mtls: MtlsMode, policies: Vec<AuthorizationPolicy>) -> Snapshot {
    let policy = PortPolicy {
        mtls,
        mtls_origin: Some(ObjectRef::new(Kind::AuthenticationPolicy, "shop", "mode")),
        trust_domain: "weft.local".parse().unwrap(),
        policies: policies.into_iter().map(Into::into).collect(),
    };
    let port =
        InboundPort { number: 8080, protocol: Default::default(), address: None, policy: policy.clone() };
    let inbound = InboundPolicy {
        workload: ObjectRef::new(Kind::Workload, "shop", "api"),
        identity: "spiffe://weft.local/ns/shop/sa/api".parse().unwrap(),
        zone: None,
        ports: vec![port],
        undeclared: PortPolicy { policies: Vec::new(), ..policy },
    };
    Snapshot { inbound: Some(inbound.into()), ..Snapshot::default() }
}

fn policy(name: &str, action: Action, cidrs: &[&str]) -> AuthorizationPolicy {
    let cidrs = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
    AuthorizationPolicy {
        origin: ObjectRef::new(Kind::AuthorizationPolicy, "shop", name),
        action,
        rules: vec![AuthorizationRule {
            from: vec![SourceMatch { cidrs, ..SourceMatch::default() }],
            to: Vec::new(),
        }],
        not_understood: None,
    }
}

#[test]
fn a_call_into_the_application_is_told_with_every_policy() {
    let snapshot = guarded(
        MtlsMode::Permissive,
        vec![
            policy("near", Action::Allow, &["10.1.0.0/16"]),
            policy("old", Action::Deny, &["10.1.8.0/24"]),
            policy("watch", Action::Audit, &["10.0.0.0/8"]),
        ],
    );
    let call = Call::new("10.1.1.1:8080/x");
    let told = inbound(&snapshot, &call.facts(), 8080);
    assert_eq!(
        lines(&told.steps),
        [
            "policy    Workload shop/api: port 8080 is declared",
            "mtls      AuthenticationPolicy shop/mode: permissive: plaintext is let in too",
            "caller    plaintext, nothing proven, from 10.1.9.9",
            "policy    AuthorizationPolicy shop/near: allow: rule 0 matches",
            "policy    AuthorizationPolicy shop/old: deny: no rule matches",
            "audit     AuthorizationPolicy shop/watch: audit: rule 0 matches",
            "authorize allowed by AuthorizationPolicy shop/near, rule 0",
        ]
    );
    let strict = guarded(MtlsMode::Strict, Vec::new());
    let told = inbound(&strict, &call.facts(), 9090);
    assert_eq!(
        lines(&told.steps)[3..],
        [
            "authorize denied: AuthenticationPolicy shop/mode requires mutual TLS",
            "answer    403 (plaintext_denied): this port accepts mutual TLS only",
        ]
    );
    let none = Snapshot::default();
    let told = inbound(&none, &call.facts(), 8080);
    assert_eq!(told.verdict.refusal(), Some(Refusal::NoPolicy));
    assert_eq!(lines(&told.steps)[0], "policy    has not arrived at this proxy yet");
}

fn a_rule() -> impl Strategy<Value = Rule> {
    let word = |words: &'static [&'static str]| prop::sample::select(words);
    let one = word(&["api-v1=3", "api-v2=1", "api=1", "!gone=1", "!gone=0", "api-v9=1", "api-v1=0"]);
    let filter = prop::sample::select(vec![
        Filter::Unsupported("x".into()),
        Filter::Redirect(Redirect {
            scheme: None,
            host: None,
            port: None,
            path: None,
            status: http::StatusCode::FOUND,
        }),
        Filter::RequestHeaders(HeaderEdit::default()),
    ]);
    (
        word(&["/", "/a", "/a/b", "/b"]),
        prop::collection::vec((one, prop::option::weighted(0.1, filter.clone())), 0..4),
        prop::option::weighted(0.2, filter),
    )
        .prop_map(|(prefix, drawn, filter)| {
            let backends = drawn
                .into_iter()
                .map(|(text, filter)| Backend { filters: filter.into_iter().collect(), ..backend(text) });
            Rule { filters: filter.into_iter().collect(), ..rule(prefix, backends.collect()) }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_is_told_is_what_is_decided(
        rules in prop::option::weighted(0.8, prop::collection::vec(a_rule(), 0..5)),
        to in prop::sample::select(vec!["10.96.0.1:80", "10.96.0.1:81", "10.96.0.2:80", "10.96.0.1:9", "192.0.2.1:80"]),
        path in prop::sample::select(vec!["", "/", "/a", "/a/b/c", "/b", "/c"]),
        busy in 0u32..6,
        open in prop::collection::btree_set((1u8..4, 1u8..3), 0..6),
        balance in prop::sample::select(vec![
            Balance::PeakEwma, Balance::LeastRequest, Balance::RoundRobin, Balance::Random,
            Balance::RingHash(HashKey::SourceAddr),
        ]),
        lost in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let limits = Limits { max_requests: 5, ..Limits::default() };
        let mut snapshot = shop(&Traffic { limits, balance, ..Traffic::default() });
        if let Some(rules) = rules {
            snapshot = routed(snapshot, rules);
        }
        if lost {
            snapshot.endpoints.pop_last();
            snapshot.endpoints.pop_first();
        }
        let live = Busy {
            in_use: InUse { requests: busy, ..InUse::default() },
            open: open.into_iter().map(|(at, pod)| ([10, 1, at, pod], 80).into()).collect(),
            ..Busy::default()
        };
        let call = Call::new(&format!("{to}{path}"));
        let facts = call.facts();
        let now = Moment::START + Duration::from_secs(1);

        let (mut draw, mut told_draw) = (Draw::from_seed(seed), Draw::from_seed(seed));
        let decided = decide::outbound(&snapshot, &live, &facts, now, &mut draw);
        let picked = match &decided {
            Outbound::Forward(forward) => Some(match snapshot.endpoints.get(&forward.to) {
                Some(set) => {
                    let key = match &forward.traffic.balance {
                        Balance::RingHash(over) => HashKey::of(over, &facts),
                        _ => None,
                    };
                    pick(set, &forward.traffic.balance, &live, key, &[], now, &mut draw)
                }
                None => Err(Refusal::NoEndpoint),
            }),
            _ => None,
        };
        let told = outbound(&snapshot, &live, &facts, now, &mut told_draw);
        prop_assert_eq!(&told.verdict, &decided);
        prop_assert_eq!(&told.pick, &picked.map(|picked| picked.map(Picked::from)));
        prop_assert_eq!(draw, told_draw, "the draw stands where it would");
        // Whatever is refused is told as an answer, with the refusal's own token.
        let refusal = match (&decided, &picked) {
            (Outbound::Refuse { refusal, .. }, _) | (_, Some(Err(refusal))) => Some(*refusal),
            _ => None,
        };
        if let Some(refusal) = refusal {
            let last = told.steps.last().map(ToString::to_string).unwrap_or_default();
            prop_assert!(last.contains(refusal.answer().token), "{}", last);
        }
    }

    #[test]
    fn who_may_call_is_told_as_it_is_decided(
        policies in prop::collection::vec((0usize..3, prop::sample::select(vec!["10.1.0.0/16", "10.9.0.0/16", "10.1.9.9/32"])), 0..5),
        strict in any::<bool>(), port in 8079u16..8082, arrived in prop::bool::weighted(0.9),
    ) {
        let policies = policies.into_iter().enumerate().map(|(at, (action, cidr))| {
            policy(&format!("p{at}"), Action::ALL[action], &[cidr])
        });
        let mode = if strict { MtlsMode::Strict } else { MtlsMode::Permissive };
        let mut snapshot = guarded(mode, policies.collect());
        if !arrived {
            snapshot.inbound = None;
        }
        let call = Call::new("10.1.1.1:8080/x");
        let told = inbound(&snapshot, &call.facts(), port);
        prop_assert_eq!(told.verdict, decide::inbound(&snapshot, &call.facts(), port));
    }
}
