//! Contexts from the two specifications, broken ones, and what goes on.

use proptest::prelude::*;

use super::*;

const BITS: Bits = Bits { trace: 0xabc, span: 0xdef };
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const NEW_TRACE: &str = "00000000000000000000000000000abc";
const NEW_SPAN: &str = "0000000000000def";

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}

/// What goes on, in the order of names.
fn goes_on(lines: &[(&str, &str)], sample: bool) -> Vec<(String, String)> {
    let mut headers = headers(lines);
    Trace::begin(&headers, BITS, sample).inject(&mut headers);
    let mut out: Vec<_> =
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    out.sort();
    out
}

#[track_caller]
fn passes(arrived: &[(&str, &str)], want: &[(&str, &str)]) {
    let want: Vec<_> = want.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(goes_on(arrived, true), want, "{arrived:?}");
}

#[test]
fn a_w3c_trace_goes_on_with_our_span_as_the_parent() {
    for flags in ["00", "01"] {
        passes(
            &[
                ("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-{flags}")),
                ("tracestate", "congo=t61rcWkgMzE,rojo=1"),
            ],
            &[
                ("traceparent", &format!("00-{TRACE}-{NEW_SPAN}-{flags}")),
                ("tracestate", "congo=t61rcWkgMzE,rojo=1"),
            ],
        );
    }
    // A later version is read as far as we know it, and answered in ours.
    passes(
        &[("traceparent", &format!("cc-{TRACE}-00f067aa0ba902b7-03-what-the-future-will-be-like"))],
        &[("traceparent", &format!("00-{TRACE}-{NEW_SPAN}-01"))],
    );
}

#[test]
fn a_broken_traceparent_begins_a_new_trace_and_drops_the_old_state() {
    let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let broken = [
        String::new(),
        "00".to_owned(),
        good.replace("00-4", "ff-4"),
        good.replace("00-4", "0x-4"),
        good.replace(TRACE, &"0".repeat(32)),
        good.replace("00f067aa0ba902b7", &"0".repeat(16)),
        good.replace(TRACE, &TRACE.to_uppercase()),
        good.replace(TRACE, &TRACE[1..]),
        good.replace('-', "_"),
        format!("{good}-more"),
        format!("{good}."),
        format!("cc{}x", &good[2..]),
        good[..54].to_owned(),
    ];
    for text in broken {
        passes(
            &[("traceparent", &text), ("tracestate", "a=b")],
            &[("traceparent", &format!("00-{NEW_TRACE}-{NEW_SPAN}-01"))],
        );
    }
    passes(
        &[("traceparent", &good), ("traceparent", &good)],
        &[("traceparent", &format!("00-{NEW_TRACE}-{NEW_SPAN}-01"))],
    );
}

#[test]
fn without_a_trace_one_begins_in_w3c_and_the_sampler_decides() {
    for (sample, flags) in [(true, "01"), (false, "00")] {
        let want = vec![("traceparent".to_owned(), format!("00-{NEW_TRACE}-{NEW_SPAN}-{flags}"))];
        assert_eq!(goes_on(&[], sample), want);
    }
    assert_eq!(Trace::begin(&HeaderMap::new(), BITS, true).parent, None);
}

