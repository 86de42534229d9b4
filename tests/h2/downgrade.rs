//! Requests that are dangerous once they are written as HTTP/1.1: HTTP/2 can say what HTTP/1.1 cannot, and a proxy
//! that writes it down as it came has written something else.
//!
//! The application speaks HTTP/1.1 and writes down every byte. After each request a harmless one is sent on a
//! connection of its own, so that whatever of the first one would have come has come.

use std::net::SocketAddr;

use weft_tests::figures;

use crate::client::{Client, Heard};
use crate::conformance::{get_with, post, post_with, request};
use crate::lab::Lab;
use crate::recorder::{Recorder, is_whole};
use crate::wire::{END_HEADERS, END_STREAM, Field, block, data, headers};

/// What the application must have seen.
enum Sees {
    /// Not a byte.
    Nothing,
    /// No whole request: what had been begun was broken off.
    NothingWhole,
    /// One request, with all of these in it, and none of those.
    Only(&'static [&'static str], &'static [&'static str]),
}

use Sees::{Nothing, NothingWhole, Only};

type Vector = (&'static str, Vec<u8>, Sees);

/// A GET with one field more.
fn with(what: &'static str, name: &[u8], value: &[u8]) -> Vector {
    (what, get_with(1, &[(name, value)]), Nothing)
}

/// A GET whose pseudo-fields are these.
fn pseudo(what: &'static str, fields: &[Field<'_>]) -> Vector {
    (what, headers(END_HEADERS | END_STREAM, 1, block(fields)), Nothing)
}

/// A GET in which one pseudo-field says something else.
fn instead(what: &'static str, name: &[u8], value: &[u8]) -> Vector {
    let all = request("GET", "/victim");
    let fields: Vec<_> =
        all.into_iter().map(|field| if field.0 == name { (field.0, value) } else { field }).collect();
    pseudo(what, &fields)
}

/// A POST with one field more, and this body.
fn body(what: &'static str, fields: &[Field<'_>], body: &[u8], sees: Sees) -> Vector {
    (what, [post_with(1, fields), data(END_STREAM, 1, body)].concat(), sees)
}

/// A POST with these trailers.
fn trailers(what: &'static str, fields: &[Field<'_>], sees: Sees) -> Vector {
    let last = headers(END_HEADERS | END_STREAM, 1, block(fields));
    (what, [post(1), data(0, 1, b"body"), last].concat(), sees)
}

fn names() -> Vec<Vector> {
    vec![
        with("a name with CR LF", b"x-a\r\nx-smuggled", b"1"),
        with("a name with a whole line", b"x-a: 1\r\nx-smuggled", b"1"),
        with("a name with a whole request", b"x: 1\r\n\r\nget /smuggled http/1.1\r\nhost", b"api.shop"),
        with("a name with LF", b"x-a\nx-smuggled", b"1"),
        with("a name with CR", b"x-a\rx-smuggled", b"1"),
        with("a name with NUL", b"x-a\0x-smuggled", b"1"),
        with("a name with a colon", b"x-smuggled: 1, x", b"1"),
        with("a name that ends in a colon", b"transfer-encoding:", b"chunked"),
        with("a name with a space", b"x smuggled", b"1"),
        with("a name that ends in a space", b"transfer-encoding ", b"chunked"),
        with("a name that begins with a space", b" transfer-encoding", b"chunked"),
        with("a name that ends in a tab", b"content-length\t", b"5"),
        with("an upper-case name", b"X-Smuggled", b"1"),
        with("an upper-case framing field", b"Transfer-Encoding", b"chunked"),
        with("a name beyond ASCII", b"x-sm\xfcggled", b"1"),
        with("an empty name", b"", b"x-smuggled: 1"),
    ]
}

