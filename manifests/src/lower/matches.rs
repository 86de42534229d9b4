//! Paths, methods, headers and query parameters of matches.

use std::sync::Arc;

use http::Method;
use weft_policy::route::header::{HeaderMatch, QueryMatch};
use weft_policy::route::path::{PathMatch, Pattern, StringMatch};

use crate::gateway_api::grpc_route::GrpcMethod;
use crate::gateway_api::http_route::{HttpPath, HttpPathType};
use crate::gateway_api::{Comparison, NamedMatch, Open};
use crate::reader::shorten;
use crate::suggest;

use super::condition::Reason;
use super::filters::header_name;
use super::findings::Findings;

/// `path` of an HTTPRoute match.
pub(super) fn path(written: Option<&HttpPath>, field: &str, findings: &mut Findings) -> Option<PathMatch> {
    let Some(written) = written else { return Some(PathMatch::default()) };
    let value = format!("{field}.path.value");
    match &written.kind {
        Open::Known(HttpPathType::Exact) => {
            plain_path(&written.value, &value, findings)?;
            Some(PathMatch::Exact(Arc::clone(&written.value)))
        }
        Open::Known(HttpPathType::PathPrefix) => {
            plain_path(&written.value, &value, findings)?;
            // A trailing slash is ignored (Gateway API `PathMatchPathPrefix`).
            Some(PathMatch::Prefix(written.value.strip_suffix('/').unwrap_or(&written.value).into()))
        }
        Open::Known(HttpPathType::RegularExpression) => {
            pattern(&written.value, &value, findings).map(PathMatch::Regex)
        }
        Open::Other(kind) => {
            let hint = suggest::hint(kind, ["Exact", "PathPrefix", "RegularExpression"]);
            let message = format!("the type `{}` is not known{hint}", shorten(kind));
            findings.refuse(Reason::UnsupportedValue, format!("{field}.path.type"), message);
            None
        }
    }
}

/// What the CRD demands of `Exact` and `PathPrefix`: forms that no canonical path has cannot match anything.
fn plain_path(path: &str, field: &str, findings: &mut Findings) -> Option<()> {
    let problem = if !path.starts_with('/') {
        "a path begins with a slash"
    } else if path.len() > 1024 {
        "a path has at most 1024 characters"
    } else if path.contains("//") {
        "a path has no `//`"
    } else if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        "a path has no segment `.` or `..`"
    } else if path.to_ascii_lowercase().contains("%2f") {
        "a path has no encoded slash"
    } else if path.contains(['#', '?']) {
        "a path has no query and no fragment"
    } else {
        return Some(());
    };
    findings.refuse(Reason::UnsupportedValue, field, problem);
    None
}

/// `method` of an HTTPRoute match.
pub(super) fn method(written: Option<&Arc<str>>, field: &str, findings: &mut Findings) -> Option<Method> {
    const METHODS: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    let written = written?;
    let known = METHODS.contains(&&**written).then(|| written.parse().ok()).flatten();
    if known.is_none() {
        let hint = suggest::hint(written, METHODS);
        let message = format!("the method `{}` is not known{hint}", shorten(written));
        findings.refuse(Reason::UnsupportedValue, format!("{field}.method"), message);
    }
    known
}

/// `headers` of a match. Of names that are equal but for case only the first counts.
pub(super) fn headers(written: &[NamedMatch], field: &str, findings: &mut Findings) -> Vec<HeaderMatch> {
    let mut lowered: Vec<HeaderMatch> = Vec::new();
    for (index, header) in written.iter().enumerate() {
        let field = format!("{field}.headers[{index}]");
        let name = header_name(&header.name, &format!("{field}.name"), findings);
        let value = string(&header.comparison, &header.value, &field, findings);
        if let (Some(name), Some(value)) = (name, value)
            && lowered.iter().all(|known| known.name != name)
        {
            lowered.push(HeaderMatch { name, value });
        }
    }
    lowered
}

/// `queryParams` of a match. Of equal names only the first counts.
pub(super) fn query(written: &[NamedMatch], field: &str, findings: &mut Findings) -> Vec<QueryMatch> {
    let mut lowered: Vec<QueryMatch> = Vec::new();
    for (index, parameter) in written.iter().enumerate() {
        let field = format!("{field}.queryParams[{index}]");
        if parameter.name.is_empty() {
            findings.refuse(Reason::UnsupportedValue, format!("{field}.name"), "a parameter has a name");
        }
        if let Some(value) = string(&parameter.comparison, &parameter.value, &field, findings)
            && lowered.iter().all(|known| known.name != parameter.name)
        {
            lowered.push(QueryMatch { name: Arc::clone(&parameter.name), value });
        }
    }
    lowered
}

/// `method` of a GRPCRoute match.
pub(super) fn grpc(written: Option<&GrpcMethod>, field: &str, findings: &mut Findings) -> PathMatch {
    let Some(written) = written else { return PathMatch::Grpc { service: None, method: None } };
    let field = format!("{field}.method");
    let mut part = |value: Option<&Arc<str>>, name: &str| {
        let value = value?;
        let field = format!("{field}.{name}");
        let exact = written.comparison == Open::Known(Comparison::Exact);
        let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        if value.is_empty() || (exact && value.contains(odd)) {
            findings.refuse(
                Reason::UnsupportedValue,
                field,
                format!("`{}` cannot be a gRPC name", shorten(value)),
            );
            return None;
        }
        string_at(&written.comparison, value, &field, findings)
    };
    PathMatch::Grpc {
        service: part(written.service.as_ref(), "service"),
        method: part(written.method.as_ref(), "method"),
    }
}

fn string(
    kind: &Open<Comparison>,
    value: &Arc<str>,
    field: &str,
    findings: &mut Findings,
) -> Option<StringMatch> {
    if let Open::Other(kind) = kind {
        let hint = suggest::hint(kind, ["Exact", "RegularExpression"]);
        let message = format!("the type `{}` is not known{hint}", shorten(kind));
        findings.refuse(Reason::UnsupportedValue, format!("{field}.type"), message);
        return None;
    }
    string_at(kind, value, &format!("{field}.value"), findings)
}

fn string_at(
    kind: &Open<Comparison>,
    value: &Arc<str>,
    field: &str,
    findings: &mut Findings,
) -> Option<StringMatch> {
    match kind {
        Open::Known(Comparison::Exact) => Some(StringMatch::Exact(Arc::clone(value))),
        Open::Known(Comparison::RegularExpression) => pattern(value, field, findings).map(StringMatch::Regex),
        Open::Other(kind) => {
            let message = format!("the type `{}` is not known", shorten(kind));
            findings.refuse(Reason::UnsupportedValue, field, message);
            None
        }
    }
}

fn pattern(text: &str, field: &str, findings: &mut Findings) -> Option<Pattern> {
    Pattern::new(text).map_err(|bad| findings.refuse(Reason::UnsupportedValue, field, bad.to_string())).ok()
}
