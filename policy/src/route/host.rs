//! Host names of routes: exact, or a wildcard for one or more leading labels (Gateway API `Hostname`).

use std::sync::Arc;

/// A route's host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostMatch {
    /// `api.example.com`, lower case.
    Exact(Arc<str>),
    /// `*.example.com` kept as `.example.com`; does not match `example.com`.
    Suffix(Arc<str>),
}

impl HostMatch {
    /// Whether a request's host (lower case, no port) falls under this name. A wildcard stands for one or more
    /// whole labels: `*.example.com` takes `a.example.com` and `a.b.example.com`, not `example.com`.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => host == &**name,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
        }
    }
}

/// `host[:port]` without its port: what [`Request::host`](crate::facts::Request::host) holds once it is in
/// lower case. The brackets of an IPv6 literal stay, since they are part of the host (RFC 3986 §3.2.2).
#[must_use]
pub fn without_port(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.find(']').and_then(|end| authority.get(..=end)).unwrap_or(authority);
    }
    authority.split_once(':').map_or(authority, |(host, _)| host)
}

/// The suffixes a wildcard could stand before, longest first: of `a.b.c` these are `.b.c` and `.c`. None of a
/// name longer than DNS allows: it can match no route, and costs nothing.
pub(super) fn suffixes(host: &str) -> impl Iterator<Item = &str> {
    let within = if host.len() <= MAX_HOST { host } else { "" };
    within.match_indices('.').filter(|(at, _)| *at > 0).filter_map(move |(at, _)| within.get(at..))
}

/// RFC 1035 §2.3.4, in the textual form.
const MAX_HOST: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_or_more_whole_labels() {
        // Gateway API `Hostname`: "*.example.com" matches test.example.com and foo.test.example.com, not example.com.
        let table = [
            ("example.com", true, false),
            ("a.example.com", false, true),
            ("a.b.example.com", false, true),
            ("aexample.com", false, false),
            (".example.com", false, false),
            ("example.com.evil", false, false),
            ("", false, false),
        ];
        let exact = HostMatch::Exact("example.com".into());
        let wildcard = HostMatch::Suffix(".example.com".into());
        for (host, by_exact, by_wildcard) in table {
            assert_eq!(exact.matches(host), by_exact, "{host}");
            assert_eq!(wildcard.matches(host), by_wildcard, "{host}");
            let found = suffixes(host).any(|suffix| suffix == ".example.com");
            assert_eq!(found, by_wildcard, "{host} by lookup");
        }
    }

    #[test]
    fn a_port_is_no_part_of_the_host() {
        let table = [
            ("api.shop", "api.shop"),
            ("api.shop:8080", "api.shop"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:8080", "[::1]"),
            ("[::1", "[::1"),
            (":80", ""),
        ];
        for (authority, want) in table {
            assert_eq!(without_port(authority), want, "{authority}");
        }
    }
}
