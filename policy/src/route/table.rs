//! Finds the match that wins, by the Gateway API's precedence, without looking at the ones that cannot fit.
//!
//! Precedence first asks for the host, then for the path, and two exact names (or two prefixes of one length)
//! that fit the same request are the same name. So the matches are kept in blocks by host and path, each found
//! by binary search, and only the few inside a block are compared with the request one by one.
//!
//! The order: exact host, longer wildcard, no host; then for an HTTPRoute exact path, longer prefix, regular
//! expression, bare `/`; for a GRPCRoute exact service, then exact method; then a method, more headers, more
//! query parameters, the older route, `namespace/name`, the earlier rule, the earlier match. That a regular
//! expression beats the bare `/` is ours to say (the API calls it implementation-specific): the API fills in `/`
//! where nobody wrote a path, and it must not hide what somebody did write.

use std::cmp::{Ordering, Reverse};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::facts::Request;
use crate::object::ObjectRef;

use super::host::{HostMatch, suffixes};
use super::path::{PathMatch, StringMatch, grpc_method};
use super::{Match, Matched, Route, RouteKind};

/// The routes of one service port, sorted so that the first match that fits is the right one.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteTable {
    kind: RouteKind,
    /// By name: what was given, in an order that does not depend on how it arrived.
    routes: Vec<Route>,
    /// Matches of all rules of all routes, most specific first.
    entries: Vec<Entry>,
    /// Sorted by name.
    exact_hosts: Named<Paths>,
    /// Sorted by name.
    wildcards: Named<Paths>,
    any_host: Paths,
}

impl RouteTable {
    /// Sorts the matches of `routes`. The same routes in any order give an equal table.
    #[must_use]
    pub fn new(kind: RouteKind, mut routes: Vec<Route>) -> Self {
        routes.sort_by(|a, b| a.origin.cmp(&b.origin));
        let mut ranked: Vec<Ranked> =
            routes.iter().enumerate().flat_map(|(at, route)| ranked(at, route)).collect();
        ranked.sort_by(|a, b| a.precedence(b, &routes));
        let mut table = Self {
            kind,
            routes,
            entries: ranked.iter().map(|ranked| ranked.entry).collect(),
            exact_hosts: Vec::new(),
            wildcards: Vec::new(),
            any_host: Paths::default(),
        };
        let mut at = 0;
        for of_host in ranked.chunk_by(|a, b| a.host == b.host) {
            let paths = Paths::new(at, of_host);
            at += of_host.len();
            match of_host.first().map(|ranked| &ranked.host) {
                Some(HostKey::Exact(_, name)) => table.exact_hosts.push((Arc::clone(name), paths)),
                Some(HostKey::Wildcard(_, name)) => table.wildcards.push((Arc::clone(name), paths)),
                Some(HostKey::Any) | None => table.any_host = paths,
            }
        }
        table.exact_hosts.sort_by(|a, b| a.0.cmp(&b.0));
        table.wildcards.sort_by(|a, b| a.0.cmp(&b.0));
        table
    }

    /// Whether these are HTTPRoutes or GRPCRoutes.
    #[must_use]
    pub const fn kind(&self) -> RouteKind {
        self.kind
    }

    /// The routes, by name.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The match that wins. Without one a request that routes apply to is answered 404 (gRPC: UNIMPLEMENTED).
    #[must_use]
    pub fn find(&self, request: &Request<'_>) -> Option<Matched<'_>> {
        match self.visit(request, ControlFlow::Break) {
            ControlFlow::Break(matched) => Some(matched),
            ControlFlow::Continue(()) => None,
        }
    }

    /// Shows every match that fits, in order of precedence, until `see` has seen enough. A match of a route
    /// with several host names that fit is shown once for each of them.
    pub fn visit<'t, B>(
        &'t self,
        request: &Request<'_>,
        mut see: impl FnMut(Matched<'t>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if let Some(paths) = by_name(&self.exact_hosts, request.host) {
            self.visit_paths(paths, request, &mut see)?;
        }
        if !self.wildcards.is_empty() {
            for suffix in suffixes(request.host) {
                if let Some(paths) = by_name(&self.wildcards, suffix) {
                    self.visit_paths(paths, request, &mut see)?;
                }
            }
        }
        self.visit_paths(&self.any_host, request, &mut see)
    }

