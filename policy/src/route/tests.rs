//! Matching and precedence, each row under the sentence of the Gateway API that it proves.

mod laws;

use http::{HeaderMap, HeaderName};

use super::path::{Pattern, StringMatch};
use super::*;
use crate::object::Kind;

/// Routes in one line each: `name [@created] [host=…] : rule | rule`, where a rule is matches divided by `or`, and
/// a match is words: `=/exact`, `/prefix`, `~regex`, `M:GET`, `h:name=value`, `q:name=value`, `g:service/method`.
/// An empty rule has no matches.
fn table(kind: RouteKind, lines: &[&str]) -> RouteTable {
    RouteTable::new(kind, lines.iter().map(|line| route(kind, line)).collect())
}

fn route(kind: RouteKind, line: &str) -> Route {
    let (head, rules) = line.split_once(" :").unwrap();
    let mut words = head.split_whitespace();
    let (namespace, name) = words.next().unwrap().split_once('/').unwrap();
    let mut route = Route {
        origin: ObjectRef::new(
            if kind == RouteKind::Http { Kind::HttpRoute } else { Kind::GrpcRoute },
            namespace,
            name,
        ),
        created: 0,
        hosts: Vec::new(),
        rules: rules.split('|').map(rule).collect(),
    };
    for word in words {
        match word.split_once('=') {
            Some((_, host)) => route.hosts.push(
                host.strip_prefix('*')
                    .map_or_else(|| HostMatch::Exact(host.into()), |suffix| HostMatch::Suffix(suffix.into())),
            ),
            None => route.created = word.strip_prefix('@').unwrap().parse().unwrap(),
        }
    }
    route
}

fn rule(text: &str) -> Rule {
    let matches = text.split(" or ").map(str::trim).filter(|text| !text.is_empty()).map(one_match);
    Rule { matches: matches.collect(), ..Rule::default() }
}

fn one_match(text: &str) -> Match {
    let mut one = Match::default();
    for word in text.split_whitespace() {
        let value = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), StringMatch::Exact(value.into()))
        };
        if let Some(method) = word.strip_prefix("M:") {
            one.method = Some(method.parse().unwrap());
        } else if let Some(pair) = word.strip_prefix("h:") {
            let (name, value) = value(pair);
            one.headers.push(HeaderMatch { name: name.parse().unwrap(), value });
        } else if let Some(pair) = word.strip_prefix("q:") {
            let (name, value) = value(pair);
            one.query.push(QueryMatch { name: name.into(), value });
        } else if let Some(pair) = word.strip_prefix("g:") {
            let part = |text: &str| match (text, text.strip_prefix('~')) {
                ("", _) => None,
                (_, Some(regex)) => Some(StringMatch::Regex(Pattern::new(regex).unwrap())),
                _ => Some(StringMatch::Exact(text.into())),
            };
            let (service, method) = pair.split_once('/').unwrap();
            one.path = PathMatch::Grpc { service: part(service), method: part(method) };
        } else if let Some(exact) = word.strip_prefix('=') {
            one.path = PathMatch::Exact(exact.into());
        } else if let Some(regex) = word.strip_prefix('~') {
            one.path = PathMatch::Regex(Pattern::new(regex).unwrap());
        } else {
            one.path = PathMatch::Prefix(word.trim_end_matches('/').into());
        }
    }
    one
}

/// A request in one line: `GET host/path?query name=value …`.
struct Asked {
    method: Method,
    host: String,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
}

impl Asked {
    fn new(line: &str) -> Self {
        let mut words = line.split_whitespace();
        let method = words.next().unwrap().parse().unwrap();
        let target = words.next().unwrap();
        let (target, query) = target.split_once('?').map_or((target, None), |(t, q)| (t, Some(q.to_owned())));
        let slash = target.find('/').unwrap_or(target.len());
        let mut headers = HeaderMap::new();
        for word in words {
            let (name, value) = word.split_once('=').unwrap();
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let (host, path) = target.split_at(slash);
        Self { method, host: host.to_owned(), path: path.to_owned(), query, headers }
    }

    fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            host: &self.host,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
            grpc: false,
        }
    }
}

/// Where a request falls: `route/rule/match`, or nothing.
#[track_caller]
fn falls(routes: &RouteTable, asked: &str, want: &str) {
    let asked_for = Asked::new(asked);
    let got = routes.find(&asked_for.request()).map_or_else(String::new, |matched| {
        let at = matched.match_index.map_or("-".to_owned(), |at| at.to_string());
        format!("{}/{}/{at}", matched.route.origin.name, matched.rule_index)
    });
    assert_eq!(got, want, "{asked}");
}

