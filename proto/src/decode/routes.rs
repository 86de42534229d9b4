//! Routes. A rule that is not understood in full rejects the resource: half a rule would send requests where
//! nobody meant them to go.

use std::sync::Arc;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use weft_policy::route::filter::{Filter, HeaderEdit, PathEdit, Redirect, Rewrite};
use weft_policy::route::header::{HeaderMatch, QueryMatch};
use weft_policy::route::host::HostMatch;
use weft_policy::route::path::PathMatch;
use weft_policy::route::{
    Backend, BackendRef, InvalidBackend, Match, Route, RouteKind, RouteTable, Routes, Rule,
};

use super::endpoints::sum_of_weights;
use super::service::host;
use super::{
    Patterns, header_name, object, optional_text, repeated, retry, service_name, service_port, timeouts,
};
use crate::field::{Named, Rejected, bounded, list, optional, port, required, set, text, unknown};
use crate::v1;

/// Reads the routes of one service.
///
/// # Errors
/// The first field that is wrong, or a port or route object that stands there twice.
pub fn routes(wire: v1::Routes) -> Result<Routes, Rejected> {
    let mut reader = Reader::default();
    let service = required("service", wire.service, service_name)?;
    let mut ports: Vec<(u16, RouteTable)> =
        bounded("ports", wire.ports, usize::from(u16::MAX), |port| reader.port_routes(port))?;
    ports.sort_by_key(|(number, _)| *number);
    if let Some((twice, _)) = repeated(&ports, |(number, _)| *number) {
        return Err(Rejected::because(format!("has port {twice} twice")).under("ports"));
    }
    Ok(Routes { service, ports })
}

/// The most matches in one resource. Each is a step of a search; sixteen routes of the Gateway API's largest
/// size have 2048.
const MAX_MATCHES: usize = 1 << 16;

/// What is bounded over a whole resource.
#[derive(Default)]
struct Reader {
    patterns: Patterns,
    matches: usize,
}

impl Reader {
    fn port_routes(&mut self, wire: v1::PortRoutes) -> Result<(u16, RouteTable), Rejected> {
        let number = port(wire.port).named("port")?;
        let kind = match v1::RouteKind::try_from(wire.kind) {
            Ok(v1::RouteKind::Http) => RouteKind::Http,
            Ok(v1::RouteKind::Grpc) => RouteKind::Grpc,
            Ok(v1::RouteKind::Unspecified) | Err(_) => {
                return Err(unknown("route kind", wire.kind).under("kind"));
            }
        };
        let routes: Vec<Route> = list("routes", wire.routes, |route| self.route(route))?;
        let table = RouteTable::new(kind, routes);
        if let Some(twice) = repeated(table.routes(), |route| route.origin.clone()) {
            return Err(Rejected::because(format!("has {} twice", twice.origin)).under("routes"));
        }
        Ok((number, table))
    }

    fn route(&mut self, wire: v1::Route) -> Result<Route, Rejected> {
        Ok(Route {
            origin: required("origin", wire.origin, object)?,
            created: wire.created,
            hosts: list("hosts", &wire.hosts, |name| host_match(name))?,
            rules: list("rules", wire.rules, |rule| self.rule(rule))?,
        })
    }

    fn rule(&mut self, wire: v1::Rule) -> Result<Rule, Rejected> {
        // A rule without matches is one match of everything.
        self.matches += wire.matches.len().max(1);
        if self.matches > MAX_MATCHES {
            return Err(
                Rejected::because(format!("is beyond the {MAX_MATCHES} that are allowed")).under("matches")
            );
        }
        let backends: Vec<Backend> = list("backends", wire.backends, backend)?;
        sum_of_weights(backends.iter().map(|backend| backend.weight)).named("backends")?;
        Ok(Rule {
            name: optional_text(&wire.name).named("name")?,
            matches: list("matches", wire.matches, |one| self.one_match(one))?,
            filters: list("filters", wire.filters, filter)?,
            backends,
            timeouts: optional("timeouts", wire.timeouts, timeouts)?.unwrap_or_default(),
            retry: optional("retry", wire.retry, retry)?,
        })
    }

