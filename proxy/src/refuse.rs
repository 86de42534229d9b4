//! An answer of the proxy's own, as an HTTP response. What it says is decided in `policy::refuse`.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use weft_policy::refuse::Refusal;

use crate::message::Body;

/// Names the cause of an answer that a proxy made itself, and the object or rule that led to it:
/// `denied; AuthorizationPolicy shop/readers`, `bad_request; two_lengths`.
pub(crate) const WEFT_ERROR: HeaderName = HeaderName::from_static("weft-error");

/// The response for a refusal. gRPC calls get it as a trailers-only response with HTTP status 200.
pub(crate) fn response(refusal: Refusal, because: Option<&str>, grpc: bool) -> Response<Body> {
    let answer = refusal.answer();
    let mut response = if grpc {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from(u16::from(answer.grpc_status)));
        headers.insert("grpc-message", HeaderValue::from_static(answer.text));
        response
    } else {
        let text = format!("{}\n", answer.text);
        let length = text.len();
        let mut response = Response::new(Body::full(text.into()));
        *response.status_mut() = answer.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        response
    };
    let cause = match because {
        // Object names are DNS labels and rules are ours, so this is always a header value.
        Some(because) => HeaderValue::try_from(format!("{}; {because}", answer.token)),
        None => Ok(HeaderValue::from_static(answer.token)),
    };
    if let Ok(cause) = cause {
        response.headers_mut().insert(WEFT_ERROR, cause);
    }
    // What follows such a request may be no request: the rest of it, or what was meant for a tunnel.
    if matches!(
        answer.status,
        StatusCode::BAD_REQUEST | StatusCode::REQUEST_TIMEOUT | StatusCode::NOT_IMPLEMENTED
    ) && !grpc
    {
        response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_cause_and_object() {
        let response = response(Refusal::Denied, Some("AuthorizationPolicy shop/readers"), false);
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()[WEFT_ERROR], "denied; AuthorizationPolicy shop/readers");
    }

    #[test]
    fn grpc_hears_a_grpc_status_with_http_200() {
        for refusal in Refusal::ALL {
            let response = response(refusal, None, true);
            assert_eq!(response.status(), StatusCode::OK, "{refusal:?}");
            assert_ne!(response.headers()["grpc-status"], "0", "{refusal:?}");
        }
    }
}
