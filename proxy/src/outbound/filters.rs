//! What a rule does to heads besides choosing where they go: applied in the order written, the rule's filters before
//! its backend's.

use std::borrow::Cow;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Response, StatusCode, Uri};
use weft_policy::decide::Forward;
use weft_policy::refuse::Refusal;
use weft_policy::route::filter::{Filter, Redirect};

use crate::message::Body;
use crate::message::target::RequestTarget;
use crate::way_in::Target;

/// Applies the filters of the rule and the backend to the head, and says under which authority it goes on.
pub(super) fn filter_request<'a>(
    forward: &Forward<'_>,
    parts: &mut http::request::Parts,
    asked: &'a Authority,
) -> Result<Cow<'a, Authority>, Refusal> {
    let mut authority = Cow::Borrowed(asked);
    for filter in forward.filters() {
        match filter {
            Filter::RequestHeaders(edit) => edit.apply(&mut parts.headers),
            Filter::Rewrite(rewrite) => {
                if let Some(host) = &rewrite.host {
                    let rewritten = Authority::try_from(&**host).map_err(|_| Refusal::Internal)?;
                    authority = Cow::Owned(rewritten);
                }
                if let Some(edit) = &rewrite.path {
                    parts.uri =
                        with_path(&parts.uri, &edit.apply(parts.uri.path())).ok_or(Refusal::Internal)?;
                }
            }
            // The decision has answered these already.
            Filter::ResponseHeaders(_) | Filter::Redirect(_) | Filter::Unsupported(_) => {}
        }
    }
    Ok(authority)
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let text = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

pub(super) fn filter_response(forward: &Forward<'_>, headers: &mut HeaderMap) {
    for filter in forward.filters() {
        if let Filter::ResponseHeaders(edit) = filter {
            edit.apply(headers);
        }
    }
}

/// The answer of a redirect.
pub(super) fn redirect(to: &Redirect, target: &Target, asked: &RequestTarget, uri: &Uri) -> Response<Body> {
    let location = to.location("http", &asked.host, target.port(), uri.path(), uri.query());
    let mut response = Response::new(Body::empty());
    match http::HeaderValue::try_from(location) {
        Ok(location) => {
            *response.status_mut() = to.status;
            response.headers_mut().insert(http::header::LOCATION, location);
        }
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}