/// `(the sentence, the routes, the request, where it falls)`
type Row = (&'static str, &'static [&'static str], &'static str, &'static str);

const HTTP: &[Row] = &[
    // HTTPRouteRule.matches
    ("no matches: prefix match on /", &["n/a :"], "POST h/x/y", "a/0/-"),
    ("matches are ORed", &["n/a : /a or /b"], "GET h/b", "a/0/1"),
    ("a match is ANDed", &["n/a : /a h:v=1 M:GET"], "GET h/a", ""),
    ("a match is ANDed", &["n/a : /a h:v=1 M:GET"], "POST h/a v=1", ""),
    ("a match is ANDed", &["n/a : /a h:v=1 M:GET"], "GET h/a v=1", "a/0/0"),
    ("no match: nothing, which is 404", &["n/a : /a"], "GET h/b", ""),
    ("no routes", &[], "GET h/b", ""),
    // Hostnames, decided before the path
    (
        "most characters in a non-wildcard hostname",
        &["n/a host=*.x.io : =/p", "n/b host=a.x.io :"],
        "GET a.x.io/p",
        "b/0/-",
    ),
    (
        "most characters in a wildcard hostname",
        &["n/a host=*.io : =/p", "n/b host=*.x.io :"],
        "GET a.x.io/p",
        "b/0/-",
    ),
    ("a hostname before none", &["n/a : =/p", "n/b host=*.io :"], "GET a.x.io/p", "b/0/-"),
    ("*.x does not match x", &["n/a host=*.x.io :"], "GET x.io/", ""),
    ("*.x matches any number of labels", &["n/a host=*.x.io :"], "GET a.b.x.io/", "a/0/-"),
    ("one of several hostnames", &["n/a host=b.io host=*.x.io :"], "GET b.io/", "a/0/-"),
    (
        "a host with no path that fits falls to the next",
        &["n/a host=a.io : /a", "n/b :"],
        "GET a.io/b",
        "b/0/-",
    ),
    // Path
    ("Exact beats PathPrefix", &["n/a : /foo/bar | =/foo/bar"], "GET h/foo/bar", "a/1/0"),
    (
        "Exact beats PathPrefix whatever else it asks",
        &["n/a : /foo M:GET h:a=1 q:b=2 | =/foo"],
        "GET h/foo?b=2 a=1",
        "a/1/0",
    ),
    ("the longer prefix", &["n/a : /foo | /foo/bar"], "GET h/foo/bar/x", "a/1/0"),
    ("the longer prefix beats a method", &["n/a : /foo M:GET | /foo/bar"], "GET h/foo/bar", "a/1/0"),
    ("prefixes match whole segments", &["n/a : /v2"], "GET h/v2example", ""),
    ("prefixes match whole segments", &["n/a : /v2"], "GET h/v2", "a/0/0"),
    ("prefixes match whole segments", &["n/a : /v2"], "GET h/v2/", "a/0/0"),
    ("prefixes match whole segments", &["n/a : /v2"], "GET h/v2/x", "a/0/0"),
    ("a trailing slash of a prefix is ignored", &["n/a : /v2/"], "GET h/v2", "a/0/0"),
    ("a trailing slash of an exact path is not", &["n/a : =/v2/"], "GET h/v2", ""),
    ("a trailing slash of an exact path is not", &["n/a : =/v2"], "GET h/v2/", ""),
    ("paths are case-sensitive", &["n/a : =/Foo or /Foo"], "GET h/foo", ""),
    ("the prefix / matches every path", &["n/a : /"], "GET h/x/y", "a/0/0"),
    ("an empty path is /", &["n/a : =/"], "GET h", "a/0/0"),
    ("a regex is anchored", &["n/a : ~/v[0-9]"], "GET h/v2/x", ""),
    ("a regex before the bare /", &["n/a : / h:a=1 M:GET | ~/v[0-9]"], "GET h/v2 a=1", "a/1/0"),
    ("a regex after a longer prefix", &["n/a : ~/v[0-9] M:GET | /v2"], "GET h/v2", "a/1/0"),
    ("a regex after an exact path", &["n/a : ~/v[0-9] M:GET | =/v2"], "GET h/v2", "a/1/0"),
    // Method, headers, query
    ("a method match", &["n/a : /a h:x=1 h:y=2 | /a M:GET"], "GET h/a x=1 y=2", "a/1/0"),
    (
        "more header matches",
        &["n/a : /a h:x=1 q:q=1 q:r=1 | /a h:x=1 h:y=2"],
        "GET h/a?q=1&r=1 x=1 y=2",
        "a/1/0",
    ),
    ("more query matches", &["n/a : /a q:q=1 | /a q:q=1 q:r=1"], "GET h/a?q=1&r=1", "a/1/0"),
    ("only the first of equal header names counts", &["n/a : /a h:Foo=1 h:foo=2"], "GET h/a foo=1", "a/0/0"),
    (
        "only the first of equal header names counts",
        &["n/a : /a h:Foo=1 h:foo=2 | /a h:x=1 h:y=2"],
        "GET h/a foo=1 x=1 y=2",
        "a/1/0",
    ),
    ("only the first of equal query names counts", &["n/a : /a q:f=1 q:f=2"], "GET h/a?f=1", "a/0/0"),
    ("query names are case-sensitive", &["n/a : /a q:F=1 q:f=2"], "GET h/a?F=1", ""),
    ("precedence is per match, not per rule", &["n/a : /long/prefix or /a | /a/b"], "GET h/a/b", "a/1/0"),
    // Ties
    ("the oldest route", &["n/a @20 : /a", "n/b @10 : /a"], "GET h/a", "b/0/0"),
    ("then {namespace}/{name}", &["n/b @10 : /a", "n/a @10 : /a", "m/z @20 : /a"], "GET h/a", "a/0/0"),
    ("then {namespace}/{name}, the slash included", &["a/y : /a", "a-b/x : /a"], "GET h/a", "x/0/0"),
    ("then the first rule in order", &["n/a : /a M:GET | /a M:GET"], "GET h/a", "a/0/0"),
    ("then the first match in order", &["n/a : /a h:x=1 or /a h:y=1"], "GET h/a x=1 y=1", "a/0/0"),
];

const GRPC: &[Row] = &[
    // GRPCRouteRule.matches
    ("service and method", &["n/a : g:shop.Cart/Add"], "POST h/shop.Cart/Add", "a/0/0"),
    ("service alone", &["n/a : g:shop.Cart/"], "POST h/shop.Cart/Add", "a/0/0"),
    ("method alone", &["n/a : g:/Add"], "POST h/any.Service/Add", "a/0/0"),
    ("neither: everything", &["n/a : g:/"], "POST h/any/Thing", "a/0/0"),
    ("no matches: every service and method", &["n/a :"], "POST h/any/Thing", "a/0/-"),
    ("no match: nothing, which is UNIMPLEMENTED", &["n/a : g:shop.Cart/Add"], "POST h/shop.Cart/Del", ""),
    ("names are case-sensitive", &["n/a : g:shop.Cart/Add"], "POST h/shop.cart/add", ""),
    ("not a gRPC path", &["n/a : g:/Add"], "POST h/x/y/Add", ""),
    ("not a gRPC path", &["n/a : g:/Add"], "POST h//Add", ""),
    ("a service before a method", &["n/a : g:/Add | g:shop.Cart/"], "POST h/shop.Cart/Add", "a/1/0"),
    (
        "a service and method before a service",
        &["n/a : g:shop.Cart/ h:x=1 | g:shop.Cart/Add"],
        "POST h/shop.Cart/Add x=1",
        "a/1/0",
    ),
    ("exact before regex", &["n/a : g:~shop.*/Add | g:shop.Cart/"], "POST h/shop.Cart/Add", "a/1/0"),
    (
        "an exact method before a regex",
        &["n/a : g:shop.Cart/~A.* | g:shop.Cart/Add"],
        "POST h/shop.Cart/Add",
        "a/1/0",
    ),
    ("a regex before nothing", &["n/a : g:/ | g:~shop.*/"], "POST h/shop.Cart/Add", "a/1/0"),
    ("a regex is anchored", &["n/a : g:~shop/"], "POST h/shop.Cart/Add", ""),
    (
        "more header matches",
        &["n/a : g:shop.Cart/Add | g:shop.Cart/Add h:x=1"],
        "POST h/shop.Cart/Add x=1",
        "a/1/0",
    ),
    (
        "the hostname before the service",
        &["n/a : g:shop.Cart/Add", "n/b host=*.io :"],
        "POST a.io/shop.Cart/Add",
        "b/0/-",
    ),
    (
        "the oldest route",
        &["n/a @2 : g:shop.Cart/Add", "n/b @1 : g:shop.Cart/Add"],
        "POST h/shop.Cart/Add",
        "b/0/0",
    ),
];

#[test]
fn http_routes_follow_every_sentence_of_the_gateway_api() {
    for (sentence, routes, asked, want) in HTTP {
        println!("{sentence}");
        falls(&table(RouteKind::Http, routes), asked, want);
        let mut backwards = routes.to_vec();
        backwards.reverse();
        falls(&table(RouteKind::Http, &backwards), asked, want);
    }
}

#[test]
fn grpc_routes_follow_every_sentence_of_the_gateway_api() {
    for (sentence, routes, asked, want) in GRPC {
        println!("{sentence}");
        falls(&table(RouteKind::Grpc, routes), asked, want);
    }
}
