//! RFC 9113 §5.1 (states, ids, how many), §5.2 (flow control) and §5.3 (priority).

use super::{Answer, Case, GoAway, Ignored, Reset, Say, case, get, post, request};
use crate::wire::{
    CANCEL, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, PRIORITIZED, PROTOCOL_ERROR, REFUSED_STREAM,
    STREAM_CLOSED, block, continuation, data, headers, priority, rst, window_update,
};

pub(super) fn cases() -> Vec<Case> {
    [idle(), half_closed(), closed_by_reset(), closed_by_answer(), ids(), priorities()]
        .into_iter()
        .flatten()
        .collect()
}

fn idle() -> Vec<Case> {
    let wrong = |what, bytes| case("5.1", what, [bytes], [GoAway(PROTOCOL_ERROR)]);
    vec![
        wrong("idle: DATA", data(END_STREAM, 1, b"x")),
        wrong("idle: RST_STREAM", rst(1, CANCEL)),
        wrong("idle: WINDOW_UPDATE", window_update(1, 100)),
        wrong("idle: CONTINUATION", continuation(END_HEADERS, 1, block(&request("GET", "/")))),
        case("5.1", "idle: PRIORITY", [priority(5, 0)], [Ignored]),
        case(
            "5.1",
            "idle: PRIORITY, and then a request on an older stream",
            [[priority(5, 0), get(1)].concat()],
            [Answer(1, 200)],
        ),
    ]
}

fn half_closed() -> Vec<Case> {
    let after = |bytes: Vec<u8>| [[get(1), bytes].concat()];
    // h2 ends the whole connection, which §5.4.2 allows, and tells the unspecific code.
    let errors = [Reset(1, STREAM_CLOSED), GoAway(STREAM_CLOSED), GoAway(PROTOCOL_ERROR)];
    vec![
        case("5.1", "half-closed: DATA", after(data(END_STREAM, 1, b"x")), errors),
        case("5.1", "half-closed: DATA without data", after(data(0, 1, [])), errors),
        case("5.1", "half-closed: HEADERS", after(get(1)), errors),
        case(
            "5.1",
            "half-closed: CONTINUATION",
            after(continuation(END_HEADERS, 1, [])),
            [GoAway(STREAM_CLOSED), GoAway(PROTOCOL_ERROR)],
        ),
        case("5.1", "half-closed: WINDOW_UPDATE", after(window_update(1, 100)), [Answer(1, 200)]),
        case("5.1", "half-closed: PRIORITY", after(priority(1, 0)), [Answer(1, 200)]),
        case("5.1", "half-closed: RST_STREAM", after(rst(1, CANCEL)), [Ignored]),
    ]
}

fn closed_by_reset() -> Vec<Case> {
    let after = |bytes: Vec<u8>| [[post(1), rst(1, CANCEL), bytes].concat()];
    let errors = [Reset(1, STREAM_CLOSED), GoAway(STREAM_CLOSED)];
    vec![
        case("5.1", "closed by reset: DATA", after(data(END_STREAM, 1, b"x")), errors),
        case(
            "5.1",
            "closed by reset: HEADERS",
            after(get(1)),
            [errors[0], errors[1], GoAway(PROTOCOL_ERROR)],
        ),
        case(
            "5.1",
            "closed by reset: CONTINUATION",
            after(continuation(END_HEADERS, 1, [])),
            [GoAway(STREAM_CLOSED), GoAway(PROTOCOL_ERROR)],
        ),
        case(
            "5.1",
            "closed by reset: RST_STREAM again",
            after(rst(1, CANCEL)),
            [Ignored, GoAway(STREAM_CLOSED)],
        ),
        case("5.1", "closed by reset: WINDOW_UPDATE", after(window_update(1, 1000)), [Ignored]),
        case("5.1", "closed by reset: PRIORITY", after(priority(1, 0)), [Ignored]),
    ]
}

