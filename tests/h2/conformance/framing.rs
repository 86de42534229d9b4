//! RFC 9113 §3.4 (preface), §4 (frames, sizes, field blocks) and §5.4, §5.5 (errors, extensions).

use super::{
    Answer, Case, Close, GoAway, Ignored, Refusal, Reset, Say, SettingsAck, SettingsFirst, Want, case, get,
    get_with, post, request,
};
use crate::wire::{
    COMPRESSION_ERROR, END_HEADERS, END_STREAM, FRAME_SIZE_ERROR, PING, PREFACE, PROTOCOL_ERROR, block,
    continuation, data, frame, header, headers, priority, rst, settings,
};

/// A block that cannot be read (§4.3). h2 ends the connection, as it must, and tells the unspecific code.
const UNREADABLE: [Want; 2] = [GoAway(COMPRESSION_ERROR), GoAway(PROTOCOL_ERROR)];

pub(super) fn cases() -> Vec<Case> {
    [preface(), format(), sizes(), field_blocks(), errors(), extensions()].into_iter().flatten().collect()
}

fn preface() -> Vec<Case> {
    let hello = [PREFACE, &settings(&[])].concat();
    let wrong =
        |what, bytes: &[u8]| case("3.4", what, [bytes.to_vec()], [GoAway(PROTOCOL_ERROR), Close]).raw();
    vec![
        case("3.4", "the server's first frame is SETTINGS", [hello.clone()], [SettingsFirst]).raw(),
        case("3.4", "the client's SETTINGS are acknowledged", [hello.clone()], [SettingsAck(1)]).raw(),
        case(
            "3.4",
            "a request with the preface, before anything was heard",
            [[hello.clone(), get(1)].concat()],
            [Answer(1, 200)],
        )
        .raw(),
        case("3.4", "everything byte by byte", [Say::ByteByByte([hello, get(1)].concat())], [Answer(1, 200)])
            .raw(),
        wrong("a preface that is none", b"INVALID CONNECTION PREFACE\r\n\r\n"),
        wrong("a preface that ends wrong", b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        wrong("PING before SETTINGS", &[PREFACE, &frame(PING, 0, 0, [0; 8])].concat()),
        wrong("a request before SETTINGS", &[PREFACE, &get(1)].concat()),
        wrong("an ACK before SETTINGS", &[PREFACE, &frame(4, 1, 0, [])].concat()),
    ]
}

fn format() -> Vec<Case> {
    let reserved = 1 << 31;
    vec![
        case("4.1", "a type that nobody knows", [frame(0x16, 0, 0, [0; 8])], [Ignored]),
        case(
            "4.1",
            "a type that nobody knows, on an idle stream",
            [frame(0xff, 0xff, 77, [1; 100])],
            [Ignored],
        ),
        case(
            "4.1",
            "a type that nobody knows, between a head and its body",
            [[post(1), frame(0xaa, 0, 1, b"what"), data(END_STREAM, 1, b"x")].concat()],
            [Answer(1, 200)],
        ),
        case(
            "4.1",
            "flags that nobody knows on PING",
            [frame(PING, 0x16, 0, *b"whatever")],
            [super::Pong(*b"whatever")],
        ),
        case(
            "4.1",
            "flags that nobody knows on DATA",
            [[post(1), data(0xf0 | END_STREAM, 1, b"x")].concat()],
            [Answer(1, 200)],
        ),
        case(
            "4.1",
            "the reserved bit of PING",
            [frame(PING, 0, reserved, *b"whatever")],
            [super::Pong(*b"whatever")],
        ),
        case(
            "4.1",
            "the reserved bit of HEADERS",
            [headers(END_HEADERS | END_STREAM, 1 | reserved, block(&request("GET", "/")))],
            [Answer(1, 200)],
        ),
    ]
}

fn sizes() -> Vec<Case> {
    let most = 1 << 14;
    let too_large = vec![0; most + 1];
    vec![
        case(
            "4.2",
            "DATA of 16 384 bytes",
            [[post(1), data(END_STREAM, 1, [b'x'; 1 << 14])].concat()],
            [Answer(1, 200)],
        ),
        case(
            "4.2",
            "DATA of one byte more",
            [[post(1), data(END_STREAM, 1, &too_large)].concat()],
            [Reset(1, FRAME_SIZE_ERROR), GoAway(FRAME_SIZE_ERROR)],
        ),
        case(
            "4.2",
            "HEADERS of one byte more",
            [headers(END_HEADERS | END_STREAM, 1, &too_large)],
            [GoAway(FRAME_SIZE_ERROR)],
        ),
        case(
            "4.2",
            "CONTINUATION of one byte more",
            [[headers(END_STREAM, 1, block(&request("GET", "/"))), continuation(END_HEADERS, 1, &too_large)]
                .concat()],
            [GoAway(FRAME_SIZE_ERROR)],
        ),
        case(
            "4.2",
            "SETTINGS of one entry more",
            [frame(4, 0, 0, vec![0; most + 2])],
            [GoAway(FRAME_SIZE_ERROR)],
        ),
        case(
            "4.2",
            "a type that nobody knows, of one byte more",
            [frame(0x16, 0, 0, &too_large)],
            [GoAway(FRAME_SIZE_ERROR)],
        ),
        case(
            "4.2",
            "a length of 16 MiB, announced",
            [header((1 << 24) - 1, 0, 0, 1)],
            [GoAway(FRAME_SIZE_ERROR), GoAway(PROTOCOL_ERROR)],
        ),
        case(
            "4.2",
            "DATA without data, at the end",
            [[post(1), data(END_STREAM, 1, [])].concat()],
            [Answer(1, 200)],
        ),
    ]
}

fn field_blocks() -> Vec<Case> {
    let whole = block(&request("GET", "/"));
    let begun = headers(END_STREAM, 1, &whole);
    let then =
        |what, next: Vec<u8>| case("4.3", what, [[begun.clone(), next].concat()], [GoAway(PROTOCOL_ERROR)]);
    vec![
        case(
            "4.3",
            "a block that is cut in the middle of a field",
            [headers(END_HEADERS | END_STREAM, 1, &whole[..whole.len() - 1])],
            UNREADABLE,
        ),
        case(
            "4.3",
            "a block that names what no table has",
            [headers(END_HEADERS | END_STREAM, 1, [whole.as_slice(), &[0xff, 0x80, 0x01]].concat())],
            UNREADABLE,
        ),
        then("PRIORITY within a block", priority(1, 0)),
        then("DATA within a block", data(0, 1, b"x")),
        then("PING within a block", frame(PING, 0, 0, [0; 8])),
        then("SETTINGS within a block", settings(&[])),
        then("RST_STREAM within a block", rst(1, 8)),
        then("a type that nobody knows, within a block", frame(0x16, 0, 1, [0; 8])),
        then("HEADERS of another stream within a block", get(3)),
        then("CONTINUATION of another stream", continuation(END_HEADERS, 3, [])),
        case(
            "4.3",
            "a block in three frames, cut in the middle of names",
            [[
                headers(END_STREAM, 1, &whole[..3]),
                continuation(0, 1, &whole[3..40]),
                continuation(END_HEADERS, 1, &whole[40..]),
            ]
            .concat()],
            [Answer(1, 200)],
        ),
        case(
            "4.3",
            "a block whose first frame is empty",
            [[headers(END_STREAM, 1, []), continuation(END_HEADERS, 1, &whole)].concat()],
            [Answer(1, 200)],
        ),
    ]
}

fn errors() -> Vec<Case> {
    let bad = get_with(1, &[(b"Upper", b"x")]);
    vec![
        case(
            "5.4.1",
            "an error of the connection is told, and ends it",
            [frame(PING, 0, 1, [0; 8])],
            [GoAway(PROTOCOL_ERROR)],
        ),
        case(
            "5.4.2",
            "an error of one stream leaves the next one alone",
            [[get_with(1, &[(b"te", b"gzip")]), get(3)].concat()],
            [Answer(3, 200)],
        ),
        case(
            "5.4.2",
            "an error of one stream leaves the one before alone",
            [[post(1), get_with(3, &[(b"te", b"gzip")]), data(END_STREAM, 1, b"x")].concat()],
            [Answer(1, 200)],
        ),
        case(
            "5.4.2",
            "a malformed request is an error of its stream, or of the connection",
            [bad],
            [Reset(1, PROTOCOL_ERROR), GoAway(PROTOCOL_ERROR), Refusal(1)],
        ),
    ]
}

fn extensions() -> Vec<Case> {
    vec![
        case(
            "5.5",
            "a type that nobody knows, on a stream that is answered",
            [[get(1), frame(0x42, 0, 1, [7; 32])].concat()],
            [Answer(1, 200)],
        ),
        case("5.5", "PRIORITY_UPDATE (RFC 9218)", [frame(0x10, 0, 0, b"\0\0\0\x01u=1")], [Ignored]),
        case(
            "5.5",
            "ALTSVC and ORIGIN from a client",
            [[frame(0xa, 0, 0, b"\0\0x"), frame(0xc, 0, 0, b"\0\x01x")].concat()],
            [Ignored],
        ),
    ]
}
