//! Routes. What is inside a rule has an order that an operator wrote and reasons refer to by number: it is kept.

use http::{HeaderName, HeaderValue, Method};
use weft_policy::route::filter::{Filter, HeaderEdit, PathEdit, Redirect, Rewrite};
use weft_policy::route::header::{HeaderMatch, QueryMatch};
use weft_policy::route::host::HostMatch;
use weft_policy::route::path::PathMatch;
use weft_policy::route::{
    Backend, BackendRef, InvalidBackend, Match, Route, RouteKind, RouteTable, Routes, Rule,
};

use super::{object, retry, service_name, service_port, string_match, text, timeouts};
use crate::v1;

/// The routes of one service, for one class of client namespace.
#[must_use]
pub fn routes(routes: &Routes) -> v1::Routes {
    let mut ports: Vec<_> = routes.ports.iter().collect();
    ports.sort_by_key(|(port, _)| *port);
    v1::Routes {
        service: Some(service_name(&routes.service)),
        ports: ports.into_iter().map(|(port, table)| port_routes(*port, table)).collect(),
    }
}

fn port_routes(port: u16, table: &RouteTable) -> v1::PortRoutes {
    let kind = match table.kind() {
        RouteKind::Http => v1::RouteKind::Http,
        RouteKind::Grpc => v1::RouteKind::Grpc,
    };
    // The table itself keeps its routes by name.
    v1::PortRoutes {
        port: port.into(),
        kind: kind.into(),
        routes: table.routes().iter().map(route).collect(),
    }
}

fn route(route: &Route) -> v1::Route {
    v1::Route {
        origin: Some(object(&route.origin)),
        created: route.created,
        hosts: route.hosts.iter().map(host).collect(),
        rules: route.rules.iter().map(rule).collect(),
    }
}

fn host(host: &HostMatch) -> String {
    match host {
        HostMatch::Exact(name) => name.as_ref().into(),
        HostMatch::Suffix(suffix) => format!("*{suffix}"),
    }
}

fn rule(rule: &Rule) -> v1::Rule {
    v1::Rule {
        name: text(rule.name.as_deref()),
        matches: rule.matches.iter().map(one_match).collect(),
        filters: rule.filters.iter().map(filter).collect(),
        backends: rule.backends.iter().map(backend).collect(),
        timeouts: timeouts(rule.timeouts),
        retry: rule.retry.as_ref().map(retry),
    }
}

fn one_match(one: &Match) -> v1::Match {
    use v1::r#match::Path;
    let path = match &one.path {
        PathMatch::Exact(path) => Path::Exact(path.as_ref().into()),
        PathMatch::Prefix(prefix) => Path::Prefix(prefix.as_ref().into()),
        PathMatch::Regex(pattern) => Path::Regex(pattern.as_str().into()),
        PathMatch::Grpc { service, method } => Path::Grpc(v1::GrpcMethod {
            service: service.as_ref().map(string_match),
            method: method.as_ref().map(string_match),
        }),
    };
    let header = |HeaderMatch { name, value }: &HeaderMatch| v1::HeaderMatch {
        name: name.as_str().into(),
        value: Some(string_match(value)),
    };
    let parameter = |QueryMatch { name, value }: &QueryMatch| v1::HeaderMatch {
        name: name.as_ref().into(),
        value: Some(string_match(value)),
    };
    v1::Match {
        path: Some(path),
        method: text(one.method.as_ref().map(Method::as_str)),
        headers: one.headers.iter().map(header).collect(),
        query: one.query.iter().map(parameter).collect(),
    }
}

fn filter(filter: &Filter) -> v1::Filter {
    use v1::filter::Kind;
    let kind = match filter {
        Filter::RequestHeaders(edit) => Kind::RequestHeaders(header_edit(edit)),
        Filter::ResponseHeaders(edit) => Kind::ResponseHeaders(header_edit(edit)),
        Filter::Redirect(to) => Kind::Redirect(redirect(to)),
        Filter::Rewrite(Rewrite { host, path }) => {
            Kind::Rewrite(v1::Rewrite { host: text(host.as_deref()), path: path.as_ref().map(path_edit) })
        }
        Filter::Unsupported(what) => Kind::Unsupported(what.as_ref().into()),
    };
    v1::Filter { kind: Some(kind) }
}

fn header_edit(edit: &HeaderEdit) -> v1::HeaderEdit {
    let fields = |fields: &[(HeaderName, HeaderValue)]| {
        fields
            .iter()
            .map(|(name, value)| v1::Header { name: name.as_str().into(), value: value.as_bytes().into() })
            .collect()
    };
    v1::HeaderEdit {
        set: fields(&edit.set),
        add: fields(&edit.add),
        remove: edit.remove.iter().map(|name| name.as_str().into()).collect(),
    }
}

fn redirect(redirect: &Redirect) -> v1::Redirect {
    v1::Redirect {
        scheme: text(redirect.scheme.as_deref()),
        host: text(redirect.host.as_deref()),
        port: redirect.port.map_or(0, u32::from),
        path: redirect.path.as_ref().map(path_edit),
        status: redirect.status.as_u16().into(),
    }
}

fn path_edit(edit: &PathEdit) -> v1::PathEdit {
    use v1::path_edit::Kind;
    let kind = match edit {
        PathEdit::Full(path) => Kind::Full(path.as_ref().into()),
        PathEdit::Prefix { matched, with } => {
            Kind::Prefix(v1::PrefixEdit { matched: matched.as_ref().into(), with: with.as_ref().into() })
        }
    };
    v1::PathEdit { kind: Some(kind) }
}

fn backend(backend: &Backend) -> v1::Backend {
    use v1::backend::To;
    use v1::invalid_backend::Why;
    let to = match &backend.to {
        BackendRef::Service(port) => To::Service(service_port(port)),
        BackendRef::Invalid { name, why } => {
            let why = match why {
                InvalidBackend::InvalidKind => Why::InvalidKind,
                InvalidBackend::BackendNotFound => Why::BackendNotFound,
                InvalidBackend::RefNotPermitted => Why::RefNotPermitted,
                InvalidBackend::UnsupportedProtocol => Why::UnsupportedProtocol,
            };
            To::Invalid(v1::InvalidBackend { name: name.as_ref().into(), why: why.into() })
        }
    };
    v1::Backend {
        weight: backend.weight,
        to: Some(to),
        filters: backend.filters.iter().map(filter).collect(),
    }
}
