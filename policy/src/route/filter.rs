//! What a rule does to a request or a response besides sending it on.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};

/// One filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// On the way up.
    RequestHeaders(HeaderEdit),
    /// On the way back.
    ResponseHeaders(HeaderEdit),
    /// Answered here.
    Redirect(Redirect),
    /// On the way up.
    Rewrite(Rewrite),
    /// Not one we know: the request is refused, never sent unfiltered (Gateway API `HTTPRouteFilter`).
    Unsupported(Arc<str>),
}

/// Changes to a set of header fields: first `remove`, then `set`, then `add`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdit {
    /// Replaces whatever is there.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Appends to what is there.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// Takes away.
    pub remove: Vec<HeaderName>,
}

/// Sends the client elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// `http` or `https`; `None` keeps the request's.
    pub scheme: Option<Arc<str>>,
    /// `None` keeps the request's.
    pub host: Option<Arc<str>>,
    /// `None`: the scheme's own where `scheme` is set, else the port that was dialled.
    pub port: Option<u16>,
    /// `None` keeps the request's. The query is always kept.
    pub path: Option<PathEdit>,
    /// 301, 302 (default), 303, 307 or 308.
    pub status: StatusCode,
}

/// Sends the request on under another name or path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// The new `Host`.
    pub host: Option<Arc<str>>,
    /// The new path; the query is kept.
    pub path: Option<PathEdit>,
}

/// A new path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathEdit {
    /// The whole of it.
    Full(Arc<str>),
    /// The part that the rule's only prefix matched.
    Prefix {
        /// As kept in [`PathMatch::Prefix`](super::path::PathMatch::Prefix).
        matched: Arc<str>,
        /// What stands there instead.
        with: Arc<str>,
    },
}
