//! B3 (openzipkin/b3-propagation): one header `b3`, or several `x-b3-…`.

use http::HeaderMap;
use http::header::HeaderName;

use super::{Context, SpanId, Trace, TraceId, hex, only, value};

pub(super) const SINGLE: &str = "b3";
pub(super) const MULTI: [&str; 5] = [TRACE, SPAN, PARENT, SAMPLED, FLAGS];

const TRACE: &str = "x-b3-traceid";
const SPAN: &str = "x-b3-spanid";
const PARENT: &str = "x-b3-parentspanid";
const SAMPLED: &str = "x-b3-sampled";
const FLAGS: &str = "x-b3-flags";

/// What B3 said: a decision may come without a trace.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    pub(super) context: Option<Context>,
    pub(super) sampled: Option<bool>,
    pub(super) debug: bool,
}

/// The single header comes first (B3, "Single Header"); several are read where it is absent.
pub(super) fn read(headers: &HeaderMap) -> Said {
    if headers.contains_key(SINGLE) {
        return only(headers, SINGLE).and_then(single).unwrap_or_default();
    }
    multi(headers)
}

/// `{trace}-{span}[-{decision}[-{parent}]]`, or the decision alone.
fn single(text: &[u8]) -> Option<Said> {
    let mut parts = text.split(|byte| *byte == b'-');
    let (first, second) = (parts.next()?, parts.next());
    let Some(second) = second else {
        let (sampled, debug) = decision(first)?;
        return Some(Said { context: None, sampled: Some(sampled), debug });
    };
    let (sampled, debug) = match parts.next() {
        Some(word) => decision(word).map(|(sampled, debug)| (Some(sampled), debug))?,
        None => (None, false),
    };
    if let Some(parent) = parts.next() {
        hex::bytes::<8>(parent)?;
    }
    if parts.next().is_some() {
        return None;
    }
    Some(Said { context: Some(context(first, second, sampled)?), sampled, debug })
}

fn multi(headers: &HeaderMap) -> Said {
    let debug = only(headers, FLAGS) == Some(b"1");
    let word = only(headers, SAMPLED).and_then(|word| match word {
        b"1" | b"true" => Some(true),
        b"0" | b"false" => Some(false),
        _ => None,
    });
    let sampled = if debug { Some(true) } else { word };
    let ids = only(headers, TRACE).zip(only(headers, SPAN));
    Said { context: ids.and_then(|(trace, span)| context(trace, span, sampled)), sampled, debug }
}

/// `d` is "debug", which includes "yes".
const fn decision(word: &[u8]) -> Option<(bool, bool)> {
    match word {
        b"0" => Some((false, false)),
        b"1" => Some((true, false)),
        b"d" => Some((true, true)),
        _ => None,
    }
}

fn context(trace: &[u8], span: &[u8], sampled: Option<bool>) -> Option<Context> {
    let short = trace.len() == 16;
    let trace_id = if short {
        let low: [u8; 8] = hex::bytes(trace)?;
        TraceId::new(u128::from(u64::from_be_bytes(low)).to_be_bytes())
    } else {
        TraceId::new(hex::bytes(trace)?)
    };
    Some(Context { trace_id: trace_id?, span_id: SpanId::new(hex::bytes(span)?)?, sampled, short })
}

pub(super) fn write_single(trace: &Trace) -> String {
    let decision = match (trace.debug, trace.sampled) {
        (true, _) => 'd',
        (false, true) => '1',
        (false, false) => '0',
    };
    let mut text = format!("{}-{}-{decision}", trace_id(trace), trace.span_id);
    if let Some(parent) = trace.parent {
        text.push_str(&format!("-{parent}"));
    }
    text
}

pub(super) fn write_multi(trace: &Trace, headers: &mut HeaderMap) {
    headers.insert(HeaderName::from_static(TRACE), value(&trace_id(trace)));
    headers.insert(HeaderName::from_static(SPAN), value(&trace.span_id.to_string()));
    match trace.parent {
        Some(parent) => headers.insert(HeaderName::from_static(PARENT), value(&parent.to_string())),
        None => headers.remove(PARENT),
    };
    // "Debug" stands for the decision; both would be one word too many (B3, "Debug Flag").
    if trace.debug {
        headers.insert(HeaderName::from_static(FLAGS), value("1"));
        headers.remove(SAMPLED);
    } else {
        headers.insert(HeaderName::from_static(SAMPLED), value(if trace.sampled { "1" } else { "0" }));
        headers.remove(FLAGS);
    }
}

fn trace_id(trace: &Trace) -> String {
    let full = trace.trace_id.to_string();
    match full.get(16..) {
        Some(low) if trace.short => low.to_owned(),
        _ => full,
    }
}
