//! RFC 9113 §8.1 (how messages are framed), §8.3 (pseudo-fields), §8.5 (CONNECT) and §7 (error codes).

use super::{
    Answer, Case, GoAway, Ignored, Refusal, Reset, Want, case, get, get_with, post, post_with, request,
};
use crate::wire::{
    END_HEADERS, END_STREAM, FRAME_SIZE_ERROR, GOAWAY, PROTOCOL_ERROR, STREAM_CLOSED, block, continuation,
    data, frame, headers, rst,
};

pub(super) fn cases() -> Vec<Case> {
    [error_codes(), framing(), lengths(), pseudo_fields(), methods_and_targets(), connect()]
        .into_iter()
        .flatten()
        .collect()
}

/// A malformed request (RFC 9113 §8.1.1): an error of the stream, or an answer that refuses it. An error of the whole
/// connection is allowed, and the library's way with names and values that cannot be represented.
const MALFORMED: [Want; 3] = [Reset(1, PROTOCOL_ERROR), GoAway(PROTOCOL_ERROR), Refusal(1)];

/// Pseudo-fields in trailers: h2 takes the trailers and drops what is none of them, so nobody behind us sees it.
const DROPPED: [Want; 4] = [MALFORMED[0], MALFORMED[1], MALFORMED[2], Answer(1, 200)];

fn error_codes() -> Vec<Case> {
    vec![
        case(
            "7",
            "RST_STREAM with a code that nobody knows",
            [[post(1), rst(1, 0xff00_00ff)].concat()],
            [Ignored],
        ),
        case(
            "7",
            "GOAWAY with a code that nobody knows",
            [[post(1), frame(GOAWAY, 0, 0, [0, 0, 0, 0, 0xff, 0, 0, 0xff]), data(END_STREAM, 1, b"x")]
                .concat()],
            [Answer(1, 200)],
        ),
    ]
}

fn framing() -> Vec<Case> {
    let trailers = headers(END_HEADERS | END_STREAM, 1, block(&[(b"x-checksum", b"0")]));
    let after = |bytes: &[u8]| [[post(1), data(0, 1, b"x"), bytes.to_vec()].concat()];
    vec![
        case(
            "8.1",
            "a body in many pieces",
            [[post(1), data(0, 1, b"ab").repeat(100), data(END_STREAM, 1, b"c")].concat()],
            [Answer(1, 200)],
        ),
        case("8.1", "trailers", after(&trailers), [Answer(1, 200)]),
        case("8.1", "trailers without a body", [[post(1), trailers.clone()].concat()], [Answer(1, 200)]),
        case(
            "8.1",
            "trailers in two frames",
            after(
                &[headers(END_STREAM, 1, []), continuation(END_HEADERS, 1, block(&[(b"x-checksum", b"0")]))]
                    .concat(),
            ),
            [Answer(1, 200)],
        ),
        case(
            "8.1",
            "trailers that do not end the stream",
            after(&headers(END_HEADERS, 1, block(&[(b"x-checksum", b"0")]))),
            MALFORMED,
        ),
        case("8.1", "a second head", after(&post(1)), MALFORMED),
        case("8.1", "a second head that ends the stream", after(&get(1)), DROPPED),
        case(
            "8.1",
            "DATA after trailers",
            after(&[trailers.clone(), data(END_STREAM, 1, b"y")].concat()),
            [Reset(1, STREAM_CLOSED), GoAway(STREAM_CLOSED), GoAway(PROTOCOL_ERROR)],
        ),
        case(
            "8.1",
            "trailers with a pseudo-field",
            after(&headers(END_HEADERS | END_STREAM, 1, block(&[(b":method", b"GET")]))),
            DROPPED,
        ),
        case(
            "8.1",
            "HEAD is answered without a body",
            [headers(END_HEADERS | END_STREAM, 1, block(&request("HEAD", "/")))],
            [Answer(1, 200)],
        ),
        case(
            "8.1",
            "OPTIONS is answered",
            [headers(END_HEADERS | END_STREAM, 1, block(&request("OPTIONS", "/")))],
            [Answer(1, 200)],
        ),
        case(
            "8.1",
            "a method that nobody knows is passed on",
            [headers(END_HEADERS | END_STREAM, 1, block(&request("BREW", "/pot")))],
            [Answer(1, 200)],
        ),
    ]
}