#[test]
fn b3_goes_on_in_the_form_in_which_it_came() {
    passes(
        &[("b3", &format!("{TRACE}-e457b5a2e4d86bd1-0-05e3ac9a4f6e3b90"))],
        &[("b3", &format!("{TRACE}-{NEW_SPAN}-0-e457b5a2e4d86bd1"))],
    );
    passes(
        &[("b3", &format!("{TRACE}-e457b5a2e4d86bd1-d"))],
        &[("b3", &format!("{TRACE}-{NEW_SPAN}-d-e457b5a2e4d86bd1"))],
    );
    // A decision that is ours to make: this sampler says yes.
    passes(
        &[("b3", &format!("{TRACE}-e457b5a2e4d86bd1"))],
        &[("b3", &format!("{TRACE}-{NEW_SPAN}-1-e457b5a2e4d86bd1"))],
    );
    // 64 bits came, and 64 bits go.
    passes(
        &[("b3", "a3ce929d0e0e4736-e457b5a2e4d86bd1-1")],
        &[("b3", &format!("a3ce929d0e0e4736-{NEW_SPAN}-1-e457b5a2e4d86bd1"))],
    );
    passes(&[("b3", "0")], &[("b3", &format!("{NEW_TRACE}-{NEW_SPAN}-0"))]);
    passes(
        &[("x-b3-traceid", TRACE), ("x-b3-spanid", "e457b5a2e4d86bd1"), ("x-b3-sampled", "0")],
        &[
            ("x-b3-parentspanid", "e457b5a2e4d86bd1"),
            ("x-b3-sampled", "0"),
            ("x-b3-spanid", NEW_SPAN),
            ("x-b3-traceid", TRACE),
        ],
    );
    passes(
        &[("x-b3-traceid", TRACE), ("x-b3-spanid", "e457b5a2e4d86bd1"), ("x-b3-flags", "1")],
        &[
            ("x-b3-flags", "1"),
            ("x-b3-parentspanid", "e457b5a2e4d86bd1"),
            ("x-b3-spanid", NEW_SPAN),
            ("x-b3-traceid", TRACE),
        ],
    );
    passes(
        &[("x-b3-sampled", "0")],
        &[("x-b3-sampled", "0"), ("x-b3-spanid", NEW_SPAN), ("x-b3-traceid", NEW_TRACE)],
    );
}

#[test]
fn broken_b3_begins_a_new_trace_in_b3() {
    for text in [
        "",
        "-",
        "x",
        "2",
        TRACE,
        "4bf92f35-e457b5a2e4d86bd1-1",
        &format!("{TRACE}-e457b5a2e4d86bd1-2"),
        &format!("{TRACE}-0000000000000000-1"),
        &format!("{}-e457b5a2e4d86bd1-1", "0".repeat(32)),
        &format!("{TRACE}-e457b5a2e4d86bd1-1-short"),
        &format!("{TRACE}-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90-more"),
        &format!("{TRACE}-E457B5A2E4D86BD1-1"),
    ] {
        passes(&[("b3", text)], &[("b3", &format!("{NEW_TRACE}-{NEW_SPAN}-1"))]);
    }
    passes(
        &[("x-b3-traceid", TRACE), ("x-b3-parentspanid", "e457b5a2e4d86bd1")],
        &[("x-b3-sampled", "1"), ("x-b3-spanid", NEW_SPAN), ("x-b3-traceid", NEW_TRACE)],
    );
}

#[test]
fn of_two_formats_the_whole_one_counts_and_both_go_on() {
    let b3 = format!("{TRACE}-e457b5a2e4d86bd1-0");
    passes(
        &[("b3", &b3), ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")],
        &[
            ("b3", &format!("0af7651916cd43dd8448eb211c80319c-{NEW_SPAN}-1-b7ad6b7169203331")),
            ("traceparent", &format!("00-0af7651916cd43dd8448eb211c80319c-{NEW_SPAN}-01")),
        ],
    );
    passes(
        &[("b3", &b3), ("traceparent", "broken"), ("tracestate", "of=another")],
        &[
            ("b3", &format!("{TRACE}-{NEW_SPAN}-0-e457b5a2e4d86bd1")),
            ("traceparent", &format!("00-{TRACE}-{NEW_SPAN}-00")),
        ],
    );
}

#[test]
fn a_try_is_a_child_of_the_request() {
    let request =
        Trace::begin(&headers(&[("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01"))]), BITS, false);
    let attempt = request.child(0);
    assert_eq!((attempt.trace_id, attempt.parent), (request.trace_id, Some(request.span_id)));
    assert_eq!(attempt.span_id.to_string(), "0000000000000001", "zero is no identifier");
    assert!(attempt.sampled);
}

proptest! {
    #[test]
    fn no_header_panics_and_what_goes_on_is_read_back(
        traceparent in "[0-9a-fx-]{0,70}", b3 in "[0-9a-fd-]{0,70}", trace: u128, span: u64, sample: bool
    ) {
        let mut headers = headers(&[("traceparent", &traceparent), ("b3", &b3)]);
        let ours = Trace::begin(&headers, Bits { trace, span }, sample);
        ours.inject(&mut headers);
        let next = Trace::begin(&headers, BITS, !sample);
        prop_assert_eq!((next.trace_id, next.parent, next.sampled), (ours.trace_id, Some(ours.span_id), ours.sampled));
    }
}
