//! RFC 9113 §6: what each type of frame may look like, and where it may stand.

use super::{
    Answer, Case, Data, GoAway, Ignored, Pong, Reset, Say, SettingsAck, case, get, get_with, post, request,
};
use crate::wire::{
    ACK, CANCEL, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY,
    HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE,
    PADDED, PING, PRIORITIZED, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    block, continuation, data, frame, headers, padded, rst, settings, window_update,
};

pub(super) fn cases() -> Vec<Case> {
    let suites =
        [of_data, of_headers, of_priority, of_rst_stream, of_settings, of_push_promise, of_ping, of_goaway];
    let windows = [of_window_update, of_windows, of_continuation];
    suites.into_iter().chain(windows).flat_map(|cases| cases()).collect()
}

/// An error of the connection.
fn wrong(section: &'static str, what: &'static str, bytes: Vec<u8>, code: u32) -> Case {
    case(section, what, [bytes], [GoAway(code)])
}

fn of_data() -> Vec<Case> {
    let body = |flags, payload: &[u8]| [post(1), frame(DATA, flags, 1, payload)].concat();
    vec![
        wrong("6.1", "DATA on stream 0", data(END_STREAM, 0, b"x"), PROTOCOL_ERROR),
        case("6.1", "padding", [body(PADDED | END_STREAM, &padded(b"hello", 6, 6))], [Answer(1, 200)]),
        case(
            "6.1",
            "nothing but padding",
            [body(PADDED | END_STREAM, &padded(b"", 255, 255))],
            [Answer(1, 200)],
        ),
        case(
            "6.1",
            "padding that is not zeros",
            [body(PADDED | END_STREAM, b"\x03hello\x01\x02\x03")],
            [Answer(1, 200), GoAway(PROTOCOL_ERROR)],
        ),
        wrong(
            "6.1",
            "padding as long as the payload",
            body(PADDED | END_STREAM, b"\x06hello"),
            PROTOCOL_ERROR,
        ),
        wrong(
            "6.1",
            "padding longer than the payload",
            body(PADDED | END_STREAM, b"\xffhello"),
            PROTOCOL_ERROR,
        ),
        case(
            "6.1",
            "padding whose length is missing",
            [body(PADDED | END_STREAM, b"")],
            [GoAway(PROTOCOL_ERROR), GoAway(FRAME_SIZE_ERROR)],
        ),
    ]
}

fn of_headers() -> Vec<Case> {
    let fields = block(&request("GET", "/"));
    let all = END_HEADERS | END_STREAM;
    let with = |flags, payload: Vec<u8>| headers(all | flags, 1, payload);
    let prioritized = [&[0, 0, 0, 0, 15], fields.as_slice()].concat();
    vec![
        case("6.2", "padding", [with(PADDED, padded(&fields, 8, 8))], [Answer(1, 200)]),
        case(
            "6.2",
            "padding and a priority",
            [with(PADDED | PRIORITIZED, padded(&prioritized, 255, 255))],
            [Answer(1, 200)],
        ),
        wrong(
            "6.2",
            "padding longer than the payload",
            with(PADDED, [b"\xff", &fields[..]].concat()),
            PROTOCOL_ERROR,
        ),
        wrong("6.2", "padding as long as the payload", with(PADDED, b"\x01".to_vec()), PROTOCOL_ERROR),
        case(
            "6.2",
            "padding that eats the priority",
            [with(PADDED | PRIORITIZED, b"\x05\0\0\0\0\x0f".to_vec())],
            [
                GoAway(PROTOCOL_ERROR),
                GoAway(FRAME_SIZE_ERROR),
                // Or it is taken for a block without fields.
                Reset(1, PROTOCOL_ERROR),
            ],
        ),
        case(
            "6.2",
            "a priority that is cut short",
            [with(PRIORITIZED, vec![0, 0, 0])],
            [GoAway(FRAME_SIZE_ERROR), GoAway(PROTOCOL_ERROR)],
        ),
    ]
}

fn of_priority() -> Vec<Case> {
    vec![
        wrong("6.3", "PRIORITY on stream 0", frame(PRIORITY, 0, 0, [0, 0, 0, 0, 1]), PROTOCOL_ERROR),
        case(
            "6.3",
            "four bytes",
            [[post(1), frame(PRIORITY, 0, 1, [0; 4])].concat()],
            [Reset(1, FRAME_SIZE_ERROR), GoAway(FRAME_SIZE_ERROR)],
        ),
        case(
            "6.3",
            "six bytes",
            [[post(1), frame(PRIORITY, 0, 1, [0; 6])].concat()],
            [Reset(1, FRAME_SIZE_ERROR), GoAway(FRAME_SIZE_ERROR)],
        ),
    ]
}