    fn visit_paths<'t, B>(
        &'t self,
        paths: &Paths,
        request: &Request<'_>,
        see: &mut impl FnMut(Matched<'t>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let path = if request.path.is_empty() { "/" } else { request.path };
        if let Some(block) = by_name(&paths.exact, path) {
            self.visit_block(block, request, PathIs::Known, see)?;
        }
        for (length, prefixes) in &paths.prefixes {
            if !matches!(path.as_bytes().get(*length), None | Some(b'/')) {
                continue; // not at the end of a segment
            }
            let block = path.get(..*length).and_then(|prefix| by_name(prefixes, prefix));
            if let Some(block) = block {
                self.visit_block(block, request, PathIs::Known, see)?;
            }
        }
        if let (false, Some((service, method))) = (paths.grpc.is_empty(), grpc_method(path)) {
            for service in [Part::Exact(service), Part::Regex, Part::Any] {
                for method in [Part::Exact(method), Part::Regex, Part::Any] {
                    let key = (service, method);
                    let found =
                        paths.grpc.binary_search_by(|((s, m), _)| (s.borrowed(), m.borrowed()).cmp(&key));
                    if let Some((_, block)) = found.ok().and_then(|at| paths.grpc.get(at)) {
                        self.visit_block(block, request, PathIs::Open, see)?;
                    }
                }
            }
        }
        self.visit_block(&paths.regex, request, PathIs::Open, see)?;
        self.visit_block(&paths.any, request, PathIs::Known, see)
    }

    fn visit_block<'t, B>(
        &'t self,
        block: &Range<usize>,
        request: &Request<'_>,
        path: PathIs,
        see: &mut impl FnMut(Matched<'t>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        for entry in self.entries.get(block.clone()).unwrap_or_default() {
            let Some((matched, by)) = entry.resolve(&self.routes) else { continue };
            let fits = by.is_none_or(|by| match path {
                PathIs::Known => by.fits_beyond_path(request),
                PathIs::Open => by.fits(request),
            });
            if fits {
                see(matched)?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether being in a block says that the path fits.
#[derive(Clone, Copy)]
enum PathIs {
    Known,
    Open,
}

/// The blocks of one host, as ranges of `RouteTable::entries`.
#[derive(Clone, Debug, Default, PartialEq)]
struct Paths {
    /// Sorted by path.
    exact: Named<Range<usize>>,
    /// By length, longest first; those of one length sorted by path.
    prefixes: Vec<(usize, Named<Range<usize>>)>,
    /// Sorted by key.
    grpc: Vec<(GrpcKey, Range<usize>)>,
    regex: Range<usize>,
    /// The bare `/`, and what says nothing about the path.
    any: Range<usize>,
}

impl Paths {
    /// The blocks of `of_host`, the first of which stands at `at` in the table.
    fn new(mut at: usize, of_host: &[Ranked]) -> Self {
        let mut paths = Self::default();
        for of_path in of_host.chunk_by(|a, b| a.path == b.path) {
            let block = at..at + of_path.len();
            at = block.end;
            match of_path.first().map(|ranked| &ranked.path) {
                Some(PathKey::Exact(path)) => paths.exact.push((Arc::clone(path), block)),
                Some(PathKey::Prefix(Reverse(length), path)) => {
                    let block = (Arc::clone(path), block);
                    match paths.prefixes.last_mut() {
                        Some((last, blocks)) if last == length => blocks.push(block),
                        _ => paths.prefixes.push((*length, vec![block])),
                    }
                }
                Some(PathKey::Grpc(service, method)) => {
                    paths.grpc.push(((service.clone(), method.clone()), block));
                }
                Some(PathKey::Regex) => paths.regex = block,
                Some(PathKey::Any) | None => paths.any = block,
            }
        }
        paths
    }
}

/// Things by name, sorted by it.
type Named<T> = Vec<(Arc<str>, T)>;

/// Service and method.
type GrpcKey = (Part<Arc<str>>, Part<Arc<str>>);

fn by_name<'t, T>(sorted: &'t [(Arc<str>, T)], name: &str) -> Option<&'t T> {
    let at = sorted.binary_search_by(|(candidate, _)| (**candidate).cmp(name)).ok()?;
    sorted.get(at).map(|(_, found)| found)
}

/// One match, by where it stands in `routes`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    route: usize,
    rule: usize,
    /// `None` for a rule without matches.
    matched: Option<usize>,
}

impl Entry {
    fn resolve<'t>(&self, routes: &'t [Route]) -> Option<(Matched<'t>, Option<&'t Match>)> {
        let route = routes.get(self.route)?;
        let rule = route.rules.get(self.rule)?;
        let matched = Matched { route, rule, rule_index: self.rule, match_index: self.matched };
        Some((matched, self.matched.and_then(|at| rule.matches.get(at))))
    }
}

