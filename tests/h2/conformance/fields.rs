//! RFC 9113 §8.2: which names and values fields may have, and which fields belong to one connection only.

use super::{Answer, Case, GoAway, Refusal, Reset, Want, case, get_with, post_with};
use crate::wire::{END_STREAM, PROTOCOL_ERROR, data};

pub(super) fn cases() -> Vec<Case> {
    [names(), values(), of_one_connection()].into_iter().flatten().collect()
}

const MALFORMED: [Want; 3] = [Reset(1, PROTOCOL_ERROR), GoAway(PROTOCOL_ERROR), Refusal(1)];

fn wrong(section: &'static str, what: &'static str, name: &[u8], value: &[u8]) -> Case {
    case(section, what, [get_with(1, &[(name, value)])], MALFORMED)
}

fn fine(section: &'static str, what: &'static str, name: &[u8], value: &[u8]) -> Case {
    case(section, what, [get_with(1, &[(name, value)])], [Answer(1, 200)])
}

fn names() -> Vec<Case> {
    vec![
        wrong("8.2", "an upper-case name", b"X-Upper", b"1"),
        wrong("8.2.1", "an upper-case letter at the end", b"x-uppeR", b"1"),
        wrong("8.2.1", "a name with a space", b"x y", b"1"),
        wrong("8.2.1", "a name with a space at its end", b"x-y ", b"1"),
        wrong("8.2.1", "a name with a tab", b"x\ty", b"1"),
        wrong("8.2.1", "a name with a colon", b"x:y", b"1"),
        wrong("8.2.1", "a name with CR LF", b"x\r\ny", b"1"),
        wrong("8.2.1", "a name with NUL", b"x\0y", b"1"),
        wrong("8.2.1", "a name with DEL", b"x\x7fy", b"1"),
        wrong("8.2.1", "a name beyond ASCII", b"x\xfcy", b"1"),
        wrong("8.2.1", "a name without a letter", b"", b"1"),
        fine("8.2.1", "a name of every sign that a token may have", b"!#$%&'*+-.^_`|~09az", b"1"),
    ]
}

fn values() -> Vec<Case> {
    vec![
        wrong("8.2.1", "a value with CR LF", b"x-a", b"1\r\nx-b: 2"),
        wrong("8.2.1", "a value with CR", b"x-a", b"1\r2"),
        wrong("8.2.1", "a value with LF", b"x-a", b"1\n2"),
        wrong("8.2.1", "a value with NUL", b"x-a", b"1\x002"),
        wrong("8.2.1", "a value that is LF", b"x-a", b"\n"),
        fine("8.2.1", "a value beyond ASCII", b"x-a", b"\xc3\xbc\xff"),
        fine("8.2.1", "a value with spaces and tabs in it", b"x-a", b"1 \t 2"),
        fine("8.2.1", "an empty value", b"x-a", b""),
        fine("8.2.3", "a cookie", b"cookie", b"a=b"),
    ]
}

fn of_one_connection() -> Vec<Case> {
    let with_body = |what, name: &[u8], value: &[u8]| {
        case(
            "8.2.2",
            what,
            [[post_with(1, &[(name, value)]), data(END_STREAM, 1, b"0\r\n\r\n")].concat()],
            MALFORMED,
        )
    };
    vec![
        wrong("8.2.2", "connection", b"connection", b"keep-alive"),
        wrong("8.2.2", "connection: close", b"connection", b"close"),
        wrong("8.2.2", "keep-alive", b"keep-alive", b"timeout=5"),
        wrong("8.2.2", "proxy-connection", b"proxy-connection", b"keep-alive"),
        wrong("8.2.2", "upgrade", b"upgrade", b"websocket"),
        wrong("8.2.2", "transfer-encoding", b"transfer-encoding", b"chunked"),
        with_body("transfer-encoding, with a body", b"transfer-encoding", b"chunked"),
        with_body("transfer-encoding: identity, with a body", b"transfer-encoding", b"identity"),
        wrong("8.2.2", "te: gzip", b"te", b"gzip"),
        wrong("8.2.2", "te: trailers, gzip", b"te", b"trailers, gzip"),
        fine("8.2.2", "te: trailers", b"te", b"trailers"),
    ]
}
