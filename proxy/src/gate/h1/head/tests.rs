use super::*;

fn request(text: &str) -> Result<Option<Complete>, Rule> {
    Head::of_request().look(text.as_bytes())
}

fn response(text: &str, asked: Asked) -> Result<Option<Complete>, Rule> {
    Head::of_response(asked).look(text.as_bytes())
}

/// A request whose fields are `fields`, each ended by CRLF.
fn with(fields: &str) -> Result<Option<Complete>, Rule> {
    request(&format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))
}

#[test]
fn a_good_request_says_how_its_body_is_framed() {
    let table: &[(&str, Body, bool)] = &[
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", Body::Sized(0), false),
        ("\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", Body::Sized(0), false),
        ("GET /a?b=c%20d HTTP/1.0\r\n\r\n", Body::Sized(0), false),
        ("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", Body::Sized(0), false),
        ("GET http://a:80/b HTTP/1.1\r\nhost: a:80\r\n\r\n", Body::Sized(0), false),
        ("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", Body::Sized(0), true),
        ("CONNECT a:443 HTTP/1.1\r\n\r\n", Body::Sized(0), true),
        ("CONNECT [::1]:443 HTTP/1.1\r\nhost: [::1]:443\r\n\r\n", Body::Sized(0), true),
        ("GET / HTTP/1.1\r\nhost: a\r\nUpgrade: websocket\r\n\r\n", Body::Sized(0), true),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", Body::Sized(5), false),
        ("POST / HTTP/1.1\r\nHOST:a\r\ncontent-length:\t5 \r\n\r\n", Body::Sized(5), false),
        ("POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", Body::Chunked, false),
        (
            "M-SEARCH / HTTP/1.1\r\nhost: a\r\nx: caf\u{e9}\r\nexpect: 100-Continue\r\n\r\n",
            Body::Sized(0),
            false,
        ),
    ];
    for (text, body, tunnel) in table {
        let fields = text.trim_start().matches("\r\n").count() as u8 - 2;
        let http_11 = text.contains("HTTP/1.1");
        let complete =
            Complete { length: text.len(), fields, http_11, body: *body, tunnel: *tunnel, interim: false };
        assert_eq!(request(text), Ok(Some(complete)), "{text:?}");
        assert_eq!(request(&format!("{text}more")), Ok(Some(complete)), "{text:?}");
        for cut in 0..text.len() {
            if text.is_char_boundary(cut) {
                assert_eq!(request(&text[..cut]), Ok(None), "{text:?} cut at {cut}");
            }
        }
    }
}

