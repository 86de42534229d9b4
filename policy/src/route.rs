//! Which rule a request falls under, and what the rule says.
//!
//! Precedence is decided over all matches of all routes of a service, not rule by rule (Gateway API
//! `HTTPRouteRule.matches`, `GRPCRouteRule.matches`): [`RouteTable::new`] sorts them once, when the routes
//! arrive, and a request takes the first that fits.

pub mod host;
pub mod path;
pub mod header;
pub mod filter;
pub mod split;
mod table;

pub use table::RouteTable;

use std::sync::Arc;

use http::Method;

use crate::deadline::Timeouts;
use crate::facts::Request;
use crate::object::{ObjectRef, ServiceName, ServicePort};
use crate::retry::Retry;

use filter::Filter;
use header::{HeaderMatch, QueryMatch};
use host::HostMatch;
use path::PathMatch;

/// The routes that apply to one service, for one class of client namespace: consumer routes replace producer
/// routes, so the control plane sends a proxy only the group that holds for it (GEP-1426).
#[derive(Clone, Debug, PartialEq)]
pub struct Routes {
    /// The parent of every route in here.
    pub service: ServiceName,
    /// By service port, sorted. A port that is not listed has no routes and is sent to the service itself.
    pub ports: Vec<(u16, RouteTable)>,
}

impl Routes {
    /// The table that holds for a port.
    #[must_use]
    pub fn table(&self, port: u16) -> Option<&RouteTable> {
        self.ports.iter().find(|(number, _)| *number == port).map(|(_, table)| table)
    }
}

/// Whether requests that match nothing get `404` or gRPC's `UNIMPLEMENTED`. The two kinds are never merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// `HTTPRoute`
    Http,
    /// `GRPCRoute`
    Grpc,
}

/// One route object.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The object.
    pub origin: ObjectRef,
    /// `metadata.creationTimestamp`, seconds since 1970; the older route wins. 0 where there is none (files).
    pub created: u64,
    /// Empty: any host. Routes of a Service carry none (GEP-1294: they are ignored in a mesh).
    pub hosts: Vec<HostMatch>,
    /// In the order written.
    pub rules: Vec<Rule>,
}

/// One rule of a route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// `rules[].name`
    pub name: Option<Arc<str>>,
    /// Any of these; empty matches everything (`PathPrefix /`).
    pub matches: Vec<Match>,
    /// Applied in order, before a backend's own.
    pub filters: Vec<Filter>,
    /// Where to send, by weight. Empty, or weights that sum to zero: `500`.
    pub backends: Vec<Backend>,
    /// `rules[].timeouts`
    pub timeouts: Timeouts,
    /// `rules[].retry`; `None`: what the backend's [`Traffic`](crate::snapshot::Traffic) says.
    pub retry: Option<Retry>,
}

/// All of these at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Match {
    /// The path, or a gRPC method.
    pub path: PathMatch,
    /// `None`: any.
    pub method: Option<Method>,
    /// Every one of these.
    pub headers: Vec<HeaderMatch>,
    /// Every one of these.
    pub query: Vec<QueryMatch>,
}

/// One destination of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Its share is `weight / sum of weights`.
    pub weight: u32,
    /// Where.
    pub to: BackendRef,
    /// Applied after the rule's own.
    pub filters: Vec<Filter>,
}

/// Where a backend reference leads.
#[derive(Clone, Debug, PartialEq)]
pub enum BackendRef {
    /// To the endpoints of a Service port, never to that Service's own routes.
    Service(ServicePort),
    /// Nowhere: its share of requests is answered `500` (gRPC: `UNAVAILABLE`).
    Invalid {
        /// As written: `Service shop/api-v3:8080`.
        name: Arc<str>,
        /// Why.
        why: InvalidBackend,
    },
}

/// Why a backend reference leads nowhere; the words are the reasons of the `ResolvedRefs` condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvalidBackend {
    /// Not a kind a route can point at.
    InvalidKind,
    /// No such Service, or no such port.
    BackendNotFound,
    /// In another namespace, without a `ReferenceGrant` where one is needed.
    RefNotPermitted,
    /// It speaks what this kind of route cannot carry.
    UnsupportedProtocol,
}

impl InvalidBackend {
    /// Every reason, in the order of declaration. The wire numbers them from 1 in this order.
    pub const ALL: [Self; 4] =
        [Self::InvalidKind, Self::BackendNotFound, Self::RefNotPermitted, Self::UnsupportedProtocol];

    /// The condition's reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidKind => "InvalidKind",
            Self::BackendNotFound => "BackendNotFound",
            Self::RefNotPermitted => "RefNotPermitted",
            Self::UnsupportedProtocol => "UnsupportedProtocol",
        }
    }
}

/// Where a request fell: one match of one rule of one route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matched<'s> {
    /// The route object.
    pub route: &'s Route,
    /// Its rule.
    pub rule: &'s Rule,
    /// The rule's place in the route, from 0.
    pub rule_index: usize,
    /// Which of the rule's matches, from 0; `None`: the rule has none and takes everything.
    pub match_index: Option<usize>,
}

impl<'s> Matched<'s> {
    /// The match that fitted; `None`: the rule has none and takes everything.
    #[must_use]
    pub fn by(&self) -> Option<&'s Match> {
        self.rule.matches.get(self.match_index?)
    }
}

impl Match {
    /// Whether a request meets every part of this.
    #[must_use]
    pub fn fits(&self, request: &Request<'_>) -> bool {
        self.path.matches(request.path) && self.fits_beyond_path(request)
    }

    /// Method, headers and query. Of several entries with one name only the first counts (Gateway API
    /// `HTTPHeaderMatch.name`, `HTTPQueryParamMatch.name`).
    fn fits_beyond_path(&self, request: &Request<'_>) -> bool {
        self.method.as_ref().is_none_or(|method| method == request.method)
            && self.counted_headers().all(|header| header.matches(request.headers))
            && self.counted_query().all(|parameter| parameter.matches(request.query))
    }

    /// Has a method, number of headers, of query parameters: what precedence asks after the path.
    pub(crate) fn counts(&self) -> (bool, usize, usize) {
        (self.method.is_some(), self.counted_headers().count(), self.counted_query().count())
    }

    fn counted_headers(&self) -> impl Iterator<Item = &HeaderMatch> {
        first_by(&self.headers, |header| &header.name)
    }

    fn counted_query(&self) -> impl Iterator<Item = &QueryMatch> {
        first_by(&self.query, |parameter| &parameter.name)
    }
}

/// The entries whose name no earlier one has.
fn first_by<T, N: PartialEq + ?Sized>(all: &[T], name: impl Fn(&T) -> &N) -> impl Iterator<Item = &T> {
    all.iter().enumerate().filter_map(move |(at, item)| {
        all.iter().take(at).all(|earlier| name(earlier) != name(item)).then_some(item)
    })
}

#[cfg(test)]
mod tests;
