//! Filters of rules and backends, and which of them cannot stand together.
//!
//! A filter that is not carried out becomes [`Filter::Unsupported`], which answers with an error: no request
//! passes by a filter that was meant for it (Gateway API `HTTPRouteFilter`).

use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};
use weft_policy::route::filter::{Filter, HeaderEdit, PathEdit, Redirect, Rewrite};
use weft_policy::route::path::PathMatch;

use crate::gateway_api::filter::{
    Filter as Written, HeaderModifier, PathModifier, PathModifierType, RequestRedirect, UrlRewrite,
};
use crate::gateway_api::{Open, http_route::HttpRule};

use super::condition::Reason;
use super::findings::Findings;

/// Lowers the filters at `field`. `matched` is the prefix that a `ReplacePrefixMatch` replaces, if the rule has
/// exactly one.
pub(super) fn lower(
    written: &[Written],
    field: &str,
    matched: Option<&Arc<str>>,
    findings: &mut Findings,
) -> Vec<Filter> {
    exclusive(written, field, findings);
    let mut filters = Vec::with_capacity(written.len());
    for (index, filter) in written.iter().enumerate() {
        let field = format!("{field}[{index}]");
        match filter {
            Written::RequestHeaders(edit) => {
                let field = format!("{field}.requestHeaderModifier");
                filters.push(Filter::RequestHeaders(header_edit(edit, &field, findings)));
            }
            Written::ResponseHeaders(edit) => {
                let field = format!("{field}.responseHeaderModifier");
                filters.push(Filter::ResponseHeaders(header_edit(edit, &field, findings)));
            }
            Written::Redirect(written) => {
                let field = format!("{field}.requestRedirect");
                filters.extend(redirect(written, &field, matched, findings).map(Filter::Redirect));
            }
            Written::Rewrite(written) => {
                let field = format!("{field}.urlRewrite");
                filters.extend(rewrite(written, &field, matched, findings).map(Filter::Rewrite));
            }
            Written::NotCarried(name) => {
                findings.partial(format!("{field}.type"), format!(
                    "Fall Back: the filter {name} is not supported, so requests that it was meant for are answered with 500"
                ));
                filters.push(Filter::Unsupported(Arc::clone(name)));
            }
        }
    }
    filters
}

/// The rules that the CRDs write in CEL.
fn exclusive(written: &[Written], field: &str, findings: &mut Findings) {
    let count = |name: &str| written.iter().filter(|filter| filter.type_name() == name).count();
    for once in ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite"] {
        if count(once) > 1 {
            findings.refuse(Reason::IncompatibleFilters, field, format!("{once} stands more than once"));
        }
    }
    if count("RequestRedirect") > 0 && count("URLRewrite") > 0 {
        let message = "RequestRedirect and URLRewrite exclude each other";
        findings.refuse(Reason::IncompatibleFilters, field, message);
    }
}

/// The prefix that all requests of a rule share: that of its only match. A rule without matches has the CRD's
/// default match, `PathPrefix /`.
pub(super) fn only_prefix(rule: &HttpRule, lowered: &[PathMatch]) -> Option<Arc<str>> {
    match (rule.matches.as_slice(), lowered) {
        ([], _) => Some(Arc::default()),
        ([_], [PathMatch::Prefix(prefix)]) => Some(Arc::clone(prefix)),
        _ => None,
    }
}

fn header_edit(written: &HeaderModifier, field: &str, findings: &mut Findings) -> HeaderEdit {
    let mut pairs = |list: &[(Arc<str>, Arc<str>)], what: &str| {
        let mut lowered: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (index, (name, value)) in list.iter().enumerate() {
            let field = format!("{field}.{what}[{index}]");
            let name = header_name(name, &format!("{field}.name"), findings);
            let value = HeaderValue::from_str(value);
            if value.is_err() {
                let message = "a header's value has visible characters, spaces and tabs only";
                findings.refuse(Reason::UnsupportedValue, format!("{field}.value"), message);
            }
            // Of names that are equal but for case only the first counts (Gateway API `HTTPHeaderFilter`).
            if let (Some(name), Ok(value)) = (name, value)
                && lowered.iter().all(|(known, _)| *known != name)
            {
                lowered.push((name, value));
            }
        }
        lowered
    };
    let (set, add) = (pairs(&written.set, "set"), pairs(&written.add, "add"));
    let names = written.remove.iter().enumerate();
    let remove =
        names.filter_map(|(index, name)| header_name(name, &format!("{field}.remove[{index}]"), findings));
    HeaderEdit { set, add, remove: remove.collect() }
}

