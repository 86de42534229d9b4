//! Any words of a peer in a line of the access log: one line, printable, bounded, and JSON.

use std::time::SystemTime;

use super::*;

#[test]
fn any_words_of_a_peer_stay_one_printable_line() {
    weft_fuzz::law!("log_line", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (method, path) = text.split_once(' ').unwrap_or((&text, &text));
        let entry = Entry {
            time: SystemTime::UNIX_EPOCH,
            trace_id: None,
            direction: Direction::Inbound,
            peer: Some(&text),
            service: None,
            route: Some(&text),
            rule: None,
            backend: None,
            endpoint: None,
            method,
            path,
            status: 400,
            grpc_status: None,
            refusal: None,
            policy: None,
            broken: None,
            took: Duration::ZERO,
            request_bytes: 0,
            response_bytes: 0,
            retries: 0,
            draw: u64::MAX,
        };
        let line = entry.line();
        let (end, line) = line.split_last().unwrap();
        assert_eq!(*end, b'\n');
        assert!(line.iter().all(|byte| (0x20..0x7f).contains(byte)), "a terminal stays as it was");
        assert!(line.len() < 16 * 1024, "{} bytes", line.len());
        let read: serde_json::Value = serde_json::from_slice(line).expect("a line is JSON");
        assert!(path.starts_with(['?', '#']) || path.starts_with(read["path"].as_str().unwrap()));
        assert!(!read["path"].as_str().unwrap().contains(['?', '#']), "no query string in a log");
    });
}
