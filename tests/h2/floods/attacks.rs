//! The floods: what each client sends.

use crate::conformance::{get, post, post_with, request};
use crate::wire::{
    CANCEL, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, INITIAL_WINDOW_SIZE, PING,
    PROTOCOL_ERROR, STREAM_CLOSED, block, continuation, data, frame, headers, integer, priority, rst,
    settings, string, window_update,
};

/// What a client sends, after its preface, and the codes with which it may be shown out.
pub(super) struct Flood {
    pub(super) what: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) codes: &'static [u32],
    /// Sent in turns of so many bytes and so many, with time between in which a request can begin.
    pub(super) paced: Option<(usize, usize)>,
}

fn flood(what: &'static str, bytes: Vec<u8>) -> Flood {
    Flood { what, bytes, codes: &[ENHANCE_YOUR_CALM], paced: None }
}

/// The same for every stream of so many.
pub(super) fn streams(count: u32, each: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(|n| each(2 * n + 1)).collect()
}

/// All of them.
pub(super) fn floods() -> Vec<Flood> {
    let body = |bytes: Vec<u8>, times| [post(1), bytes.repeat(times)].concat();
    vec![
        flood("rapid reset", streams(500, |id| [get(id), rst(id, CANCEL)].concat())),
        flood(
            "rapid reset, of requests with bodies",
            streams(500, |id| [post(id), data(0, id, b"x"), rst(id, CANCEL)].concat()),
        ),
        Flood {
            what: "rapid reset, once each request has begun",
            bytes: streams(500, |id| [post(id), rst(id, CANCEL)].concat()),
            codes: &[ENHANCE_YOUR_CALM],
            paced: Some((post(1).len(), rst(1, CANCEL).len())),
        },
        Flood {
            what: "made to reset, once each request has begun",
            bytes: streams(500, |id| {
                [post_with(id, &[(b"content-length", b"1")]), data(0, id, b"xx")].concat()
            }),
            codes: &[ENHANCE_YOUR_CALM],
            paced: Some((post_with(1, &[(b"content-length", b"1")]).len(), data(0, 1, b"xx").len())),
        },
        Flood {
            what: "made to reset: WINDOW_UPDATE by nothing",
            bytes: streams(1200, |id| [post(id), window_update(id, 0)].concat()),
            codes: &[ENHANCE_YOUR_CALM, PROTOCOL_ERROR],
            paced: None,
        },
        Flood {
            what: "made to reset: windows that overflow",
            bytes: streams(1200, |id| [post(id), window_update(id, (1 << 31) - 1)].concat()),
            codes: &[ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR],
            paced: None,
        },
        Flood {
            what: "made to reset: DATA after the end",
            bytes: streams(1200, |id| [get(id), data(0, id, b"x")].concat()),
            codes: &[ENHANCE_YOUR_CALM, STREAM_CLOSED, PROTOCOL_ERROR],
            paced: None,
        },
        flood(
            "made to reset: wrong Content-Length",
            streams(1200, |id| {
                [post_with(id, &[(b"content-length", b"1")]), data(END_STREAM, id, b"xx")].concat()
            }),
        ),
        flood(
            "made to reset: malformed heads",
            streams(1200, |id| {
                headers(
                    END_HEADERS | END_STREAM,
                    id,
                    block(&[request("GET", "/"), vec![(b"te", b"gzip")]].concat()),
                )
            }),
        ),
        flood(
            "CONTINUATION without end",
            [
                headers(END_STREAM, 1, block(&request("GET", "/"))),
                continuation(0, 1, block(&[(b"x-a", &[b'a'; 1000])])).repeat(2000),
            ]
            .concat(),
        ),
        flood(
            "CONTINUATION with nothing in it",
            [headers(END_STREAM, 1, block(&request("GET", "/"))), continuation(0, 1, []).repeat(5000)]
                .concat(),
        ),
        flood("PING", frame(PING, 0, 0, *b"pingping").repeat(20_000)),
        flood("SETTINGS", settings(&[(INITIAL_WINDOW_SIZE, 1)]).repeat(20_000)),
        flood("SETTINGS of many entries", settings(&[(0x0aaa, 1); 2730]).repeat(100)),
        flood("PRIORITY", streams(20_000, |id| priority(id, 0))),
        flood("WINDOW_UPDATE", body(window_update(0, 1 << 10), 20_000)),
        flood(
            "WINDOW_UPDATE by one",
            [settings(&[(INITIAL_WINDOW_SIZE, 0)]), get(1), window_update(1, 1).repeat(20_000)].concat(),
        ),
        flood("DATA with nothing in it", body(data(0, 1, []), 30_000)),
        flood("DATA of one byte", body(data(0, 1, b"x"), 30_000)),
        flood("DATA of padding", body(frame(0, 8, 1, [255; 256]), 30_000)),
        flood("types that nobody knows", frame(0xbb, 0, 0, [0; 8]).repeat(20_000)),
        flood("a block that grows 4000 times when it is read", hpack_bomb()),
        flood("a cookie in 24 577 crumbs", crumbs()),
    ]
}

/// A value of 4 KiB is put into the table once, and named in one byte each time.
fn hpack_bomb() -> Vec<u8> {
    let mut first = block(&request("GET", "/"));
    first.push(0x40);
    string(&mut first, b"x-bomb");
    integer(&mut first, 0, 7, 3900);
    first.extend([b'b'; 3900]);
    let many = [block(&request("GET", "/")), vec![0xbe; 12_000]].concat();
    [headers(END_HEADERS | END_STREAM, 1, first), headers(END_HEADERS | END_STREAM, 3, many).repeat(20)]
        .concat()
}

fn crumbs() -> Vec<u8> {
    // `cookie: ` with an empty value, by its index in the static table: two bytes each.
    let fields = [block(&request("GET", "/")), b"\x0f\x11\x00".repeat(24_577)].concat();
    let (first, rest) = fields.split_at(16_000);
    let mut bytes = headers(END_STREAM, 1, first);
    let pieces: Vec<_> = rest.chunks(16_000).collect();
    for (nth, piece) in pieces.iter().enumerate() {
        bytes.extend(continuation(if nth + 1 == pieces.len() { END_HEADERS } else { 0 }, 1, piece));
    }
    bytes
}
