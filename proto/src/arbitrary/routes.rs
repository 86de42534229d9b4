//! Any route there can be.

use http::StatusCode;
use proptest::prelude::*;
use proptest::sample::select;
use weft_policy::route::filter::{Filter, HeaderEdit, PathEdit, Redirect, Rewrite};
use weft_policy::route::header::{HeaderMatch, QueryMatch};
use weft_policy::route::host::HostMatch;
use weft_policy::route::path::PathMatch;
use weft_policy::route::{Backend, BackendRef, InvalidBackend, Match, Route, Rule};

use super::*;

pub(super) fn route() -> impl Strategy<Value = Route> {
    let hosts = prop_oneof![
        host().prop_map(HostMatch::Exact),
        host().prop_map(|host| HostMatch::Suffix(format!(".{host}").into())),
    ];
    (object(), any::<u64>(), prop::collection::vec(hosts, 0..3), prop::collection::vec(rule(), 0..3))
        .prop_map(|(origin, created, hosts, rules)| Route { origin, created, hosts, rules })
}

fn rule() -> impl Strategy<Value = Rule> {
    (
        prop::option::of(text("[a-z]{1,5}")),
        prop::collection::vec(one_match(), 0..3),
        prop::collection::vec(filter(), 0..3),
        prop::collection::vec(backend(), 0..3),
        timeouts(),
        prop::option::of(retry()),
    )
        .prop_map(|(name, matches, filters, backends, timeouts, retry)| Rule {
            name,
            matches,
            filters,
            backends,
            timeouts,
            retry,
        })
}

fn one_match() -> impl Strategy<Value = Match> {
    let path = prop_oneof![
        path().prop_map(PathMatch::Exact),
        prefix().prop_map(PathMatch::Prefix),
        pattern().prop_map(PathMatch::Regex),
        (prop::option::of(string_match()), prop::option::of(string_match()))
            .prop_map(|(service, method)| PathMatch::Grpc { service, method }),
    ];
    let header = (header_name(), string_match()).prop_map(|(name, value)| HeaderMatch { name, value });
    let query = (text("\\PC{1,8}"), string_match()).prop_map(|(name, value)| QueryMatch { name, value });
    (
        path,
        prop::option::of(method()),
        prop::collection::vec(header, 0..3),
        prop::collection::vec(query, 0..3),
    )
        .prop_map(|(path, method, headers, query)| Match { path, method, headers, query })
}

fn filter() -> impl Strategy<Value = Filter> {
    let edit = || {
        let fields = || prop::collection::vec((header_name(), header_value()), 0..3);
        (fields(), fields(), prop::collection::vec(header_name(), 0..3))
            .prop_map(|(set, add, remove)| HeaderEdit { set, add, remove })
    };
    let scheme = prop::option::of(select(&["http", "https"][..]).prop_map(Arc::from));
    let status =
        select(&[301u16, 302, 303, 307, 308][..]).prop_map(|status| StatusCode::from_u16(status).unwrap());
    let redirect =
        (scheme, prop::option::of(host()), prop::option::of(port()), prop::option::of(path_edit()), status)
            .prop_map(|(scheme, host, port, path, status)| Redirect { scheme, host, port, path, status });
    let rewrite = (prop::option::of(host()), prop::option::of(path_edit()))
        .prop_map(|(host, path)| Rewrite { host, path });
    prop_oneof![
        edit().prop_map(Filter::RequestHeaders),
        edit().prop_map(Filter::ResponseHeaders),
        redirect.prop_map(Filter::Redirect),
        rewrite.prop_map(Filter::Rewrite),
        text("[A-Za-z]{0,8}").prop_map(Filter::Unsupported),
    ]
}

fn path_edit() -> impl Strategy<Value = PathEdit> {
    prop_oneof![
        path().prop_map(PathEdit::Full),
        (prefix(), prefix()).prop_map(|(matched, with)| PathEdit::Prefix { matched, with }),
    ]
}

fn backend() -> impl Strategy<Value = Backend> {
    let to = prop_oneof![
        service_port().prop_map(BackendRef::Service),
        (text("[ -~]{0,12}"), select(&InvalidBackend::ALL[..]))
            .prop_map(|(name, why)| BackendRef::Invalid { name, why }),
    ];
    (0u32..=1_000_000, to, prop::collection::vec(filter(), 0..2)).prop_map(|(weight, to, filters)| Backend {
        weight,
        to,
        filters,
    })
}
