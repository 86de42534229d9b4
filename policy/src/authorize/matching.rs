//! Whether a rule matches, seen from the side on which a mistake would hurt.
//!
//! Where a rule looks at something that is missing or cannot be read, there is no true answer. So every question
//! is asked for a [`Side`]: what is in doubt matches a deny and does not match an allow.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use crate::canonical;
use crate::facts::{Facts, Request, Source};
use crate::identity::TrustDomain;
use crate::route::path::{Pattern, StringMatch};

use super::{
    AuthorizationPolicy, AuthorizationRule, HeaderCondition, OperationMatch, PathPattern, PortPolicy,
    SourceMatch,
};

/// What a match would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Allow,
    Deny,
}

impl Side {
    /// The answer to a question that cannot be answered.
    const fn in_doubt(self) -> bool {
        matches!(self, Self::Deny)
    }
}

impl AuthorizationPolicy {
    /// The first rule that matches.
    pub(super) fn matching_rule(&self, side: Side, policy: &PortPolicy, facts: &Facts<'_>) -> Option<usize> {
        self.rules.iter().position(|rule| rule.matches(side, &policy.trust_domain, facts))
    }
}

impl AuthorizationRule {
    fn matches(&self, side: Side, ours: &TrustDomain, facts: &Facts<'_>) -> bool {
        any_or_empty(&self.from, |from| from.matches(side, ours, &facts.source))
            && any_or_empty(&self.to, |to| to.matches(side, facts.request.as_ref()))
    }
}

impl SourceMatch {
    fn matches(&self, side: Side, ours: &TrustDomain, source: &Source<'_>) -> bool {
        any_or_empty(&self.identities, |wanted| {
            source.identity.map_or(side.in_doubt(), |identity| identity == wanted)
        }) && any_or_empty(&self.namespaces, |wanted| match (source.namespace(), source.identity) {
            (Some(namespace), Some(identity)) => {
                // Another trust domain's `shop` is not ours: good enough to be kept out, not to be let in.
                let trusted = side == Side::Deny || identity.trust_domain() == ours.as_str();
                trusted && *namespace == **wanted
            }
            _ => side.in_doubt(),
        }) && any_or_empty(&self.cidrs, |net| source.addr.map_or(side.in_doubt(), |addr| covers(net, addr)))
    }
}

impl OperationMatch {
    fn matches(&self, side: Side, request: Option<&Request<'_>>) -> bool {
        let Some(request) = request else {
            let asks_nothing = self.methods.is_empty() && self.paths.is_empty() && self.headers.is_empty();
            return asks_nothing || side.in_doubt();
        };
        any_or_empty(&self.methods, |method| match side {
            Side::Allow => **method == *request.method.as_str(),
            // `delete` is another method than `DELETE` (RFC 9110 §9.1), and there are servers that do not know it.
            Side::Deny => method.eq_ignore_ascii_case(request.method.as_str()),
        }) && any_or_empty(&self.paths, |path| match canonical::is_ambiguous(request.path) {
            true => side.in_doubt(),
            false => path.matches(side, request.path),
        }) && self.headers.iter().all(|header| header.matches(side, request.headers))
    }
}

impl PathPattern {
    /// For a path that all servers read in one way.
    fn matches(&self, side: Side, path: &str) -> bool {
        match self {
            Self::Exact(exact) => canonical::same(path, exact),
            Self::Prefix(prefix) => canonical::falls_under(path, prefix),
            Self::Regex(pattern) => match_spellings(side, pattern, path),
        }
    }
}

/// An expression sees the path as it is written and with its escapes undone: a deny matches if it matches either, an
/// allow only if both. One that speaks of escapes itself means the written form.
fn match_spellings(side: Side, pattern: &Pattern, path: &str) -> bool {
    let written = pattern.matches(path);
    if !path.contains('%') || pattern.as_str().contains('%') || written == side.in_doubt() {
        return written;
    }
    canonical::unescape(path).map_or(side.in_doubt(), |path| pattern.matches(&path))
}

impl HeaderCondition {
    /// A header that is not there has no value, so it matches on neither side. One that is there may carry
    /// several values, as several lines or as a comma list (RFC 9110 §5.3), and it is not ours to know how the
    /// application reads it: a deny matches if any reading of any line does, an allow only if every value does.
    fn matches(&self, side: Side, headers: &HeaderMap) -> bool {
        let mut lines = headers.get_all(&self.name).iter().peekable();
        match side {
            Side::Deny => lines.any(|line| {
                line.to_str()
                    .map_or(true, |line| self.has(line) || elements(line).any(|value| self.has(value)))
            }),
            Side::Allow => {
                lines.peek().is_some()
                    && lines.all(|line| {
                        line.to_str()
                            .is_ok_and(|line| self.is(line) || elements(line).all(|value| self.has(value)))
                    })
            }
        }
    }

    fn has(&self, value: &str) -> bool {
        self.values.iter().any(|wanted| wanted.matches(value))
    }

    /// The same, by an exact value only: a regular expression could swallow a comma and what hides behind it.
    fn is(&self, line: &str) -> bool {
        self.values.iter().any(|wanted| matches!(wanted, StringMatch::Exact(exact) if **exact == *line))
    }
}

fn elements(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(|value| value.trim_matches([' ', '\t']))
}

/// An IPv4 address is the same in its IPv6-mapped form, on either side.
fn covers(net: &IpNet, addr: IpAddr) -> bool {
    let mapped = match addr {
        IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
        IpAddr::V6(_) => addr,
    };
    net.contains(&addr.to_canonical()) || net.contains(&mapped)
}

/// An empty field asks for nothing.
fn any_or_empty<T>(wanted: &[T], matches: impl FnMut(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(matches)
}