/// A match with everything that decides its place. The variants of the keys stand in order of precedence.
struct Ranked {
    host: HostKey,
    path: PathKey,
    /// Then these, more first: has a method, headers, query parameters.
    more: Reverse<(bool, usize, usize)>,
    entry: Entry,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum HostKey {
    Exact(Reverse<usize>, Arc<str>),
    Wildcard(Reverse<usize>, Arc<str>),
    Any,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum PathKey {
    Exact(Arc<str>),
    Prefix(Reverse<usize>, Arc<str>),
    Grpc(Part<Arc<str>>, Part<Arc<str>>),
    Regex,
    Any,
}

/// Service or method of a gRPC match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part<S> {
    Exact(S),
    Regex,
    Any,
}

impl Part<Arc<str>> {
    fn of(wanted: Option<&StringMatch>) -> Self {
        match wanted {
            Some(StringMatch::Exact(exact)) => Self::Exact(Arc::clone(exact)),
            Some(StringMatch::Regex(_)) => Self::Regex,
            None => Self::Any,
        }
    }

    fn borrowed(&self) -> Part<&str> {
        match self {
            Self::Exact(exact) => Part::Exact(exact),
            Self::Regex => Part::Regex,
            Self::Any => Part::Any,
        }
    }
}

impl Ranked {
    fn precedence(&self, other: &Self, routes: &[Route]) -> Ordering {
        let route = |ranked: &Self| routes.get(ranked.entry.route);
        let created = |ranked: &Self| route(ranked).map(|route| route.created);
        self.host
            .cmp(&other.host)
            .then_with(|| self.path.cmp(&other.path))
            .then_with(|| self.more.cmp(&other.more))
            .then_with(|| created(self).cmp(&created(other)))
            .then_with(|| match (route(self), route(other)) {
                (Some(this), Some(that)) => alphabetical(&this.origin, &that.origin),
                _ => Ordering::Equal,
            })
            .then_with(|| self.entry.route.cmp(&other.entry.route))
            .then_with(|| self.entry.rule.cmp(&other.entry.rule))
            .then_with(|| self.entry.matched.cmp(&other.entry.matched))
    }
}

/// Every match of a route, once for each of its host names.
fn ranked(at: usize, route: &Route) -> Vec<Ranked> {
    let hosts: Vec<HostKey> = match route.hosts.as_slice() {
        [] => vec![HostKey::Any],
        hosts => hosts.iter().map(host_key).collect(),
    };
    let mut all = Vec::new();
    for host in hosts {
        for (rule_at, rule) in route.rules.iter().enumerate() {
            let entry = |matched| Entry { route: at, rule: rule_at, matched };
            if rule.matches.is_empty() {
                let more = Reverse((false, 0, 0));
                all.push(Ranked { host: host.clone(), path: PathKey::Any, more, entry: entry(None) });
            }
            for (match_at, one) in rule.matches.iter().enumerate() {
                let (host, path) = (host.clone(), path_key(&one.path));
                all.push(Ranked { host, path, more: Reverse(one.counts()), entry: entry(Some(match_at)) });
            }
        }
    }
    all
}

fn host_key(host: &HostMatch) -> HostKey {
    match host {
        HostMatch::Exact(name) => HostKey::Exact(Reverse(name.len()), Arc::clone(name)),
        HostMatch::Suffix(name) => HostKey::Wildcard(Reverse(name.len()), Arc::clone(name)),
    }
}

fn path_key(path: &PathMatch) -> PathKey {
    match path {
        PathMatch::Exact(path) => PathKey::Exact(Arc::clone(path)),
        PathMatch::Prefix(prefix) if prefix.is_empty() => PathKey::Any,
        PathMatch::Prefix(prefix) => PathKey::Prefix(Reverse(prefix.len()), Arc::clone(prefix)),
        PathMatch::Regex(_) => PathKey::Regex,
        PathMatch::Grpc { service: None, method: None } => PathKey::Any,
        PathMatch::Grpc { service, method } => {
            PathKey::Grpc(Part::of(service.as_ref()), Part::of(method.as_ref()))
        }
    }
}

/// "First in alphabetical order by {namespace}/{name}": the slash takes part, so `a-b/x` comes before `a/x`.
fn alphabetical(this: &ObjectRef, that: &ObjectRef) -> Ordering {
    let written = |object: &ObjectRef| format!("{}/{}", object.namespace, object.name);
    written(this).cmp(&written(that))
}
