//! What a line holds, what it never holds, and that nobody waits for it.

use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::super::metrics::{Metrics, SeriesLimit};
use super::*;

fn entry<'a>() -> Entry<'a> {
    Entry {
        time: UNIX_EPOCH + Duration::from_millis(1_795_234_680_123),
        trace_id: None,
        direction: Direction::Outbound,
        peer: None,
        service: Some("shop/cart"),
        route: Some("HTTPRoute shop/split"),
        rule: Some("1"),
        backend: Some("shop/cart-v1"),
        endpoint: Some("10.0.0.7:8080".parse().unwrap()),
        method: "GET",
        path: "/cart/1",
        status: 200,
        grpc_status: None,
        refusal: None,
        policy: None,
        broken: None,
        took: Duration::from_micros(1234),
        request_bytes: 0,
        response_bytes: 17,
        retries: 1,
        draw: 0xfeed,
    }
}

fn line(entry: &Entry<'_>) -> String {
    String::from_utf8(entry.line()).unwrap()
}

fn dropped() -> Count {
    Metrics::new(SeriesLimit::default(), &[]).dropped("access_log")
}

#[test]
fn a_line_tells_what_was_decided_and_what_came_of_it() {
    assert_eq!(
        line(&entry()),
        concat!(
            r#"{"time":"2026-11-21T04:18:00.123Z","direction":"outbound","service":"shop/cart","#,
            r#""route":"HTTPRoute shop/split","rule":"1","backend":"shop/cart-v1","endpoint":"10.0.0.7:8080","#,
            r#""method":"GET","path":"/cart/1","status":200,"duration_us":1234,"request_bytes":0,"#,
            r#""response_bytes":17,"retries":1,"draw":"000000000000feed"}"#,
            "\n"
        )
    );
    let call = line(&Entry { grpc_status: Some(14), ..entry() });
    assert!(call.contains(r#""status":200,"grpc_status":14,"#), "{call}");
    let denied = line(&Entry {
        peer: Some("spiffe://mesh/ns/shop/sa/web"),
        refusal: Some("denied"),
        policy: Some("AuthorizationPolicy shop/readers"),
        ..entry()
    });
    let value: serde_json::Value = serde_json::from_str(&denied).unwrap();
    assert_eq!(value["peer"], "spiffe://mesh/ns/shop/sa/web");
    assert_eq!(
        (&value["refusal"], &value["policy"]),
        (&"denied".into(), &"AuthorizationPolicy shop/readers".into())
    );
}

#[test]
fn an_opaque_connections_line_tells_who_where_to_and_how_much_or_why_not() {
    let carried = Connection {
        time: UNIX_EPOCH + Duration::from_millis(1_795_234_680_123),
        direction: Direction::Inbound,
        source: "10.0.0.9:40000".parse().unwrap(),
        peer: Some("spiffe://mesh/ns/shop/sa/web"),
        destination: "127.0.0.1:5432",
        service: Some("shop/db"),
        endpoint: Some("127.0.0.1:5432".parse().unwrap()),
        refusal: None,
        policy: None,
        took: Duration::from_micros(77),
        sent: 3,
        received: 4,
    };
    let told = |connection: &Connection<'_>| String::from_utf8(connection.line()).unwrap();
    assert_eq!(
        told(&carried),
        concat!(
            r#"{"time":"2026-11-21T04:18:00.123Z","direction":"inbound","protocol":"tcp","#,
            r#""source":"10.0.0.9:40000","peer":"spiffe://mesh/ns/shop/sa/web","destination":"127.0.0.1:5432","#,
            r#""service":"shop/db","endpoint":"127.0.0.1:5432","duration_us":77,"sent_bytes":3,"received_bytes":4}"#,
            "\n"
        )
    );
    let policy = Some("AuthorizationPolicy shop/db");
    let refused = told(&Connection { endpoint: None, refusal: Some("denied"), policy, ..carried });
    assert!(refused.contains(r#","refusal":"denied","policy":"AuthorizationPolicy shop/db","#), "{refused}");
}

#[test]
fn times_are_those_of_the_calendar() {
    for (seconds, want) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (951_868_799, "2000-02-29T23:59:59.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        (1_704_067_199, "2023-12-31T23:59:59.000Z"),
    ] {
        assert_eq!(timestamp::rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), want);
    }
    assert_eq!(timestamp::rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
}

#[test]
fn a_query_string_is_not_logged() {
    let line = line(&Entry { path: "/login?token=geheim#part", ..entry() });
    assert!(line.contains(r#""path":"/login""#) && !line.contains("geheim"), "{line}");
}

#[test]
fn a_path_cannot_forge_a_line_or_command_a_terminal() {
    let line =
        line(&Entry { path: "/a\"}\n{\"status\":500,\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{1f600}", ..entry() });
    assert!(line.bytes().all(|byte| byte == b'\n' || (0x20..0x7f).contains(&byte)), "{line:?}");
    assert_eq!(line.lines().count(), 1);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["path"], "/a\"}\n{\"status\":500,\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{1f600}");
    assert_eq!(value["status"], 200);
}

#[test]
fn a_line_is_bounded_whatever_the_request() {
    let long = "ä".repeat(100_000);
    let line = line(&Entry { path: &long, method: &long, peer: Some(&long), route: Some(&long), ..entry() });
    assert!(line.len() < 8 * 1024, "{}", line.len());
}

#[test]
fn lines_that_do_not_fit_are_dropped_and_counted() {
    let dropped = dropped();
    let (log, writer) = AccessLog::bounded(3, dropped.clone());
    for _ in 0..10 {
        log.write(&entry());
    }
    assert_eq!(dropped.value(), 7);
    drop(log);
    let mut out = Vec::new();
    writer.run(&mut out).unwrap();
    assert_eq!(out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(), 3);
}

#[test]
fn a_log_that_cannot_be_written_drops_and_counts() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dropped = dropped();
    let (log, writer) = AccessLog::bounded(3, dropped.clone());
    log.write(&entry());
    assert_eq!(writer.run(Full).unwrap_err().kind(), io::ErrorKind::StorageFull);
    log.write(&entry());
    assert_eq!(dropped.value(), 1);
}

#[test]
fn a_log_that_is_off_writes_nothing() {
    assert!(!AccessLog::off().is_on());
    AccessLog::off().write(&entry());
}

proptest! {
    #[test]
    fn every_text_comes_back_from_its_line(path in "\\PC{0,40}", peer in ".{0,40}") {
        let line = line(&Entry { path: &path, peer: Some(&peer), ..entry() });
        prop_assert!(line.is_ascii());
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(value["path"].as_str(), path.split(['?', '#']).next());
        prop_assert_eq!(value["peer"].as_str(), Some(peer.as_str()));
    }
}