/// Catalogue rows 1-10, 14-16 and 21.
#[test]
fn a_request_that_parsers_read_in_two_ways_is_refused() {
    use Rule::*;
    let lines: &[(&str, Rule)] = &[
        ("GET / HTTP/1.1\nhost: a\r\n\r\n", BareLineFeed),
        ("GET / HTTP/1.1\r\nhost: a\n\r\n", BareLineFeed),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n", BareLineFeed),
        ("\n", BareLineFeed),
        ("\r\n\r\n", RequestLine),
        ("GET  / HTTP/1.1\r\n", RequestLine),
        ("GET / HTTP/1.1 \r\n", RequestLine),
        ("GET /\r\n", RequestLine),
        ("GET\t/\tHTTP/1.1\r\n", RequestLine),
        (" GET / HTTP/1.1\r\n", RequestLine),
        ("GET / http/1.1\r\n", RequestLine),
        ("GET / HTTP/1.257\r\n", RequestLine),
        ("GET / HTTP/2.0\r\n", Version),
        ("GET / HTTP/0.9\r\n", Version),
        ("G(T / HTTP/1.1\r\n", Method),
        ("_OTHER / HTTP/1.1\r\n", Method),
        ("GETGETGETGETGETGETGETGETGETGETGETG / HTTP/1.1\r\n", Method),
        ("GET v HTTP/1.1\r\n", Target),
        ("GET * HTTP/1.1\r\n", Target),
        ("GET /a#b HTTP/1.1\r\n", Target),
        ("GET /caf\u{e9} HTTP/1.1\r\n", Target),
        ("GET /\0 HTTP/1.1\r\n", Target),
        ("GET http://u@a/ HTTP/1.1\r\n", Target),
        ("GET http:///a HTTP/1.1\r\n", Target),
        ("GET 1http://a/ HTTP/1.1\r\n", Target),
        ("CONNECT /a HTTP/1.1\r\n", Target),
        ("CONNECT a:99999 HTTP/1.1\r\n", Target),
        ("GET / HTTP/1.1\r\n\r\n", Host),
        ("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\ncontent-length: 1\r\n\r\n", Body),
        ("TRACE / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", Body),
        ("GET / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n", TransferEncoding),
        ("GET / HTTP/1.1\r\n host: a\r\n", Fold),
    ];
    for (text, rule) in lines {
        assert_eq!(request(text), Err(*rule), "{text:?}");
    }
    let fields: &[(&str, Rule)] = &[
        ("x : 1\r\n", FieldName),
        ("x\t: 1\r\n", FieldName),
        (": 1\r\n", FieldName),
        ("x\r\n", FieldName),
        ("x\0y: 1\r\n", FieldName),
        ("x\u{e9}: 1\r\n", FieldName),
        ("x: 1\r\n 2\r\n", Fold),
        ("transfer-encoding:\r\n chunked\r\n", TransferEncoding),
        ("x: a\rb\r\n", BareCarriageReturn),
        ("x: a\0b\r\n", FieldValue),
        ("x: a\u{7f}b\r\n", FieldValue),
        ("x: 1\n", BareLineFeed),
        ("host: b\r\n", Host),
        ("content-length: 5\r\ncontent-length: 5\r\n", ContentLength),
        ("content-length: 5, 5\r\n", ContentLength),
        ("content-length: +5\r\n", ContentLength),
        ("content-length: -5\r\n", ContentLength),
        ("content-length: 0x5\r\n", ContentLength),
        ("content-length: 1_0\r\n", ContentLength),
        ("content-length:\r\n", ContentLength),
        ("content-length: 5 5\r\n", ContentLength),
        ("content-length: 18446744073709551616\r\n", ContentLength),
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", TwoLengths),
        ("transfer-encoding: chunked\r\ncontent-length: 5\r\n", TwoLengths),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", TransferEncoding),
        ("transfer-encoding: chunked, chunked\r\n", TransferEncoding),
        ("transfer-encoding: ,chunked\r\n", TransferEncoding),
        ("transfer-encoding: chunked,\r\n", TransferEncoding),
        ("transfer-encoding: xchunked\r\n", TransferEncoding),
        ("transfer-encoding: \"chunked\"\r\n", TransferEncoding),
        ("transfer-encoding: chunked;q=1\r\n", TransferEncoding),
        ("transfer-encoding: \u{b}chunked\r\n", FieldValue),
        ("transfer-encoding: \u{a0}chunked\r\n", TransferEncoding),
        ("transfer-encoding:\r\n", TransferEncoding),
        ("transfer-encoding: gzip\r\n", UnknownCoding),
        ("transfer-encoding: gzip, chunked\r\n", UnknownCoding),
        ("expect: y 100-continue\r\n", Expect),
        ("expect: 200-ok\r\n", Expect),
        ("expect: 100-continue\r\nexpect: 100-continue\r\n", Expect),
    ];
    for (text, rule) in fields {
        assert_eq!(with(text), Err(*rule), "{text:?}");
    }
    for host in ["a, b", "a/b", "u@b", "a:99999", "a:", "", "[::1", "[::1]x", "a b", "[]", "a:1:2"] {
        let text = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(request(&text), Err(Host), "{text:?}");
    }
}

