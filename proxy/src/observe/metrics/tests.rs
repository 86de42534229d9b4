//! What is printed, that it is bounded, and that nothing is lost between threads.

use std::time::Duration;

use http::Method;
use proptest::prelude::*;

use super::*;

const REFUSALS: &[&str] = &["no-route", "denied"];

fn metrics() -> Metrics {
    Metrics::new(SeriesLimit::default(), REFUSALS)
}

fn cart<'a>(route: &'a str) -> RequestKey<'a> {
    RequestKey { direction: Direction::Outbound, service: "shop/cart", route, backend: "shop/cart-v1" }
}

const MS: Duration = Duration::from_millis(1);

/// Every line is printed; `not` none of these.
#[track_caller]
fn prints(metrics: &Metrics, lines: &[&str]) {
    let text = metrics.encode();
    for line in lines {
        assert!(text.lines().any(|printed| printed == *line), "`{line}` is missing in\n{text}");
    }
}

#[test]
fn a_request_is_counted_by_how_it_ended() {
    let metrics = metrics();
    let requests = metrics.requests(cart("HTTPRoute shop/split"));
    let in_flight = requests.begin();
    requests.answered(&Method::GET, 200, 2 * MS);
    requests.answered(&Method::GET, 204, 2 * MS);
    requests.answered(&Method::POST, 503, 40 * MS);
    requests.refused("denied", 403, MS);
    requests.grpc_status(14);
    requests.retried();
    requests.retry_denied();
    requests.request_bytes(10);
    requests.response_bytes(20);
    let name =
        r#"direction="outbound",service="shop/cart",route="HTTPRoute shop/split",backend="shop/cart-v1""#;
    let line = |family: &str, more: &str, value: &str| format!("{family}{{{name}{more}}} {value}");
    let lines = [
        line("weft_requests_total", r#",method="GET",status_class="2xx""#, "2"),
        line("weft_requests_total", r#",method="POST",status_class="5xx""#, "1"),
        line("weft_requests_total", r#",refusal="denied",status_class="4xx""#, "1"),
        line("weft_grpc_responses_total", r#",grpc_status="14""#, "1"),
        line("weft_retries_total", r#",outcome="sent""#, "1"),
        line("weft_retries_total", r#",outcome="budget_spent""#, "1"),
        line("weft_request_body_bytes_total", "", "10"),
        line("weft_response_body_bytes_total", "", "20"),
        line("weft_requests_in_flight", "", "1"),
        format!("weft_request_duration_seconds_count{{{name}}} 4"),
        format!("weft_request_duration_seconds_sum{{{name}}} 0.045"),
    ];
    prints(&metrics, &lines.each_ref().map(String::as_str));
    drop(in_flight);
    prints(&metrics, &[&line("weft_requests_in_flight", "", "0")]);
    assert!(!metrics.encode().contains("DELETE"), "what never happened is not printed");
}

#[test]
fn a_bucket_counts_what_took_at_most_its_bound() {
    let metrics = metrics();
    let requests = metrics.requests(cart("r"));
    for took in
        [Duration::ZERO, Duration::from_micros(500), Duration::from_nanos(500_001), Duration::from_secs(31)]
    {
        requests.answered(&Method::GET, 200, took);
    }
    let bucket = |le: &str, value: u32| {
        format!(
            r#"weft_request_duration_seconds_bucket{{le="{le}",direction="outbound",service="shop/cart",route="r",backend="shop/cart-v1"}} {value}"#
        )
    };
    let text = metrics.encode();
    for (le, value) in [("0.0005", 2), ("0.001", 3), ("30.0", 3), ("+Inf", 4)] {
        assert!(text.contains(&bucket(le, value)), "{le}: {value} in\n{text}");
    }
}

#[test]
fn the_rest_is_printed_under_its_name() {
    let metrics = metrics();
    let tcp = metrics.tcp(Direction::Inbound, "shop/db");
    let connection = tcp.open();
    connection.sent(3);
    connection.received(4);
    drop(tcp.open());
    tcp.refused("denied");
    tcp.refused("nobody announced this");
    metrics.plaintext("shop/cart").denied();
    metrics.breakers("shop/cart-v1").set(2, 1, 0);
    metrics.breakers("shop/cart-v1").tripped();
    metrics.tls_refused(Side::Inbound, "expired").increment();
    metrics.tls_handshakes(Side::Outbound, Some(HandshakeKind::Resumed)).increment();
    metrics.tls_handshakes(Side::Inbound, Some(HandshakeKind::FullWithHelloRetryRequest)).increment();
    metrics.detections("http1").increment();
    metrics.dropped("access_log").increment();
    metrics.certificate_expiry().set(1_800_000_000);
    metrics.control_plane_connected().set(1);
    prints(
        &metrics,
        &[
            r#"weft_tcp_connections_opened_total{direction="inbound",service="shop/db"} 2"#,
            r#"weft_tcp_connections{direction="inbound",service="shop/db"} 1"#,
            r#"weft_tcp_connections_refused_total{direction="inbound",service="shop/db",refusal="denied"} 1"#,
            r#"weft_tcp_connections_refused_total{direction="inbound",service="shop/db",refusal="unlisted"} 1"#,
            r#"weft_tcp_bytes_total{direction="inbound",service="shop/db",flow="sent"} 3"#,
            r#"weft_tcp_bytes_total{direction="inbound",service="shop/db",flow="received"} 4"#,
            r#"weft_plaintext_requests_total{service="shop/cart",verdict="denied"} 1"#,
            r#"weft_breaker_endpoints{backend="shop/cart-v1",state="open"} 1"#,
            r#"weft_breaker_trips_total{backend="shop/cart-v1"} 1"#,
            r#"weft_tls_refused_total{side="inbound",reason="expired"} 1"#,
            r#"weft_tls_handshakes_total{side="outbound",kind="resumed"} 1"#,
            r#"weft_tls_handshakes_total{side="inbound",kind="full"} 1"#,
            r#"weft_detected_connections_total{protocol="http1"} 1"#,
            r#"weft_telemetry_dropped_total{kind="access_log"} 1"#,
            "weft_certificate_expiry_seconds 1800000000",
            "weft_control_plane_connected 1",
            "# EOF",
        ],
    );
}

#[test]
fn methods_tokens_and_codes_that_nobody_knows_share_a_row() {
    let metrics = metrics();
    let requests = metrics.requests(cart("r"));
    for n in 0..1000 {
        requests.answered(&Method::from_bytes(format!("M{n}").as_bytes()).unwrap(), 200, MS);
        requests.refused(&format!("token-{n}"), 500, MS);
        requests.grpc_status(17 + n);
        requests.answered(&Method::GET, 600 + n, MS);
    }
    let text = metrics.encode();
    for part in [
        r#"method="OTHER",status_class="2xx"} 1000"#,
        r#"method="GET",status_class="other"} 1000"#,
        r#"refusal="unlisted",status_class="5xx"} 1000"#,
        r#"grpc_status="2"} 1000"#,
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(text.lines().count() < 100, "{text}");
}

#[test]
fn beyond_the_limit_names_are_counted_together() {
    let metrics = Metrics::new(SeriesLimit(10), REFUSALS);
    for n in 0..500 {
        let name = format!("route-{n}");
        metrics.requests(cart(&name)).answered(&Method::GET, 200, MS);
        drop(metrics.tcp(Direction::Inbound, &name).open());
    }
    let text = metrics.encode();
    assert!(
        text.contains(
            r#"weft_requests_total{direction="outbound",service="_overflow",route="_overflow",backend="_overflow",method="GET",status_class="2xx"} 490"#
        ),
        "{text}"
    );
    assert_eq!(text.lines().filter(|line| line.starts_with("weft_tcp_connections_opened_total")).count(), 11);
    // A name that has numbers keeps them.
    metrics.requests(cart("route-3")).answered(&Method::GET, 200, MS);
    assert!(
        metrics
            .encode()
            .contains(r#"route="route-3",backend="shop/cart-v1",method="GET",status_class="2xx"} 2"#)
    );
}

#[test]
fn a_route_that_is_gone_is_forgotten_at_the_second_sweep() {
    let metrics = metrics();
    let kept = metrics.requests(cart("kept"));
    kept.retried();
    metrics.requests(cart("gone")).retried();
    metrics.sweep();
    assert!(metrics.encode().contains("gone"), "its last numbers can still be read");
    metrics.sweep();
    let text = metrics.encode();
    assert!(text.contains("kept") && !text.contains("gone"), "{text}");
}

#[test]
fn a_label_value_cannot_end_its_line() {
    let metrics = metrics();
    metrics.requests(cart("a\"} 1\nweft_fake 1\\")).retried();
    let text = metrics.encode();
    assert!(!text.lines().any(|line| line.starts_with("weft_fake")), "{text}");
}

#[test]
fn handles_of_one_name_are_one_series_whatever_the_thread() {
    let metrics = metrics();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let metrics = metrics.clone();
            scope.spawn(move || {
                for _ in 0..1000 {
                    metrics.requests(cart("r")).answered(&Method::GET, 200, MS);
                }
            });
        }
    });
    assert!(metrics.encode().contains(r#"method="GET",status_class="2xx"} 4000"#));
}

proptest! {
    #[test]
    fn every_duration_is_in_exactly_one_bucket(nanos: u64) {
        let latency = latency::Latency::default();
        latency.observe(Duration::from_nanos(nanos));
        let (_, count, buckets) = latency.read();
        prop_assert_eq!(count, 1);
        let at = buckets.iter().position(|(_, count)| *count == 1).unwrap();
        let seconds = Duration::from_nanos(nanos).as_secs_f64();
        prop_assert!(seconds <= buckets[at].0);
        prop_assert!(at == 0 || seconds > buckets[at - 1].0 * 0.999_999);
    }
}