fn closed_by_answer() -> Vec<Case> {
    let after = |bytes: Vec<u8>| [Say::Bytes(get(1)), Say::AfterAnswer(1), Say::Bytes(bytes)];
    let errors = [Reset(1, STREAM_CLOSED), GoAway(STREAM_CLOSED), GoAway(PROTOCOL_ERROR)];
    vec![
        case("5.1", "closed: DATA", after(data(END_STREAM, 1, b"x")), errors),
        case("5.1", "closed: HEADERS", after(get(1)), errors),
        case("5.1", "closed: CONTINUATION", after(continuation(END_HEADERS, 1, [])), errors),
        case("5.1", "closed: PRIORITY", after(priority(1, 0)), [Ignored]),
        case(
            "5.1",
            "closed: WINDOW_UPDATE, which crossed the answer",
            after(window_update(1, 100)),
            [Ignored],
        ),
        case("5.1", "closed: RST_STREAM, which crossed the answer", after(rst(1, CANCEL)), [Ignored]),
        case(
            "5.1",
            "closed by the server: DATA that was under way",
            [
                Say::Bytes([post(1), data(0, 1, b"x"), window_update(1, 0)].concat()),
                Say::AfterReset(1),
                Say::Bytes(data(END_STREAM, 1, b"more")),
            ],
            [Reset(1, PROTOCOL_ERROR), GoAway(PROTOCOL_ERROR)],
        ),
    ]
}

fn ids() -> Vec<Case> {
    let wrong = |what, bytes| case("5.1.1", what, [bytes], [GoAway(PROTOCOL_ERROR)]);
    vec![
        wrong("an even id", get(2)),
        wrong("an id below one that was used", [get(5), get(3)].concat()),
        wrong("HEADERS on stream 0", get(0)),
        case("5.1.1", "ids that leave some out", [[get(1), get(101)].concat()], [Answer(101, 200)]),
        case("5.1.1", "the highest id", [get(0x7fff_ffff)], [Answer(0x7fff_ffff, 200)]),
        case(
            "5.1.1",
            "an id that was used, once its answer has come",
            [
                Say::Bytes(get(1)),
                Say::AfterAnswer(1),
                Say::Bytes(get(3)),
                Say::AfterAnswer(3),
                Say::Bytes(get(1)),
            ],
            [GoAway(PROTOCOL_ERROR), GoAway(STREAM_CLOSED), Reset(1, STREAM_CLOSED)],
        ),
    ]
}

/// Last of all: a client that leaves with hundreds of requests under way has them all reset at once, and servers that
/// take this for an attack (hyper does) end the connection, which counts against the endpoint for a while.
pub(super) fn how_many() -> Vec<Case> {
    let many = |count: u32| -> Vec<u8> { (0..count).flat_map(|n| post(2 * n + 1)).collect() };
    let over = 2 * 250 + 1;
    vec![
        case(
            "5.1.2",
            "as many as SETTINGS allow, the last one answered",
            [[many(250), data(END_STREAM, over - 2, b"x")].concat()],
            [Answer(over - 2, 200)],
        ),
        case(
            "5.1.2",
            "one stream more than SETTINGS allow",
            [many(251)],
            [Reset(over, REFUSED_STREAM), Reset(over, PROTOCOL_ERROR), GoAway(PROTOCOL_ERROR)],
        ),
        case(
            "5.2",
            "more DATA than the connection's window",
            [[post(1), (0..100).flat_map(|_| data(0, 1, [0; 16384])).collect::<Vec<u8>>()].concat()],
            [Ignored, Answer(1, 200), Reset(1, FLOW_CONTROL_ERROR), GoAway(FLOW_CONTROL_ERROR)],
        ),
    ]
}

fn priorities() -> Vec<Case> {
    let on = |dependency: u32| [&dependency.to_be_bytes()[..], &[15], &block(&request("GET", "/"))].concat();
    let flags = END_HEADERS | END_STREAM | PRIORITIZED;
    vec![
        case("5.3", "HEADERS with a priority", [headers(flags, 1, on(0))], [Answer(1, 200)]),
        case(
            "5.3",
            "HEADERS with an exclusive priority on a stream that is not there",
            [headers(flags, 1, on(1 << 31 | 9))],
            [Answer(1, 200)],
        ),
        case(
            "5.3",
            "HEADERS that depend on their own stream",
            [headers(flags, 1, on(1))],
            [Reset(1, PROTOCOL_ERROR), Answer(1, 200)],
        ),
        case(
            "5.3",
            "PRIORITY on its own stream",
            [[post(1), priority(1, 1)].concat()],
            [Reset(1, PROTOCOL_ERROR), Ignored],
        ),
        case(
            "5.3",
            "PRIORITY on its own stream, which is idle",
            [priority(3, 3)],
            [Reset(3, PROTOCOL_ERROR), GoAway(PROTOCOL_ERROR), Ignored],
        ),
    ]
}
