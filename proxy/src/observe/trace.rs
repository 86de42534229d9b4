//! Trace context: what arrived, what goes on, in the words of the caller (W3C Trace Context, B3).
//!
//! The identifiers of a trace are the application's. What arrives whole is continued, in every format in which it
//! arrived; what arrives broken is not repaired, because half an identifier joined to a new half is a trace that
//! never was: a new trace begins, and the broken header is replaced.
//!
//! A proxy that exports no span of its own must leave the headers as they came ([`Trace::inject`] is not called):
//! naming itself as the parent of a span that nobody will ever see would tear the tree apart.

mod b3;
mod hex;
mod w3c;

use std::fmt::{self, Write as _};

use http::{HeaderMap, HeaderValue};

/// Sixteen bytes, not all zero. Printed as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// Eight bytes, not all zero. Printed as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// One span of ours in a trace: its place, and in which words it is passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The whole trace.
    pub trace_id: TraceId,
    /// This span.
    pub span_id: SpanId,
    /// The span that caused it; `None` at the root.
    pub parent: Option<SpanId>,
    /// Whether spans of this trace are kept. The first to decide decides for all.
    pub sampled: bool,
    formats: Formats,
    /// The caller's identifier had 64 bits (B3 allows it), and so has ours when it goes on.
    short: bool,
    /// B3 said "debug", which outlives every sampler.
    debug: bool,
    /// `tracestate` belongs to this trace: a whole `traceparent` came with it.
    keeps_state: bool,
}

/// Random bits for a root or a child: the caller's, so that chance is an argument.
#[derive(Clone, Copy, Debug)]
pub struct Bits {
    /// For a trace that begins here.
    pub trace: u128,
    /// For the span.
    pub span: u64,
}

impl Trace {
    /// Continues the trace that a request belongs to, or begins one. `sample` decides where the caller has not.
    ///
    /// W3C comes before B3 where both are present and whole; both are passed on.
    #[must_use]
    pub fn begin(headers: &HeaderMap, bits: Bits, sample: bool) -> Self {
        let formats = Formats::arrived(headers);
        let w3c = if formats.traceparent { w3c::read(headers) } else { None };
        let b3 = if formats.b3_single || formats.b3_multi { b3::read(headers) } else { b3::Said::default() };
        let context = match (w3c, b3.context) {
            (Some(context), _) | (None, Some(context)) => Some(context),
            (None, None) => None,
        };
        let decided = w3c.and_then(|context| context.sampled).or(b3.sampled);
        let sampled = decided.unwrap_or(sample) || b3.debug;
        Self {
            trace_id: context.map_or_else(|| TraceId::from_bits(bits.trace), |context| context.trace_id),
            span_id: SpanId::from_bits(bits.span),
            parent: context.map(|context| context.span_id),
            sampled,
            formats,
            short: context.is_some_and(|context| context.short),
            debug: b3.debug,
            keeps_state: w3c.is_some(),
        }
    }

    /// A span below this one: one try of several.
    #[must_use]
    pub fn child(&self, bits: u64) -> Self {
        Self { span_id: SpanId::from_bits(bits), parent: Some(self.span_id), ..self.clone() }
    }

    /// Writes this span as the parent of what comes next, in the formats in which the trace arrived; W3C if it began
    /// here. `tracestate` goes on with a trace that does, and not with a new one (W3C Trace Context §3.3.1.1).
    pub fn inject(&self, headers: &mut HeaderMap) {
        if self.formats.w3c() {
            headers.insert(w3c::TRACEPARENT, value(&w3c::write(self)));
            if !self.keeps_state {
                headers.remove(w3c::TRACESTATE);
            }
        }
        if self.formats.b3_single {
            headers.insert(b3::SINGLE, value(&b3::write_single(self)));
        }
        if self.formats.b3_multi {
            b3::write_multi(self, headers);
        }
    }
}

impl TraceId {
    /// Zero is no identifier, so it becomes one that is.
    fn from_bits(bits: u128) -> Self {
        Self(bits.max(1).to_be_bytes())
    }

    fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// As it goes over the wire.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl SpanId {
    fn from_bits(bits: u64) -> Self {
        Self(bits.max(1).to_be_bytes())
    }

    fn new(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// As it goes over the wire.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::digits(&self.0).try_for_each(|digit| f.write_char(digit))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::digits(&self.0).try_for_each(|digit| f.write_char(digit))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A context that arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Context {
    trace_id: TraceId,
    span_id: SpanId,
    /// `None`: the caller leaves the decision to us (B3).
    sampled: Option<bool>,
    short: bool,
}

/// In which formats there was something, broken or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Formats {
    traceparent: bool,
    b3_single: bool,
    b3_multi: bool,
}

impl Formats {
    fn arrived(headers: &HeaderMap) -> Self {
        let mut arrived = Self::default();
        // One look at the names that are there; most requests have none of these.
        for name in headers.keys() {
            match name.as_str() {
                w3c::TRACEPARENT => arrived.traceparent = true,
                b3::SINGLE => arrived.b3_single = true,
                name if b3::MULTI.contains(&name) => arrived.b3_multi = true,
                _ => {}
            }
        }
        arrived
    }

    const fn w3c(self) -> bool {
        self.traceparent || !(self.b3_single || self.b3_multi)
    }
}

/// The only value of a header. Two are as good as none: nobody can say which one the next reader takes.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next()?, values.next());
    second.is_none().then(|| first.as_bytes())
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("hexadecimal digits and dashes are a header value")
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
