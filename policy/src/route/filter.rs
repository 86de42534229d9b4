//! What a rule does to a request or a response besides sending it on.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

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

impl HeaderEdit {
    /// Edits `headers`: removes, then replaces, then appends. Names ignore case by nature of their type.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

impl PathEdit {
    /// The path that takes `path`'s place (Gateway API `HTTPPathModifier`). Always begins with exactly one slash:
    /// `//bar` would be read as a host by whoever resolves it as a reference (RFC 3986 §4.2).
    ///
    /// A path that the prefix does not cover stays as it is: the rule has another match as well, which the API
    /// forbids.
    #[must_use]
    pub fn apply<'p>(&'p self, path: &'p str) -> Cow<'p, str> {
        match self {
            Self::Full(with) => one_slash(Cow::Borrowed(with)),
            Self::Prefix { matched, with } => {
                let matched = matched.trim_end_matches('/');
                let with = with.trim_end_matches('/'); // "a trailing / is ignored"
                match path.strip_prefix(matched) {
                    Some("") => one_slash(Cow::Borrowed(with)),
                    Some(rest) if rest.starts_with('/') && with.is_empty() => one_slash(Cow::Borrowed(rest)),
                    Some(rest) if rest.starts_with('/') => one_slash(Cow::Owned(format!("{with}{rest}"))),
                    _ => Cow::Borrowed(path),
                }
            }
        }
    }
}

impl Redirect {
    /// The value of `Location` (Gateway API `HTTPRequestRedirectFilter`). `port` is the one that was dialled: a
    /// mesh has no listener (GAMMA), and what the client wrote in `Host` proves nothing. `host` has no port.
    #[must_use]
    pub fn location(&self, scheme: &str, host: &str, port: u16, path: &str, query: Option<&str>) -> String {
        let own_scheme = self.scheme.as_deref();
        let scheme = own_scheme.unwrap_or(scheme);
        let host = self.host.as_deref().unwrap_or(host);
        let port = self.port.or_else(|| well_known_port(own_scheme?)).unwrap_or(port);
        let path = self.path.as_ref().map_or(Cow::Borrowed(path), |edit| edit.apply(path));

        let mut location = if host.contains(':') && !host.starts_with('[') {
            format!("{scheme}://[{host}]")
        } else {
            format!("{scheme}://{host}")
        };
        if well_known_port(scheme) != Some(port) {
            write!(location, ":{port}").expect("a String takes whatever is written");
        }
        location.push_str(&path);
        if let Some(query) = query {
            location.push('?');
            location.push_str(query);
        }
        location
    }
}

fn well_known_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn one_slash(path: Cow<'_, str>) -> Cow<'_, str> {
    let rest = path.trim_start_matches('/');
    match path.len() - rest.len() {
        1 => path,
        0 => Cow::Owned(format!("/{path}")),
        more => match path {
            Cow::Borrowed(path) => Cow::Borrowed(path.get(more - 1..).unwrap_or("/")),
            Cow::Owned(path) => Cow::Owned(path.get(more - 1..).unwrap_or("/").to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(matched: &str, with: &str) -> PathEdit {
        PathEdit::Prefix { matched: matched.into(), with: with.into() }
    }

    #[test]
    fn a_replaced_prefix_follows_the_table_of_the_gateway_api() {
        // HTTPPathModifier.replacePrefixMatch; prefixes are kept without trailing slash, "/" as "".
        let table = [
            ("/foo/bar", prefix("/foo", "/xyz"), "/xyz/bar"),
            ("/foo/bar", prefix("/foo", "/xyz/"), "/xyz/bar"),
            ("/foo/bar", prefix("/foo/", "/xyz"), "/xyz/bar"),
            ("/foo/bar", prefix("/foo/", "/xyz/"), "/xyz/bar"),
            ("/foo", prefix("/foo", "/xyz"), "/xyz"),
            ("/foo", prefix("/foo", "/xyz/"), "/xyz"),
            ("/foo/", prefix("/foo", "/xyz"), "/xyz/"),
            ("/foo/bar", prefix("/foo", ""), "/bar"),
            ("/foo/bar", prefix("/foo", "/"), "/bar"),
            ("/foo/", prefix("/foo", ""), "/"),
            ("/foo/", prefix("/foo", "/"), "/"),
            ("/foo", prefix("/foo", ""), "/"),
            ("/foo", prefix("/foo", "/"), "/"),
            // The prefix `/` covers everything.
            ("/bar", prefix("", "/xyz"), "/xyz/bar"),
            ("/", prefix("", "/xyz"), "/xyz/"),
            ("/", prefix("", "/"), "/"),
            // By whole segments only.
            ("/foobar", prefix("/foo", "/xyz"), "/foobar"),
            // Never two slashes in front, never nothing.
            ("/foo//bar", prefix("/foo", ""), "/bar"),
            ("/foo/bar", prefix("/foo", "//evil.example"), "/evil.example/bar"),
            ("/foo/bar", prefix("/foo", "xyz"), "/xyz/bar"),
            ("/foo", PathEdit::Full("/one".into()), "/one"),
            ("/foo", PathEdit::Full("/one/".into()), "/one/"),
            ("/foo", PathEdit::Full("//evil.example".into()), "/evil.example"),
            ("/foo", PathEdit::Full("".into()), "/"),
        ];
        for (path, edit, want) in table {
            assert_eq!(edit.apply(path), want, "{path} {edit:?}");
        }
    }

    #[test]
    fn a_redirect_names_the_port_that_was_dialled_unless_it_goes_without_saying() {
        // HTTPRequestRedirectFilter.{scheme,hostname,port,path}; request: http://api.shop:PORT/cart?x=1
        let redirect = |scheme: Option<&str>, host: Option<&str>, port, path| Redirect {
            scheme: scheme.map(Arc::from),
            host: host.map(Arc::from),
            port,
            path,
            status: StatusCode::FOUND,
        };
        let table = [
            (redirect(None, None, None, None), 80, "http://api.shop/cart?x=1"),
            (redirect(None, None, None, None), 8080, "http://api.shop:8080/cart?x=1"),
            (redirect(None, Some("new.shop"), None, None), 8080, "http://new.shop:8080/cart?x=1"),
            (redirect(Some("https"), None, None, None), 8080, "https://api.shop/cart?x=1"),
            (redirect(Some("http"), None, None, None), 8080, "http://api.shop/cart?x=1"),
            (redirect(Some("https"), None, Some(8443), None), 80, "https://api.shop:8443/cart?x=1"),
            (redirect(Some("https"), None, Some(80), None), 80, "https://api.shop:80/cart?x=1"),
            (redirect(None, None, Some(80), None), 8080, "http://api.shop/cart?x=1"),
            (redirect(None, None, Some(443), None), 8080, "http://api.shop:443/cart?x=1"),
            (redirect(None, None, None, Some(PathEdit::Full("/new".into()))), 80, "http://api.shop/new?x=1"),
            (redirect(None, None, None, Some(prefix("/cart", ""))), 80, "http://api.shop/?x=1"),
            (redirect(None, Some("::1"), None, None), 80, "http://[::1]/cart?x=1"),
        ];
        for (redirect, port, want) in table {
            assert_eq!(
                redirect.location("http", "api.shop", port, "/cart", Some("x=1")),
                want,
                "{redirect:?}"
            );
        }
        let plain = redirect(None, None, None, None);
        assert_eq!(plain.location("https", "api.shop", 443, "/", None), "https://api.shop/");
    }

    #[test]
    fn header_edits_ignore_case_and_append_after_setting() {
        // HTTPHeaderFilter: set overwrites, add appends, remove takes away.
        let pair = |name: &str, value: &str| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        let edit = HeaderEdit {
            set: vec![pair("X-Set", "new"), pair("X-Fresh", "1")],
            add: vec![pair("x-add", "v2"), pair("X-Set", "more")],
            remove: vec!["X-Gone".parse().unwrap(), "x-absent".parse().unwrap()],
        };
        let mut headers = HeaderMap::new();
        for (name, value) in
            [pair("x-set", "old"), pair("X-SET", "older"), pair("X-ADD", "v1"), pair("x-gone", "1")]
        {
            headers.append(name, value);
        }
        edit.apply(&mut headers);
        let all = |name: &str| {
            headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(all("x-set"), ["new", "more"]);
        assert_eq!(all("x-add"), ["v1", "v2"]);
        assert_eq!(all("x-fresh"), ["1"]);
        assert_eq!(all("x-gone"), [""; 0]);
    }
}