#[test]
fn every_size_has_a_limit_that_is_met_before_the_head_is_complete() {
    let target = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(MAX_TARGET));
    assert_eq!(request(&target), Err(Rule::TargetTooLong));
    assert_eq!(request(&target[..=MAX_TARGET]), Err(Rule::TargetTooLong));
    let fields = "x: 1\r\n".repeat(MAX_FIELDS);
    assert_eq!(with(&fields), Err(Rule::TooManyFields));
    let long = format!("x: {}\r\n", "a".repeat(MAX_HEAD));
    assert_eq!(with(&long), Err(Rule::HeadTooLarge));
    assert_eq!(with(&long[..MAX_HEAD]), Err(Rule::HeadTooLarge));
}

/// RFC 9112 §6.3.
#[test]
fn a_response_is_framed_by_what_it_answers() {
    type Row<'r> = (&'r str, Asked, Result<(Body, bool, bool), Rule>);
    let table: &[Row<'_>] = &[
        ("HTTP/1.1 200 OK\r\n\r\n", Asked::Other, Ok((Body::UntilClose, false, false))),
        ("HTTP/1.1 200\r\ncontent-length: 3\r\n\r\n", Asked::Other, Ok((Body::Sized(3), false, false))),
        ("HTTP/1.1 200 OK\ncontent-length: 3\n\n", Asked::Other, Ok((Body::Sized(3), false, false))),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", Asked::Head, Ok((Body::Sized(0), false, false))),
        ("HTTP/1.1 304 \r\ncontent-length: 3\r\n\r\n", Asked::Other, Ok((Body::Sized(0), false, false))),
        ("HTTP/1.1 204 \r\n\r\n", Asked::Other, Ok((Body::Sized(0), false, false))),
        ("HTTP/1.1 103 Early\r\nlink: x\r\n\r\n", Asked::Other, Ok((Body::Sized(0), false, true))),
        ("HTTP/1.1 101 \r\nupgrade: x\r\n\r\n", Asked::Other, Ok((Body::Sized(0), true, false))),
        ("HTTP/1.1 200 \r\n\r\n", Asked::Connect, Ok((Body::Sized(0), true, false))),
        (
            "HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n\r\n",
            Asked::Other,
            Ok((Body::Chunked, false, false)),
        ),
        ("HTTP/1.0 200 \r\n\r\n", Asked::Other, Ok((Body::UntilClose, false, false))),
        (
            "HTTP/1.1 200 \r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
            Asked::Other,
            Err(Rule::TwoLengths),
        ),
        (
            "HTTP/1.1 200 \r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n",
            Asked::Other,
            Err(Rule::ContentLength),
        ),
        ("HTTP/1.0 200 \r\ntransfer-encoding: chunked\r\n\r\n", Asked::Other, Err(Rule::TransferEncoding)),
        ("HTTP/1.1 200 \r\ntransfer-encoding: gzip\r\n\r\n", Asked::Other, Err(Rule::UnknownCoding)),
        ("HTTP/1.1 200 \r\nx: a\0b\r\n\r\n", Asked::Other, Err(Rule::FieldValue)),
        ("HTTP/1.1 200 \r\nx: a\r\n b\r\n\r\n", Asked::Other, Err(Rule::Fold)),
        ("HTTP/1.1 2000 OK\r\n\r\n", Asked::Other, Err(Rule::StatusLine)),
        ("HTTP/1.1 0200\r\n\r\n", Asked::Other, Err(Rule::StatusLine)),
        ("HTTP/3.1 200 OK\r\n\r\n", Asked::Other, Err(Rule::Version)),
        ("\r\n", Asked::Other, Err(Rule::StatusLine)),
        ("hello\r\n", Asked::Other, Err(Rule::StatusLine)),
    ];
    for (text, asked, want) in table {
        let got = response(text, *asked).map(|head| head.map(|head| (head.body, head.tunnel, head.interim)));
        assert_eq!(got, want.map(Some), "{text:?}");
    }
}