    fn one_match(&mut self, wire: v1::Match) -> Result<Match, Rejected> {
        Ok(Match {
            path: self.path(wire.path).named("path")?,
            method: method(&wire.method).named("method")?,
            headers: list("headers", wire.headers, |header| {
                Ok(HeaderMatch {
                    name: header_name(&header.name).named("name")?,
                    value: required("value", header.value, |value| self.patterns.string_match(value))?,
                })
            })?,
            query: list("query", wire.query, |parameter| {
                Ok(QueryMatch {
                    name: text(&parameter.name).named("name")?.into(),
                    value: required("value", parameter.value, |value| self.patterns.string_match(value))?,
                })
            })?,
        })
    }

    fn path(&mut self, wire: Option<v1::r#match::Path>) -> Result<PathMatch, Rejected> {
        use v1::r#match::Path;
        let wire = wire.ok_or_else(|| Rejected::because("is of a kind that this build does not know"))?;
        Ok(match wire {
            Path::Exact(path) => PathMatch::Exact(text(&path)?.into()),
            Path::Prefix(prefix) => PathMatch::Prefix(path_prefix(&prefix)?),
            Path::Regex(regex) => PathMatch::Regex(self.patterns.pattern(regex)?),
            Path::Grpc(grpc) => PathMatch::Grpc {
                service: optional("service", grpc.service, |value| self.patterns.string_match(value))?,
                method: optional("method", grpc.method, |value| self.patterns.string_match(value))?,
            },
        })
    }
}

/// A prefix by whole segments, in the form in which it is kept: without trailing slash.
pub(super) fn path_prefix(wire: &str) -> Result<Arc<str>, Rejected> {
    let prefix = text(wire)?.trim_end_matches('/');
    if !prefix.is_empty() && !prefix.starts_with('/') {
        return Err(Rejected::because("is a path that does not begin with a slash"));
    }
    Ok(prefix.into())
}

fn method(wire: &str) -> Result<Option<Method>, Rejected> {
    let bad = |_| Rejected::because("is not an HTTP method");
    set(text(wire)?).map(|method| Method::from_bytes(method.as_bytes()).map_err(bad)).transpose()
}

fn host_match(wire: &str) -> Result<HostMatch, Rejected> {
    match wire.strip_prefix('*') {
        Some(suffix) if suffix.starts_with('.') && suffix.len() > 1 && !suffix.contains('*') => {
            host(suffix).map(HostMatch::Suffix)
        }
        None if !wire.contains('*') => host(wire).map(HostMatch::Exact),
        _ => Err(Rejected::because("has a * that does not stand for its first labels")),
    }
}

fn filter(wire: v1::Filter) -> Result<Filter, Rejected> {
    use v1::filter::Kind;
    let wire = wire.kind.ok_or_else(|| Rejected::because("is of a kind that this build does not know"))?;
    Ok(match wire {
        Kind::RequestHeaders(edit) => Filter::RequestHeaders(header_edit(edit).named("request_headers")?),
        Kind::ResponseHeaders(edit) => Filter::ResponseHeaders(header_edit(edit).named("response_headers")?),
        Kind::Redirect(to) => Filter::Redirect(redirect(to).named("redirect")?),
        Kind::Rewrite(to) => Filter::Rewrite(rewrite(to).named("rewrite")?),
        Kind::Unsupported(what) => Filter::Unsupported(text(&what).named("unsupported")?.into()),
    })
}

fn header_edit(wire: v1::HeaderEdit) -> Result<HeaderEdit, Rejected> {
    let field = |field: v1::Header| -> Result<(HeaderName, HeaderValue), Rejected> {
        let value = HeaderValue::from_bytes(&field.value)
            .map_err(|_| Rejected::because("is not a header value").under("value"))?;
        Ok((header_name(&field.name).named("name")?, value))
    };
    Ok(HeaderEdit {
        set: list("set", wire.set, field)?,
        add: list("add", wire.add, field)?,
        remove: list("remove", &wire.remove, |name| header_name(name))?,
    })
}