fn lengths() -> Vec<Case> {
    let with = |what, length: &'static str, body: Vec<u8>| {
        case(
            "8.1.1",
            what,
            [[post_with(1, &[(b"content-length", length.as_bytes())]), body].concat()],
            MALFORMED,
        )
    };
    let end = |bytes: &[u8]| data(END_STREAM, 1, bytes);
    vec![
        with("less DATA than Content-Length", "5", end(b"four")),
        with("more DATA than Content-Length", "3", end(b"four")),
        with(
            "more DATA than Content-Length, in the second frame",
            "3",
            [data(0, 1, b"ab"), end(b"cd")].concat(),
        ),
        with("no DATA at all", "3", end(b"")),
        with("a Content-Length that is no number", "three", end(b"abc")),
        with("a Content-Length with a sign", "+3", end(b"abc")),
        with("a Content-Length of 2^64", "18446744073709551616", end(b"abc")),
        with("a Content-Length that says two things", "3, 4", end(b"abc")),
        case(
            "8.1.1",
            "two Content-Lengths that differ",
            [[post_with(1, &[(b"content-length", b"3"), (b"content-length", b"4")]), end(b"abc")].concat()],
            MALFORMED,
        ),
        case(
            "8.1.1",
            "a Content-Length, and a head that ends the stream",
            [get_with(1, &[(b"content-length", b"3")])],
            MALFORMED,
        ),
        case(
            "8.1.1",
            "trailers before the Content-Length is reached",
            [[
                post_with(1, &[(b"content-length", b"3")]),
                data(0, 1, b"ab"),
                headers(END_HEADERS | END_STREAM, 1, block(&[(b"x-checksum", b"0")])),
            ]
            .concat()],
            MALFORMED,
        ),
        case(
            "8.1.1",
            "a Content-Length that is right",
            [[post_with(1, &[(b"content-length", b"4")]), data(0, 1, b"ab"), end(b"cd")].concat()],
            [Answer(1, 200)],
        ),
        case(
            "8.1.1",
            "a Content-Length of nothing",
            [get_with(1, &[(b"content-length", b"0")])],
            [Answer(1, 200)],
        ),
        case(
            "8.1.1",
            "padding is not counted",
            [[post_with(1, &[(b"content-length", b"2")]), frame(0, 0x8 | END_STREAM, 1, b"\x03ab\0\0\0")]
                .concat()],
            [Answer(1, 200)],
        ),
    ]
}