/// A header's name that a rule may name. `Host` and pseudo-headers are not among them.
pub(super) fn header_name(name: &str, field: &str, findings: &mut Findings) -> Option<HeaderName> {
    let parsed = name.parse::<HeaderName>().ok();
    if parsed.is_none() {
        let message = format!("`{}` cannot be a header's name", crate::reader::shorten(name));
        findings.refuse(Reason::UnsupportedValue, field, message);
    }
    parsed
}

fn redirect(
    written: &RequestRedirect,
    field: &str,
    matched: Option<&Arc<str>>,
    findings: &mut Findings,
) -> Option<Redirect> {
    let status = written.status.unwrap_or(302);
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let message = format!("{status} is no redirect; use 301, 302, 303, 307 or 308");
        findings.refuse(Reason::UnsupportedValue, format!("{field}.statusCode"), message);
    }
    if let Some(scheme) = written.scheme.as_deref().filter(|scheme| !matches!(*scheme, "http" | "https")) {
        let message =
            format!("the scheme `{}` is not known; use http or https", crate::reader::shorten(scheme));
        findings.refuse(Reason::UnsupportedValue, format!("{field}.scheme"), message);
    }
    Some(Redirect {
        scheme: written.scheme.clone(),
        host: host(written.hostname.as_ref(), field, findings),
        port: written.port,
        path: path_edit(written.path.as_ref(), field, matched, findings),
        status: StatusCode::from_u16(status).ok()?,
    })
}

fn rewrite(
    written: &UrlRewrite,
    field: &str,
    matched: Option<&Arc<str>>,
    findings: &mut Findings,
) -> Option<Rewrite> {
    Some(Rewrite {
        host: host(written.hostname.as_ref(), field, findings),
        path: path_edit(written.path.as_ref(), field, matched, findings),
    })
}

/// A precise host name: no wildcard, no port.
fn host(written: Option<&Arc<str>>, field: &str, findings: &mut Findings) -> Option<Arc<str>> {
    let name = written?;
    if crate::meta::dns_subdomain(name).is_err() {
        let message = format!("`{}` is not a host name", crate::reader::shorten(name));
        findings.refuse(Reason::UnsupportedValue, format!("{field}.hostname"), message);
        return None;
    }
    Some(Arc::clone(name))
}

fn path_edit(
    written: Option<&PathModifier>,
    field: &str,
    matched: Option<&Arc<str>>,
    findings: &mut Findings,
) -> Option<PathEdit> {
    let written = written?;
    let field = format!("{field}.path");
    let usable = |with: &str| with.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#'));
    if !usable(&written.with) || !(written.with.is_empty() || written.with.starts_with('/')) {
        let message = "a new path begins with a slash and has no space, `?` or `#`";
        findings.refuse(Reason::UnsupportedValue, field, message);
        return None;
    }
    match (&written.kind, matched) {
        (Open::Known(PathModifierType::ReplaceFullPath), _) => {
            Some(PathEdit::Full(Arc::clone(&written.with)))
        }
        (Open::Known(PathModifierType::ReplacePrefixMatch), Some(matched)) => {
            Some(PathEdit::Prefix { matched: Arc::clone(matched), with: Arc::clone(&written.with) })
        }
        (Open::Known(PathModifierType::ReplacePrefixMatch), None) => {
            let message = "ReplacePrefixMatch needs a rule with exactly one match, of type PathPrefix";
            findings.refuse(Reason::UnsupportedValue, field, message);
            None
        }
        (Open::Other(kind), _) => {
            let message = format!("the type `{}` is not known", crate::reader::shorten(kind));
            findings.refuse(Reason::UnsupportedValue, format!("{field}.type"), message);
            None
        }
    }
}