fn values() -> Vec<Vector> {
    let spaces =
        |what, value: &[u8]| (what, get_with(1, &[(b"x-trimmed", value)]), Only(&["x-trimmed: 1\r\n"], &[]));
    vec![
        with("a value with CR LF", b"x-a", b"1\r\nx-smuggled: 1"),
        with("a value with LF", b"x-a", b"1\nx-smuggled: 1"),
        with("a value with CR", b"x-a", b"1\rx-smuggled: 1"),
        with("a value with NUL", b"x-a", b"1\0x-smuggled"),
        with("a value that ends in CR LF", b"x-a", b"1\r\n"),
        with("a value that begins with LF", b"x-a", b"\nx-smuggled: 1"),
        with("a value that is folded", b"x-a", b"1\r\n x-smuggled"),
        with(
            "a value with a whole request",
            b"x-a",
            b"1\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: api.shop\r\n\r\n",
        ),
        with("a cookie with CR LF", b"cookie", b"a=b\r\nx-smuggled: 1"),
        with("a user agent with CR LF", b"user-agent", b"x\r\ntransfer-encoding: chunked"),
        spaces("a value that begins with a space", b" 1"),
        spaces("a value that ends in spaces", b"1  "),
        spaces("a value between tabs", b"\t1\t"),
    ]
}

fn targets() -> Vec<Vector> {
    let request_line = b"/ HTTP/1.1\r\nx-smuggled: 1\r\nx: ";
    vec![
        instead(":path with a space", b":path", b"/a HTTP/1.1"),
        instead(":path with a request line", b":path", request_line),
        instead(":path with CR LF", b":path", b"/\r\nx-smuggled: 1"),
        instead(":path with LF", b":path", b"/\nx-smuggled"),
        instead(":path with a tab", b":path", b"/a\tb"),
        instead(":path with NUL", b":path", b"/a\0b"),
        instead(":path with an escaped NUL", b":path", b"/a%00b"),
        instead(":path that is empty", b":path", b""),
        instead(":path without its slash", b":path", b"smuggled"),
        instead(":path of another host", b":path", b"@other.shop/smuggled"),
        instead(":path * of a GET", b":path", b"*"),
        instead(":method with a request line", b":method", b"GET /smuggled HTTP/1.1\r\nx: 1\r\n\r\nGET"),
        instead(":method with a space", b":method", b"GET /smuggled"),
        instead(":method with CR LF", b":method", b"GET\r\nx-smuggled: 1"),
        instead(":method with NUL", b":method", b"GE\0T"),
        instead(":method that is empty", b":method", b""),
        instead(":method with a colon", b":method", b"GET:"),
        instead(":authority with CR LF", b":authority", b"api.shop\r\nx-smuggled: 1"),
        instead(":authority with a space", b":authority", b"api.shop other.shop"),
        instead(":authority with a user", b":authority", b"admin@api.shop"),
        instead(":authority with a user and a password", b":authority", b"admin:pass@api.shop"),
        instead(":authority with a path", b":authority", b"api.shop/smuggled?"),
        instead(":authority that is a list", b":authority", b"api.shop, other.shop"),
        instead(":authority with two ports", b":authority", b"api.shop:80:81"),
        instead(":authority with a port that is none", b":authority", b"api.shop:99999"),
        instead(":authority that is empty", b":authority", b""),
        instead(":scheme with CR LF", b":scheme", b"http\r\nx-smuggled: 1"),
        instead(":scheme with a host", b":scheme", b"http://other.shop/smuggled?"),
        instead(":scheme with a space", b":scheme", b"ht tp"),
        instead(":scheme that is empty", b":scheme", b""),
    ]
}