fn of_rst_stream() -> Vec<Case> {
    vec![
        wrong("6.4", "RST_STREAM on stream 0", rst(0, CANCEL), PROTOCOL_ERROR),
        wrong("6.4", "RST_STREAM on an idle stream", rst(7, CANCEL), PROTOCOL_ERROR),
        wrong("6.4", "three bytes", [post(1), frame(RST_STREAM, 0, 1, [0; 3])].concat(), FRAME_SIZE_ERROR),
        wrong("6.4", "five bytes", [post(1), frame(RST_STREAM, 0, 1, [0; 5])].concat(), FRAME_SIZE_ERROR),
        case(
            "6.4",
            "a stream that is given up is not answered, the next one is",
            [[post(1), rst(1, CANCEL), get(3)].concat()],
            [Answer(3, 200)],
        ),
        case(
            "6.4",
            "flags that nobody knows",
            [[post(1), frame(RST_STREAM, 0xff, 1, [0, 0, 0, 8])].concat()],
            [Ignored],
        ),
    ]
}

fn of_settings() -> Vec<Case> {
    let set = |what, id, value| case("6.5.2", what, [settings(&[(id, value)])], [SettingsAck(2)]);
    let not = |what, id, value, code| wrong("6.5.2", what, settings(&[(id, value)]), code);
    vec![
        wrong("6.5", "an ACK that says something", frame(SETTINGS, ACK, 0, [0; 6]), FRAME_SIZE_ERROR),
        wrong("6.5", "SETTINGS on a stream", frame(SETTINGS, 0, 1, []), PROTOCOL_ERROR),
        wrong("6.5", "half an entry", frame(SETTINGS, 0, 0, [0; 3]), FRAME_SIZE_ERROR),
        wrong(
            "6.5",
            "an entry and a half",
            frame(SETTINGS, 0, 0, [0, 3, 0, 0, 0, 9, 0, 3, 0]),
            FRAME_SIZE_ERROR,
        ),
        set("no push", ENABLE_PUSH, 0),
        set("push, from a client", ENABLE_PUSH, 1),
        not("push by two", ENABLE_PUSH, 2, PROTOCOL_ERROR),
        set("the largest window", INITIAL_WINDOW_SIZE, (1 << 31) - 1),
        // h2 ends the connection, as it must, and tells the unspecific code.
        case(
            "6.5.2",
            "a window larger than that",
            [settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)])],
            [GoAway(FLOW_CONTROL_ERROR), GoAway(PROTOCOL_ERROR)],
        ),
        set("the smallest frames", MAX_FRAME_SIZE, 1 << 14),
        set("the largest frames", MAX_FRAME_SIZE, (1 << 24) - 1),
        not("frames smaller than that", MAX_FRAME_SIZE, (1 << 14) - 1, PROTOCOL_ERROR),
        not("frames larger than that", MAX_FRAME_SIZE, 1 << 24, PROTOCOL_ERROR),
        set("a setting that nobody knows", 0x0abc, 1),
        case(
            "6.5.2",
            "no table, no streams of the server's, short lists",
            [[
                settings(&[
                    (HEADER_TABLE_SIZE, 0),
                    (MAX_CONCURRENT_STREAMS, 0),
                    (MAX_HEADER_LIST_SIZE, 1 << 14),
                ]),
                get(1),
            ]
            .concat()],
            [Answer(1, 200)],
        ),
        case("6.5.3", "each SETTINGS has its ACK", [settings(&[]).repeat(5)], [SettingsAck(6)]),
        case(
            "6.5.3",
            "of one setting twice, the last counts",
            [[settings(&[(INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)]), get(1)].concat()],
            [Data(1, 1)],
        ),
    ]
}

fn of_push_promise() -> Vec<Case> {
    let promise = [&[0, 0, 0, 2], block(&request("GET", "/")).as_slice()].concat();
    vec![
        wrong(
            "6.6",
            "PUSH_PROMISE from a client",
            [post(1), frame(PUSH_PROMISE, END_HEADERS, 1, &promise)].concat(),
            1,
        ),
        wrong(
            "8.4",
            "PUSH_PROMISE on stream 0",
            frame(PUSH_PROMISE, END_HEADERS, 0, &promise),
            PROTOCOL_ERROR,
        ),
    ]
}

fn of_ping() -> Vec<Case> {
    vec![
        case(
            "6.7",
            "a PING is answered with what it says",
            [frame(PING, 0, 0, *b"12345678")],
            [Pong(*b"12345678")],
        ),
        case("6.7", "an answer that nobody asked for", [frame(PING, ACK, 0, *b"12345678")], [Ignored]),
        wrong("6.7", "PING on a stream", frame(PING, 0, 1, [0; 8]), PROTOCOL_ERROR),
        wrong("6.7", "seven bytes", frame(PING, 0, 0, [0; 7]), FRAME_SIZE_ERROR),
        wrong("6.7", "nine bytes", frame(PING, 0, 0, [0; 9]), FRAME_SIZE_ERROR),
    ]
}

