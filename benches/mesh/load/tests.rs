use super::http1::{Http1, Requests};
use super::http2::Http2;
use super::*;
use crate::origin::{self, Origin};
use std::net::Ipv4Addr;

fn asked(length: usize) -> Asked {
    let paths = vec!["/a".to_owned(), "/b".to_owned()].into();
    Asked { host: "api.shop", paths, lines: String::new(), body: origin::body(length) }
}

const SHORT: Window = Window { warm_up: Duration::from_millis(20), length: Duration::from_millis(50) };

fn nothing() -> anyhow::Result<Duration> {
    Ok(Duration::ZERO)
}

/// What comes of asking an origin of 10 bytes for another answer.
async fn closed(version: u8, expected: usize) -> anyhow::Result<Measured> {
    let origin = Origin::start(Ipv4Addr::LOCALHOST, 10).unwrap();
    let asked = asked(expected);
    if version == 2 {
        return closed::run(Http2::open(origin.http, &asked, 3).await?, SHORT, nothing).await;
    }
    let caller = Http1::open(origin.http, Requests::of(&asked), asked.body.clone()).await?;
    closed::run(vec![caller], SHORT, nothing).await
}

#[tokio::test]
async fn every_right_answer_counts() {
    for version in [1, 2] {
        let measured = closed(version, 10).await.unwrap();
        assert!(!measured.latencies.is_empty() && measured.latencies.is_sorted(), "HTTP/{version}");
    }
}

#[tokio::test]
async fn an_answer_of_another_length_ends_the_run_and_says_so() {
    for (version, why) in [(1, "the answer has 10 bytes instead of 11"), (2, "10 bytes instead of 11")] {
        let failed = closed(version, 11).await.unwrap_err().to_string();
        assert!(failed.contains(why), "HTTP/{version}: {failed}");
    }
}

#[tokio::test]
async fn a_body_with_one_other_byte_ends_the_run() {
    let origin = Origin::start(Ipv4Addr::LOCALHOST, 1000).unwrap();
    let mut body = origin::body(1000).to_vec();
    body[700] ^= 1;
    let asked = Asked { body: body.into(), ..asked(1000) };
    let mut http1 = Http1::open(origin.http, Requests::of(&asked), asked.body.clone()).await.unwrap();
    let mut http2 = Http2::open(origin.http, &asked, 1).await.unwrap().remove(0);
    for failed in [http1.ask().await, http2.ask().await] {
        let failed = failed.unwrap_err().to_string();
        assert!(failed.contains("another one"), "{failed}");
    }
}

#[tokio::test]
async fn large_answers_come_whole() {
    let origin = Origin::start(Ipv4Addr::LOCALHOST, 1 << 20).unwrap();
    let asked = asked(1 << 20);
    let mut http1 = Http1::open(origin.http, Requests::of(&asked), asked.body.clone()).await.unwrap();
    let mut http2 = Http2::open(origin.http, &asked, 1).await.unwrap().remove(0);
    for _ in 0..3 {
        http1.ask().await.unwrap();
        http2.ask().await.unwrap();
    }
}

#[tokio::test]
async fn an_open_loop_sends_what_is_due_and_no_more() {
    let origin = Origin::start(Ipv4Addr::LOCALHOST, 10).unwrap();
    let asked = asked(10);
    let mut callers = Vec::new();
    for _ in 0..4 {
        callers.push(Http1::open(origin.http, Requests::of(&asked), asked.body.clone()).await.unwrap());
    }
    let window = Window { warm_up: Duration::from_millis(20), length: Duration::from_millis(100) };
    let measured = open::run(callers, 1000, window, nothing).await.unwrap();
    assert_eq!(measured.latencies.len(), 100);
}

#[tokio::test]
async fn a_call_hears_what_it_said() {
    let origin = Origin::start(Ipv4Addr::LOCALHOST, 0).unwrap();
    let asked = asked(1000);
    let mut unary = grpc::unary(origin.http, &asked, 2).await.unwrap();
    let mut streaming = grpc::streaming(origin.http, &asked, 2).await.unwrap();
    for _ in 0..3 {
        unary[1].ask().await.unwrap();
        streaming[1].ask().await.unwrap();
    }
}

#[tokio::test]
async fn bytes_are_counted_where_they_arrive() {
    let origin = Origin::start(Ipv4Addr::LOCALHOST, 0).unwrap();
    let moved = bulk::run(origin.bytes, 2, &origin, SHORT, nothing).await.unwrap();
    assert!(moved.bytes > 0);
    connect::NewConnections(origin.bytes).ask().await.unwrap();
}

#[test]
fn a_percentile_is_a_value_that_was_measured() {
    let thousand: Vec<u32> = (1..=1000).collect();
    let cases: [(&[u32], usize, f64); 6] = [
        (&[], 500, 0.0),
        (&[7], 990, 7.0),
        (&[1, 2], 500, 1.0),
        (&thousand, 500, 500.0),
        (&thousand, 990, 990.0),
        (&thousand, 999, 999.0),
    ];
    for (sorted, of_1000, expected) in cases {
        let measured = Measured { latencies: sorted.to_vec(), ..Measured::default() };
        assert_eq!(measured.percentile(of_1000), expected, "{of_1000} of {}", sorted.len());
    }
}
