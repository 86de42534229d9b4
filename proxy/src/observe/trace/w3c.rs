//! `traceparent`, version 00 (W3C Trace Context §3.2).

use http::HeaderMap;

use super::{Context, SpanId, Trace, TraceId, hex, only};

pub(super) const TRACEPARENT: &str = "traceparent";
pub(super) const TRACESTATE: &str = "tracestate";

/// `None` for what is missing, repeated or broken.
pub(super) fn read(headers: &HeaderMap) -> Option<Context> {
    let value = only(headers, TRACEPARENT)?;
    let (known, beyond) = value.split_at_checked(55)?;
    let mut parts = known.split(|byte| *byte == b'-');
    let [version] = hex::bytes(parts.next()?)?;
    let trace_id = TraceId::new(hex::bytes(parts.next()?)?)?;
    let span_id = SpanId::new(hex::bytes(parts.next()?)?)?;
    let [flags] = hex::bytes(parts.next()?)?;
    // A later version may say more, behind another dash (§4.2); the first version says exactly this much.
    let fits = match version {
        0 => beyond.is_empty(),
        0xff => false,
        _ => beyond.is_empty() || beyond.starts_with(b"-"),
    };
    if !fits || parts.next().is_some() {
        return None;
    }
    Some(Context { trace_id, span_id, sampled: Some(flags & 1 == 1), short: false })
}

pub(super) fn write(trace: &Trace) -> String {
    let mut text = String::with_capacity(55);
    text.push_str("00-");
    text.extend(hex::digits(&trace.trace_id.0));
    text.push('-');
    text.extend(hex::digits(&trace.span_id.0));
    text.push_str(if trace.sampled { "-01" } else { "-00" });
    text
}
