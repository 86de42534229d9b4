//! The law of the table: it finds what comparing every match with every other would.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

/// The reference: every match that fits, compared pair by pair by the words of the specification.
fn naive<'t>(routes: &'t [Route], request: &Request<'_>) -> Option<Matched<'t>> {
    let mut best: Option<(Matched<'t>, Option<&'t HostMatch>)> = None;
    for route in routes {
        let hosts: Vec<Option<&HostMatch>> =
            if route.hosts.is_empty() { vec![None] } else { route.hosts.iter().map(Some).collect() };
        for host in hosts.into_iter().filter(|host| host.is_none_or(|host| host.matches(request.host))) {
            for (rule_index, rule) in route.rules.iter().enumerate() {
                let all: Vec<Option<usize>> = if rule.matches.is_empty() {
                    vec![None]
                } else {
                    (0..rule.matches.len()).map(Some).collect()
                };
                for match_index in all {
                    let matched = Matched { route, rule, rule_index, match_index };
                    if matched.by().is_some_and(|by| !by.fits(request)) {
                        continue;
                    }
                    let better = best.as_ref().is_none_or(|(held, held_host)| {
                        compare((&matched, host), (held, *held_host)) == Ordering::Less
                    });
                    if better {
                        best = Some((matched, host));
                    }
                }
            }
        }
    }
    best.map(|(matched, _)| matched)
}

/// `Less` is better.
fn compare(a: (&Matched<'_>, Option<&HostMatch>), b: (&Matched<'_>, Option<&HostMatch>)) -> Ordering {
    let host = |host: Option<&HostMatch>| match host {
        Some(HostMatch::Exact(name)) => (2, name.len()),
        Some(HostMatch::Suffix(name)) => (1, name.len()),
        None => (0, 0),
    };
    let part = |part: &Option<StringMatch>| match part {
        Some(StringMatch::Exact(exact)) => (2, exact.len()),
        Some(StringMatch::Regex(_)) => (1, 0),
        None => (0, 0),
    };
    let path = |matched: &Matched<'_>| match matched.by().map(|by| &by.path) {
        Some(PathMatch::Exact(exact)) => (9, (exact.len(), 0), (0, 0)),
        Some(PathMatch::Prefix(prefix)) if !prefix.is_empty() => (8, (prefix.len(), 0), (0, 0)),
        Some(PathMatch::Regex(_)) => (5, (0, 0), (0, 0)),
        Some(PathMatch::Grpc { service, method }) if service.is_some() || method.is_some() => {
            (7, part(service), part(method))
        }
        _ => (0, (0, 0), (0, 0)),
    };
    let more = |matched: &Matched<'_>| {
        matched.by().map_or((false, 0, 0), |by| {
            let names: std::collections::BTreeSet<_> = by.headers.iter().map(|h| h.name.as_str()).collect();
            let parameters: std::collections::BTreeSet<_> = by.query.iter().map(|q| &q.name).collect();
            (by.method.is_some(), names.len(), parameters.len())
        })
    };
    let name =
        |matched: &Matched<'_>| format!("{}/{}", matched.route.origin.namespace, matched.route.origin.name);
    host(b.1)
        .cmp(&host(a.1))
        .then(path(b.0).cmp(&path(a.0)))
        .then(more(b.0).cmp(&more(a.0)))
        .then(a.0.route.created.cmp(&b.0.route.created))
        .then(name(a.0).cmp(&name(b.0)))
        .then(a.0.rule_index.cmp(&b.0.rule_index))
        .then(a.0.match_index.cmp(&b.0.match_index))
}

/// Small alphabets, so that many things fit at once.
fn a_match(kind: RouteKind) -> impl Strategy<Value = String> {
    let path = match kind {
        RouteKind::Http => prop::sample::select(vec![
            "", "/", "/a", "/a/b", "/a/b/c", "/b", "=/a", "=/a/b", "=/", "~/a.*", "~/.*b", "/ab",
        ]),
        RouteKind::Grpc => prop::sample::select(vec![
            "",
            "g:/",
            "g:a/",
            "g:a/b",
            "g:/b",
            "g:~.*/b",
            "g:~a+/",
            "g:a/~.*",
            "g:/~b",
            "g:~.*/~.*",
            "g:b/a",
        ]),
    };
    let word = |words: &'static [&'static str]| prop::sample::select(words);
    (
        path,
        word(&["", "", "M:GET", "M:POST"]),
        word(&["", "", "h:x=1", "h:X=1 h:x=2", "h:x=1 h:y=1"]),
        word(&["", "", "q:p=1", "q:p=1 q:q=1", "q:p=1 q:p=2"]),
    )
        .prop_map(|(path, method, headers, query)| format!("{path} {method} {headers} {query} "))
}

fn a_route(kind: RouteKind) -> impl Strategy<Value = String> {
    let rule = prop::collection::vec(a_match(kind), 0..3).prop_map(|matches| matches.join(" or "));
    let host = prop::sample::select(vec!["host=a.b.c", "host=*.b.c", "host=*.c", "host=b.c"]);
    (prop::collection::vec(rule, 1..4), prop::collection::vec(host, 0..3), 0u64..3)
        .prop_map(|(rules, hosts, created)| format!("@{created} {} :{}", hosts.join(" "), rules.join("|")))
}

fn a_request() -> impl Strategy<Value = String> {
    let word = |words: &'static [&'static str]| prop::sample::select(words);
    (
        word(&["GET", "POST"]),
        word(&["a.b.c", "b.c", "x.b.c", "c", "h"]),
        word(&["", "/", "/a", "/a/", "/a/b", "/a/b/c", "/b", "/ab", "/aa/b", "/b/a"]),
        word(&["", "?p=1", "?p=1&q=1", "?p=2"]),
        word(&["", "x=1", "x=1 y=1", "x=2"]),
    )
        .prop_map(|(method, host, path, query, headers)| format!("{method} {host}{path}{query} {headers}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_table_finds_what_comparing_every_match_would(
        lines in prop_oneof![
            prop::collection::vec(a_route(RouteKind::Http), 0..8).prop_map(|lines| (RouteKind::Http, lines)),
            prop::collection::vec(a_route(RouteKind::Grpc), 0..8).prop_map(|lines| (RouteKind::Grpc, lines)),
        ],
        requests in prop::collection::vec(a_request(), 1..8),
        turn in any::<prop::sample::Index>(),
    ) {
        let (kind, lines) = lines;
        let names = ["n/a", "n/b", "n-x/a", "m/c", "n/c", "m/a", "n/d", "n/e"];
        let mut routes: Vec<Route> =
            lines.iter().zip(names).map(|(line, name)| route(kind, &format!("{name} {line}"))).collect();
        let table = RouteTable::new(kind, routes.clone());
        if !routes.is_empty() {
            let by = turn.index(routes.len());
            routes.rotate_left(by);
        }
        prop_assert_eq!(&table, &RouteTable::new(kind, routes), "in whatever order they arrive");
        for line in requests {
            let asked = Asked::new(&line);
            let found = table.find(&asked.request());
            prop_assert_eq!(found, naive(table.routes(), &asked.request()), "{}", line);
            // And what `visit` shows is never better than what it has shown before.
            let mut seen = Vec::new();
            let _: std::ops::ControlFlow<()> = table.visit(&asked.request(), |matched| {
                seen.push(matched);
                std::ops::ControlFlow::Continue(())
            });
            prop_assert_eq!(seen.first().copied(), found);
        }
    }
}