fn redirect(wire: v1::Redirect) -> Result<Redirect, Rejected> {
    let scheme = match wire.scheme.as_str() {
        "" | "http" | "https" => set(&wire.scheme).map(Arc::from),
        _ => return Err(Rejected::because("is neither http nor https").under("scheme")),
    };
    let status = match wire.status {
        301 => StatusCode::MOVED_PERMANENTLY,
        302 => StatusCode::FOUND,
        303 => StatusCode::SEE_OTHER,
        307 => StatusCode::TEMPORARY_REDIRECT,
        308 => StatusCode::PERMANENT_REDIRECT,
        other => return Err(Rejected::because(format!("{other} does not redirect")).under("status")),
    };
    Ok(Redirect {
        scheme,
        host: authority(&wire.host).named("host")?,
        port: (wire.port != 0).then(|| port(wire.port)).transpose().named("port")?,
        path: optional("path", wire.path, path_edit)?,
        status,
    })
}

fn rewrite(wire: v1::Rewrite) -> Result<Rewrite, Rejected> {
    Ok(Rewrite { host: authority(&wire.host).named("host")?, path: optional("path", wire.path, path_edit)? })
}

/// A host that is written into `Host` or `Location`.
fn authority(wire: &str) -> Result<Option<Arc<str>>, Rejected> {
    let Some(host) = set(text(wire)?) else { return Ok(None) };
    match host.parse::<Authority>() {
        Ok(authority) if !host.contains('@') && authority.host().len() == host.len() => Ok(Some(host.into())),
        _ => Err(Rejected::because("is not a host name without port")),
    }
}

fn path_edit(wire: v1::PathEdit) -> Result<PathEdit, Rejected> {
    use v1::path_edit::Kind;
    let wire = wire.kind.ok_or_else(|| Rejected::because("is of a kind that this build does not know"))?;
    Ok(match wire {
        Kind::Full(path) => PathEdit::Full(new_path(&path).named("full")?),
        Kind::Prefix(v1::PrefixEdit { matched, with }) => PathEdit::Prefix {
            matched: path_prefix(&matched).named("prefix.matched")?,
            with: if with.is_empty() { with.into() } else { new_path(&with).named("prefix.with")? },
        },
    })
}

/// A path that is written into a request: what cannot stand there is found now and not at every request.
fn new_path(wire: &str) -> Result<Arc<str>, Rejected> {
    let sound = text(wire)?.starts_with('/') && wire.parse::<PathAndQuery>().is_ok_and(|path| path == wire);
    if !sound {
        return Err(Rejected::because("is not a path that begins with a slash"));
    }
    Ok(wire.into())
}

fn backend(wire: v1::Backend) -> Result<Backend, Rejected> {
    use v1::backend::To;
    let to = wire
        .to
        .ok_or_else(|| Rejected::because("leads to a kind that this build does not know").under("to"))?;
    let to = match to {
        To::Service(port) => BackendRef::Service(service_port(port).named("service")?),
        To::Invalid(wire) => BackendRef::Invalid {
            name: text(&wire.name).named("invalid.name")?.into(),
            why: why_invalid(wire.why).named("invalid.why")?,
        },
    };
    Ok(Backend { weight: wire.weight, to, filters: list("filters", wire.filters, filter)? })
}

fn why_invalid(wire: i32) -> Result<InvalidBackend, Rejected> {
    use v1::invalid_backend::Why;
    Ok(match Why::try_from(wire) {
        Ok(Why::InvalidKind) => InvalidBackend::InvalidKind,
        Ok(Why::BackendNotFound) => InvalidBackend::BackendNotFound,
        Ok(Why::RefNotPermitted) => InvalidBackend::RefNotPermitted,
        Ok(Why::UnsupportedProtocol) => InvalidBackend::UnsupportedProtocol,
        Ok(Why::Unspecified) | Err(_) => return Err(unknown("reason", wire)),
    })
}