fn pseudo_fields() -> Vec<Case> {
    let raw = |section, what, fields: &[(&[u8], &[u8])]| {
        case(section, what, [headers(END_HEADERS | END_STREAM, 1, block(fields))], MALFORMED)
    };
    let all = request("GET", "/");
    let without = |name: &[u8]| all.iter().copied().filter(|field| field.0 != name).collect::<Vec<_>>();
    let with = |name: &'static [u8], value: &'static [u8]| [all.as_slice(), &[(name, value)]].concat();
    let instead = |name: &'static [u8], value: &'static [u8]| {
        all.iter().map(|field| if field.0 == name { (name, value) } else { *field }).collect::<Vec<_>>()
    };
    vec![
        raw("8.3", "a pseudo-field after a field", &[&all[..3], &[(b"x-a", b"1"), all[3]]].concat()),
        raw("8.3", "a pseudo-field that nobody knows", &with(b":unknown", b"x")),
        raw("8.3", "a pseudo-field of responses", &with(b":status", b"200")),
        raw("8.3", "a pseudo-field without a name", &with(b":", b"x")),
        raw("8.3", ":method twice", &with(b":method", b"GET")),
        raw("8.3", ":scheme twice", &with(b":scheme", b"http")),
        raw("8.3", ":path twice", &with(b":path", b"/")),
        raw("8.3", ":authority twice", &with(b":authority", b"api.shop")),
        raw("8.3.1", "no :method", &without(b":method")),
        raw("8.3.1", "no :scheme", &without(b":scheme")),
        raw("8.3.1", "no :path", &without(b":path")),
        raw("8.3.1", "nothing but :method", &[(b":method", b"GET")]),
        raw("8.3.1", "no fields at all", &[]),
        raw("8.3.1", "an empty :path", &instead(b":path", b"")),
        raw("8.3.1", "an empty :method", &instead(b":method", b"")),
        raw("8.3.1", "a :path without its slash", &instead(b":path", b"index")),
        // What follows `#` is gone before any rule sees the path, and is not passed on.
        case(
            "8.3.1",
            "a :path with a fragment",
            [headers(END_HEADERS | END_STREAM, 1, block(&instead(b":path", b"/a#b")))],
            DROPPED,
        ),
        raw("8.3.1", "a :path with a space", &instead(b":path", b"/a b")),
        raw("8.3.1", ":path * of a GET", &instead(b":path", b"*")),
        raw("8.3.1", "a :method with a space", &instead(b":method", b"GET /x")),
        raw("8.3.1", "a :scheme that is none", &instead(b":scheme", b"ht tp")),
        raw("8.3.1", "an :authority with a user", &instead(b":authority", b"user@api.shop")),
        raw("8.3.1", "an :authority with a path", &instead(b":authority", b"api.shop/x")),
        raw("8.3.1", "an :authority with a port that is none", &instead(b":authority", b"api.shop:99999")),
        raw("8.3.1", "an :authority and another Host", &with(b"host", b"other.shop")),
        raw("8.3.1", "neither :authority nor Host", &without(b":authority")),
        raw("8.3.1", "an empty :authority", &instead(b":authority", b"")),
    ]
}

fn methods_and_targets() -> Vec<Case> {
    let all = request("GET", "/");
    let asks = |what, fields: &[(&[u8], &[u8])]| {
        case("8.3.1", what, [headers(END_HEADERS | END_STREAM, 1, block(fields))], [Answer(1, 200)])
    };
    vec![
        asks("Host in the place of :authority", &[all[0], all[1], all[3], (b"host", b"api.shop")]),
        asks("Host that says what :authority says", &[&all[..], &[(b"host", b"api.shop")]].concat()),
        asks("a query", &[all[0], all[1], all[2], (b":path", b"/search?q=a%20b&c=d")]),
        asks("pseudo-fields in another order", &[all[3], all[2], all[1], all[0], (b"x-a", b"1")]),
        asks("the scheme https", &[all[0], (b":scheme", b"https"), all[2], all[3]]),
        asks("OPTIONS *", &[(b":method", b"OPTIONS"), all[1], all[2], (b":path", b"*")]),
    ]
}

fn connect() -> Vec<Case> {
    let ask = |what, fields: &[(&[u8], &[u8])]| {
        case(
            "8.5",
            what,
            [headers(END_HEADERS, 1, block(fields))],
            [Reset(1, PROTOCOL_ERROR), GoAway(PROTOCOL_ERROR), GoAway(FRAME_SIZE_ERROR), Refusal(1)],
        )
    };
    let connect = (&b":method"[..], &b"CONNECT"[..]);
    let authority = (&b":authority"[..], &b"api.shop:80"[..]);
    let (scheme, path) = ((&b":scheme"[..], &b"http"[..]), (&b":path"[..], &b"/"[..]));
    vec![
        ask("CONNECT is refused where no tunnel is offered", &[connect, authority]),
        ask("CONNECT with :scheme and :path", &[connect, scheme, authority, path]),
        ask("CONNECT with :path", &[connect, authority, path]),
        ask("CONNECT without :authority", &[connect]),
        ask(
            "extended CONNECT, which was not offered",
            &[connect, scheme, authority, path, (b":protocol", b"websocket")],
        ),
        case("8.5", ":protocol on another method", [get_with(1, &[(b":protocol", b"websocket")])], MALFORMED),
    ]
}