fn of_goaway() -> Vec<Case> {
    vec![
        wrong("6.8", "GOAWAY on a stream", frame(GOAWAY, 0, 1, [0; 8]), PROTOCOL_ERROR),
        case(
            "6.8",
            "GOAWAY cut short",
            [frame(GOAWAY, 0, 0, [0; 7])],
            [GoAway(FRAME_SIZE_ERROR), GoAway(PROTOCOL_ERROR)],
        ),
        case(
            "6.8",
            "what was asked before a GOAWAY is answered",
            [[post(1), frame(GOAWAY, 0, 0, [0; 8]), data(END_STREAM, 1, b"x")].concat()],
            [Answer(1, 200)],
        ),
    ]
}

fn of_window_update() -> Vec<Case> {
    vec![
        wrong("6.9", "by nothing, on the connection", window_update(0, 0), PROTOCOL_ERROR),
        case(
            "6.9",
            "by nothing, on a stream",
            [[post(1), window_update(1, 0)].concat()],
            [Reset(1, PROTOCOL_ERROR), GoAway(PROTOCOL_ERROR)],
        ),
        wrong("6.9", "three bytes", frame(WINDOW_UPDATE, 0, 0, [0, 0, 1]), FRAME_SIZE_ERROR),
        wrong("6.9", "five bytes", frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1, 0]), FRAME_SIZE_ERROR),
        case(
            "6.9",
            "the reserved bit of an increment",
            [frame(WINDOW_UPDATE, 0, 0, [0x80, 0, 0, 1])],
            [Ignored],
        ),
        wrong("6.9.1", "the connection's window overflows", window_update(0, (1 << 31) - 1).repeat(2), 3),
        case(
            "6.9.1",
            "a stream's window overflows",
            [[post(1), window_update(1, (1 << 31) - 1)].concat()],
            [Reset(1, FLOW_CONTROL_ERROR), GoAway(FLOW_CONTROL_ERROR)],
        ),
    ]
}

fn of_windows() -> Vec<Case> {
    let window = |size| settings(&[(INITIAL_WINDOW_SIZE, size)]);
    vec![
        case("6.9.1", "a window of one byte is kept to", [[window(1), get(1)].concat()], [Data(1, 1)]),
        case(
            "6.9.2",
            "a window that is opened by SETTINGS while a stream waits",
            [Say::Bytes([window(0), get(1)].concat()), Say::Bytes(window(3))],
            [Data(1, 3)],
        ),
        case(
            "6.9.2",
            "a window below zero, and above it again",
            [Say::Bytes([window(3), get(1)].concat()), Say::Bytes([window(2), window_update(1, 2)].concat())],
            [Data(1, 1), Data(1, 3), Data(1, 4)],
        ),
        case(
            "6.9.2",
            "SETTINGS that make a stream's window overflow",
            [[post(1), window_update(1, (1 << 31) - 1 - 65_535), window(65_536)].concat()],
            [GoAway(FLOW_CONTROL_ERROR)],
        ),
        case(
            "6.9.1",
            "no window, and an answer without a body",
            [[window(0), headers(END_HEADERS | END_STREAM, 1, block(&request("HEAD", "/")))].concat()],
            [Answer(1, 200)],
        ),
    ]
}

fn of_continuation() -> Vec<Case> {
    let fields = block(&request("GET", "/"));
    let begun = headers(END_STREAM, 1, &fields);
    vec![
        case(
            "6.10",
            "two of them",
            [[
                headers(END_STREAM, 1, &fields[..9]),
                continuation(0, 1, &fields[9..12]),
                continuation(END_HEADERS, 1, &fields[12..]),
            ]
            .concat()],
            [Answer(1, 200)],
        ),
        wrong(
            "6.10",
            "on stream 0",
            [begun.clone(), continuation(END_HEADERS, 0, [])].concat(),
            PROTOCOL_ERROR,
        ),
        wrong("6.10", "after a block that had ended", [get(1), continuation(END_HEADERS, 1, [])].concat(), 1),
        wrong(
            "6.10",
            "after one that ended it",
            [begun, continuation(END_HEADERS, 1, []), continuation(END_HEADERS, 1, [])].concat(),
            PROTOCOL_ERROR,
        ),
        wrong(
            "6.10",
            "after DATA",
            [post(1), data(0, 1, b"x"), continuation(END_HEADERS, 1, [])].concat(),
            1,
        ),
        case(
            "6.10",
            "END_STREAM on HEADERS counts, not on what continues them",
            [[
                headers(0, 1, &fields),
                continuation(END_HEADERS | END_STREAM, 1, []),
                data(END_STREAM, 1, b"x"),
            ]
            .concat()],
            [Answer(1, 200)],
        ),
        case(
            "6.10",
            "a field that begins in one and ends in the next",
            [{
                let whole = get_with(1, &[(b"x-long", &[b'y'; 500])]);
                let fields = &whole[9..];
                [headers(END_STREAM, 1, &fields[..200]), continuation(END_HEADERS, 1, &fields[200..])]
                    .concat()
            }],
            [Answer(1, 200)],
        ),
    ]
}