fn pseudo_fields() -> Vec<Vector> {
    let all = request("GET", "/victim");
    let without = |name: &[u8]| all.iter().copied().filter(|field| field.0 != name).collect::<Vec<_>>();
    let and = |name: &'static [u8], value: &'static [u8]| [all.as_slice(), &[(name, value)]].concat();
    vec![
        pseudo(":path twice", &and(b":path", b"/smuggled")),
        pseudo(":method twice", &and(b":method", b"DELETE")),
        pseudo(":authority twice", &and(b":authority", b"other.shop")),
        pseudo(":scheme twice", &and(b":scheme", b"https")),
        pseudo("a pseudo-field of responses", &and(b":status", b"200")),
        pseudo("a pseudo-field that nobody knows", &and(b":smuggled", b"1")),
        pseudo("a pseudo-field after a field", &[&all[..3], &[(b"x-a", b"1"), all[3]]].concat()),
        pseudo("no :path", &without(b":path")),
        pseudo("no :method", &without(b":method")),
        pseudo("no :scheme", &without(b":scheme")),
        pseudo("neither :authority nor Host", &without(b":authority")),
        pseudo("Host that differs from :authority", &and(b"host", b"other.shop")),
        pseudo("Host twice", &[all.as_slice(), &[(b"host", b"api.shop"), (b"host", b"other.shop")]].concat()),
        pseudo("Host with a user", &and(b"host", b"admin@api.shop")),
        pseudo(
            "CONNECT, with what only other methods have",
            &[(b":method", b"CONNECT"), all[1], all[2], all[3]],
        ),
    ]
}

fn framing() -> Vec<Vector> {
    let smuggled = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: api.shop\r\n\r\n";
    let one = |what, name: &[u8], value: &[u8]| body(what, &[(name, value)], smuggled, Nothing);
    let length =
        |what, value: &[u8], sees| body(what, &[(b"content-length", value)], b"GET /smuggled HTTP/1.1", sees);
    vec![
        one("transfer-encoding", b"transfer-encoding", b"chunked"),
        one("transfer-encoding: identity", b"transfer-encoding", b"identity"),
        one("te: chunked", b"te", b"chunked"),
        one("te: trailers, chunked", b"te", b"trailers, chunked"),
        one("connection", b"connection", b"transfer-encoding"),
        one("connection: close", b"connection", b"close"),
        one("keep-alive", b"keep-alive", b"timeout=9"),
        one("proxy-connection", b"proxy-connection", b"keep-alive"),
        one("upgrade", b"upgrade", b"h2c"),
        length("less than Content-Length", b"100", NothingWhole),
        length("more than Content-Length", b"3", NothingWhole),
        length("more than a Content-Length of nothing", b"0", NothingWhole),
        length("Content-Length with a sign", b"+22", Nothing),
        length("Content-Length below zero", b"-1", Nothing),
        length("Content-Length in hexadecimal", b"0x16", Nothing),
        length("Content-Length of 2^64 and 22", b"18446744073709551638", Nothing),
        length("Content-Length that says two things", b"22, 3", Nothing),
        length("an empty Content-Length", b"", Nothing),
        body(
            "two Content-Lengths that differ",
            &[(b"content-length", b"22"), (b"content-length", b"3")],
            b"GET /smuggled HTTP/1.1",
            Nothing,
        ),
        body(
            "Content-Length and transfer-encoding",
            &[(b"content-length", b"3"), (b"transfer-encoding", b"chunked")],
            smuggled,
            Nothing,
        ),
        (
            "Content-Length of a head that ends the stream",
            get_with(1, &[(b"content-length", b"22")]),
            Nothing,
        ),
    ]
}

fn in_trailers() -> Vec<Vector> {
    let dropped =
        |what, name: &[u8], value: &[u8], not| trailers(what, &[(name, value)], Only(&["POST / "], not));
    vec![
        trailers("a trailer with CR LF", &[(b"x-a", b"1\r\nx-smuggled: 1")], NothingWhole),
        trailers("an upper-case trailer", &[(b"X-Smuggled", b"1")], NothingWhole),
        trailers("a trailer with CR LF in its name", &[(b"x\r\nx-smuggled", b"1")], NothingWhole),
        trailers("connection in trailers", &[(b"connection", b"close")], NothingWhole),
        trailers("transfer-encoding in trailers", &[(b"transfer-encoding", b"chunked")], NothingWhole),
        dropped("a pseudo-field in trailers", b":path", b"/smuggled", &["smuggled"]),
        dropped("content-length in trailers", b"content-length", b"77", &["77"]),
        dropped("host in trailers", b"host", b"other.shop", &["other.shop"]),
        dropped("authorization in trailers", b"authorization", b"smuggled", &["smuggled"]),
        dropped("an identity in trailers", b"weft-client-id", b"smuggled", &["smuggled"]),
    ]
}

