//! Any trace headers: a trace goes on as one, in bounded and printable words, whatever arrived.

use http::{HeaderName, HeaderValue};

use super::*;

#[test]
fn any_headers_go_on_as_one_trace() {
    weft_fuzz::law!("trace", |bytes| {
        let mut headers = HeaderMap::new();
        for line in bytes.split(|byte| *byte == b'\n').take(20) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) =
                (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.append(name, value);
            }
        }
        for sample in [false, true] {
            let ours = Trace::begin(&headers, Bits { trace: 0xabc, span: 0xdef }, sample);
            assert_ne!((ours.trace_id.to_bytes(), ours.span_id.to_bytes()), ([0; 16], [0; 8]));
            let mut out = headers.clone();
            ours.inject(&mut out);
            let next = Trace::begin(&out, Bits { trace: 1, span: 2 }, !sample);
            assert_eq!(
                (next.trace_id, next.parent, next.sampled),
                (ours.trace_id, Some(ours.span_id), ours.sampled),
                "the next one reads what we say"
            );
            let again = Trace::begin(&headers, Bits { trace: 0xabc, span: 0xdef }, sample);
            assert_eq!(again, ours, "nothing but headers and bits has a say");
            for name in
                ["traceparent", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled"]
            {
                let written: Vec<_> = out.get_all(name).iter().collect();
                let replaced = headers.get_all(name).iter().collect::<Vec<_>>() != written;
                let plain = |value: &&HeaderValue| {
                    value.len() <= 70
                        && value.as_bytes().iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
                };
                assert!(!replaced || written.iter().all(plain), "{name}: {written:?}");
            }
        }
    });
}
