//! A span of ours in the words of the OpenTelemetry semantic conventions (HTTP spans, v1.27 and later).

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::Span;
use crate::observe::metrics::Direction;

pub(super) fn to_span_data(span: &Span) -> SpanData {
    let trace = &span.trace;
    let flags = if trace.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let context = SpanContext::new(
        TraceId::from_bytes(trace.trace_id.to_bytes()),
        SpanId::from_bytes(trace.span_id.to_bytes()),
        flags,
        false,
        TraceState::default(),
    );
    let parent = trace.parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.to_bytes()));
    let (method, original) = known_method(&span.method);
    // A name must not be made of what a peer chose: the method is from a known set, the route from configuration.
    let name = match &span.route {
        Some(route) => format!("{} {route}", method.unwrap_or("HTTP")),
        None => method.unwrap_or("HTTP").to_owned(),
    };
    SpanData {
        span_context: context,
        parent_span_id: parent,
        parent_span_is_remote: trace.parent.is_some(),
        span_kind: match span.direction {
            Direction::Inbound => SpanKind::Server,
            Direction::Outbound => SpanKind::Client,
        },
        name: name.into(),
        start_time: span.started,
        end_time: span.started.checked_add(span.took).unwrap_or(span.started),
        status: status(span),
        attributes: attributes(span, method.unwrap_or("_OTHER"), original),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        instrumentation_scope: InstrumentationScope::builder("weft-proxy")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

/// "Status": a server's 4xx is no error of the server, a client's is one; the same of the codes of gRPC ("gRPC Status").
fn status(span: &Span) -> Status {
    let (from, blames) = match span.direction {
        Direction::Inbound => (500, SERVER_FAULTS),
        Direction::Outbound => (400, !OK),
    };
    let bit = |code: u16| if code <= 16 { 1 << code } else { UNKNOWN };
    let of_call = span.grpc_status.is_some_and(|code| blames & bit(code) != 0);
    match (span.refusal, span.status) {
        (Some(token), code) if of_call || code.is_none_or(|code| code >= from) => Status::error(token),
        (_, None) => Status::error("no_response"),
        (_, Some(code)) if of_call || code >= from => Status::error(""),
        _ => Status::Unset,
    }
}

/// Codes of gRPC as bits. One that is beyond them all counts as `UNKNOWN`.
const OK: u32 = 1;
const UNKNOWN: u32 = 1 << 2;
/// `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS`.
const SERVER_FAULTS: u32 = UNKNOWN | 1 << 4 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15;

fn attributes(span: &Span, method: &'static str, original: Option<&str>) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("url.path", span.path.clone()),
        KeyValue::new("url.scheme", "http"),
    ];
    let mut add = |name: &'static str, value: Option<Value>| {
        attributes.extend(value.map(|value| KeyValue::new(name, value)));
    };
    let text = |value: &Option<std::sync::Arc<str>>| {
        value.as_ref().map(|text| Value::from(std::sync::Arc::clone(text)))
    };
    add("http.request.method_original", original.map(|text| Value::from(text.to_owned())));
    add("http.response.status_code", span.status.map(|code| Value::I64(code.into())));
    add("rpc.grpc.status_code", span.grpc_status.map(|code| Value::I64(code.into())));
    add("server.address", text(&span.server_address));
    add("server.port", span.server_port.map(|port| Value::I64(port.into())));
    add("network.peer.address", span.peer.map(|peer| Value::from(peer.ip().to_string())));
    add("network.peer.port", span.peer.map(|peer| Value::I64(peer.port().into())));
    add("http.request.resend_count", (span.resends > 0).then(|| Value::I64(span.resends.into())));
    let failed = matches!(status(span), Status::Error { .. });
    let code = span.grpc_status.or(span.status).map(|code| Value::from(code.to_string()));
    add("error.type", span.refusal.map(Value::from).or(code).filter(|_| failed));
    add("weft.refusal", span.refusal.map(Value::from));
    add("weft.service", text(&span.service));
    add("weft.route", text(&span.route));
    add("weft.backend", text(&span.backend));
    add("weft.peer", text(&span.peer_identity));
    attributes
}

/// "http.request.method": one of a known set, or `_OTHER` beside the original.
fn known_method(method: &http::Method) -> (Option<&'static str>, Option<&str>) {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    match KNOWN.into_iter().find(|known| *known == method.as_str()) {
        Some(known) => (Some(known), None),
        None => (None, Some(method.as_str())),
    }
}