fn harmless() -> Vec<Vector> {
    let fine = |what, fields: &[Field<'_>], has, not| (what, get_with(1, fields), Only(has, not));
    vec![
        fine(
            "crumbs of a cookie are one again (RFC 9113 §8.2.3)",
            &[(b"cookie", b"a=b"), (b"cookie", b"c=d"), (b"cookie", b"e=f")],
            &["cookie: a=b; c=d; e=f\r\n"],
            &[],
        ),
        fine("Host that says what :authority says", &[(b"host", b"api.shop")], &["host: api.shop\r\n"], &[]),
        fine(
            "the settings of an upgrade",
            &[(b"http2-settings", b"AAMAAABk")],
            &["GET / "],
            &["http2-settings"],
        ),
        fine("te: trailers", &[(b"te", b"trailers")], &["GET / "], &["chunked"]),
        fine("an identity", &[(b"weft_client_id", b"smuggled")], &["GET / "], &["smuggled"]),
        body(
            "Content-Length twice, alike",
            &[(b"content-length", b"3")],
            b"abc",
            Only(&["content-length: 3\r\n"], &[]),
        ),
    ]
}

fn all() -> Vec<Vector> {
    [names(), values(), targets(), pseudo_fields(), framing(), in_trailers(), harmless()]
        .into_iter()
        .flatten()
        .collect()
}

/// Sends a request, and waits until it has been dealt with.
async fn send(addr: SocketAddr, bytes: &[u8]) -> Vec<Heard> {
    let mut client = Client::greet(addr).await;
    client.say(bytes).await;
    let done = |heard: &Heard| matches!(heard, Heard::Reset { .. } | Heard::GoAway { .. }) || heard.ends(1);
    client.hear_until(done).await;
    client.heard
}

/// What of a vector came to the application, and whether that is what may.
fn judge(sees: &Sees, seen: &[String]) -> bool {
    match sees {
        Nothing => seen.is_empty(),
        NothingWhole => !seen.iter().any(|text| is_whole(text)),
        Only(has, not) => {
            let [text] = seen else { return false };
            has.iter().all(|part| text.contains(part)) && !not.iter().any(|part| text.contains(part))
        }
    }
}

#[tokio::test]
async fn nothing_that_only_http2_can_say_is_written_as_http1() {
    let recorder = Recorder::start().await;
    let lab = Lab::before(recorder.addr(), "http").await;
    let ways =
        [("inbound, plaintext", lab.server.inbound), ("outbound, then the mTLS hop", lab.web.outbound)];
    let (mut failures, mut refused, mut runs) = (Vec::new(), 0, 0);
    for (way, addr) in ways {
        for (what, bytes, sees) in all() {
            let heard = send(addr, &bytes).await;
            let after = headers(END_HEADERS | END_STREAM, 1, block(&request("GET", "/harmless")));
            let answered = send(addr, &after).await;
            if !answered.last().is_some_and(|heard| heard.ends(1)) {
                failures.push(format!("{what} ({way}): the next one was not answered: {answered:?}"));
            }
            let mut seen = recorder.take();
            let before = seen.len();
            seen.retain(|text| !text.starts_with("GET /harmless HTTP/1.1\r\n"));
            let smuggled = seen.iter().any(|text| text.contains("smuggled")) && !matches!(sees, NothingWhole);
            if before - seen.len() != 1 || smuggled || !judge(&sees, &seen) {
                failures.push(format!(
                    "{what} ({way}): the application saw {seen:#?}; the client heard {heard:?}"
                ));
            }
            runs += 1;
            refused += usize::from(!matches!(sees, Only(..)));
        }
    }
    let told = format!(
        "{} vectors on 2 ways, {refused} of {runs} to be refused: {} passed on",
        all().len(),
        failures.len()
    );
    figures::report(4, told, failures.is_empty());
    assert!(failures.is_empty(), "{} of {runs}:\n{}", failures.len(), failures.join("\n"));
}
