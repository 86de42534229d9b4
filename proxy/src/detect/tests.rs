//! What each kind of client sends first, and the laws: an answer does not depend on how the bytes are cut, does not
//! change with more bytes, and comes within the bound.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// A ClientHello that rustls makes, as it stands on the wire.
fn rustls_hello(name: &str, alpn: &[&[u8]]) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut wire = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut wire).unwrap();
    }
    wire
}

/// The same message in records of `size` bytes.
fn in_records_of(size: usize, wire: &[u8]) -> Vec<u8> {
    let message = &wire[5..];
    message
        .chunks(size)
        .flat_map(|part| [&[22, 3, 1][..], &u16::try_from(part.len()).unwrap().to_be_bytes(), part].concat())
        .collect()
}

/// A ClientHello by hand, with these extensions.
fn hello_with(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let extensions: Vec<u8> =
        extensions.iter().flat_map(|(kind, data)| [&kind.to_be_bytes()[..], &sized(data)].concat()).collect();
    let body = [&[3, 3][..], &[7; 32], &[0], &sized(&[0x13, 1]), &[1, 0], &sized(&extensions)].concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    [&[22, 3, 1][..], &sized(&message)].concat()
}

fn sni(name: &[u8]) -> (u16, Vec<u8>) {
    let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    (0, sized(&[&[0][..], &sized(name)].concat()))
}

fn tls(name: Option<&str>, alpn: &[&[u8]]) -> Detected {
    Detected::Tls(ClientHello {
        sni: name.map(Into::into),
        alpn: alpn.iter().map(|offer| (*offer).into()).collect(),
    })
}

#[test]
fn a_client_hello_tells_its_server_name_and_protocols() {
    let wire = rustls_hello("shop.mesh", &[b"weft/1-h2", b"h2"]);
    let found = detect(&wire);
    assert_eq!(found, tls(Some("shop.mesh"), &[b"weft/1-h2", b"h2"]));
    let Detected::Tls(hello) = found else { unreachable!("it was compared above") };
    assert!(hello.offers(b"h2") && !hello.offers(b"h"));
    assert_eq!(detect(&rustls_hello("10.0.0.7", &[])), tls(None, &[]), "an address is not sent as a name");
}

#[test]
fn a_client_hello_is_read_over_any_number_of_records_and_reads() {
    let wire = rustls_hello("shop.mesh", &[b"h2"]);
    for size in [1, 2, 3, 7, 100, 1000] {
        let wire = in_records_of(size, &wire);
        assert_eq!(detect(&wire), tls(Some("shop.mesh"), &[b"h2"]), "records of {size}");
        for cut in (0..wire.len()).step_by(13) {
            assert_eq!(detect(&wire[..cut]), Detected::NeedMore, "records of {size}, cut at {cut}");
        }
    }
}

#[test]
fn a_client_hello_that_could_be_read_in_two_ways_is_opaque() {
    assert_eq!(
        detect(&hello_with(&[sni(b"Shop.Mesh")])),
        tls(Some("shop.mesh"), &[]),
        "the maker of these tests works"
    );
    assert_eq!(detect(&hello_with(&[(43, vec![2, 3, 4])])), tls(None, &[]));
    let alpn = || (16, vec![0, 3, 2, b'h', b'2']);
    for (what, extensions) in [
        ("two names", vec![sni(b"a.mesh"), sni(b"b.mesh")]),
        ("two lists of protocols", vec![alpn(), alpn()]),
        ("an empty name", vec![sni(b"")]),
        ("a name with a line break", vec![sni(b"a\r\nlog: injected")]),
        ("a name with a zero", vec![sni(b"a.mesh\0.evil")]),
        ("a name that is too long", vec![sni(&[b'a'; 254])]),
        ("a name of another type", vec![(0, vec![0, 4, 1, 0, 1, b'a'])]),
        ("bytes behind the name", vec![(0, vec![0, 4, 0, 0, 1, b'a', 9])]),
        ("an empty list of protocols", vec![(16, vec![0, 0])]),
        ("an empty protocol", vec![(16, vec![0, 1, 0])]),
        ("a list longer than its extension", vec![(16, vec![0, 9, 2, b'h', b'2'])]),
    ] {
        assert_eq!(detect(&hello_with(&extensions)), Detected::Opaque, "{what}");
    }
}

#[test]
fn a_client_hello_beyond_the_bound_is_opaque_as_soon_as_it_says_its_length() {
    let announces = |length: u32| [&[22, 3, 1, 0x40, 0, 1][..], &length.to_be_bytes()[1..]].concat();
    assert_eq!(detect(&announces(64 * 1024)), Detected::Opaque);
    assert_eq!(detect(&announces(16 * 1024 + 1)), Detected::Opaque);
    assert_eq!(detect(&announces(2000)), Detected::NeedMore);
}

#[test]
fn http_is_known_by_its_first_line() {
    let long = format!("BREW /{} HTTP/1.1", "a".repeat(9000));
    for line in [
        "GET / HTTP/1.1\r\n",
        "GET /",
        "POST /grpc.health.v1.Health/Check HTTP/1.1\r\n",
        "PATCH /a?b HTTP/1.0\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "CONNECT shop.mesh:443 HTTP/1.1\r\n",
        "GET http://shop.mesh/ HTTP/1.1\r\n",
        "PROPFIND /dav HTTP/1.1\r\n",
        "BREW /pot HTTP/1.",
        "M-SEARCH * HTTP/1.1\r\n",
        "PRI /not-the-preface HTTP/1.1\r\n",
        "get / HTTP/1.1\r\n",
        // Malformed, and exactly therefore for the HTTP path to refuse.
        "GET /\0 HTTP/1.1\r\n",
        "GET /\r\n",
        "GET / HTTP/3.0\r\n",
        "\r\nGET / HTTP/1.1\r\n",
        "\n\n\r\nGET / HTTP/1.1\r\n",
        &long,
    ] {
        assert_eq!(detect(line.as_bytes()), Detected::Http1, "{line:?}");
    }
    assert_eq!(detect(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04"), Detected::Http2);
    assert_eq!(detect(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"), Detected::NeedMore);
}

#[test]
fn other_protocols_are_not_mistaken_for_http() {
    for (what, first) in [
        ("SMTP", &b"EHLO example.org\r\n"[..]),
        ("FTP", b"USER anonymous\r\n"),
        ("Redis inline", b"SET key value\r\n"),
        ("Redis inline, named like a method", b"GET key\r\n"),
        ("Redis", b"*1\r\n$4\r\nPING\r\n"),
        ("memcached", b"get key\r\n"),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("NATS", b"CONNECT {\"verbose\":false}\r\n"),
        ("PROXY protocol", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"),
        ("PROXY protocol 2", b"\r\n\r\n\0\r\nQUIT\n\x20\x11\0\x0c"),
        ("IRC", b"NICK bob\r\n"),
        ("PostgreSQL SSLRequest", b"\0\0\0\x08\x04\xd2\x16\x2f"),
        ("Kafka", b"\0\0\0\x14\0\x12\0\0\0\0\0\x01\0\x05rdkaf"),
        ("MongoDB", b"\x3f\0\0\0\x01\0\0\0\0\0\0\0\xd4\x07\0\0"),
        ("AMQP", b"AMQP\0\0\x09\x01"),
        ("Cassandra", b"\x04\0\0\0\x05\0\0\0\0"),
        ("DCE/RPC", b"\x05\0\x0b\x03\x10\0\0\0"),
        ("SSL 2", b"\x80\x2e\x01\0\x02"),
        ("a TLS alert", b"\x15\x03\x03\0\x02\x02\x28"),
        ("a handshake that is no ClientHello", b"\x16\x03\x03\0\x04\x02\0\0\0"),
        ("an empty record", b"\x16\x03\x03\0\0"),
        ("a space", b" / HTTP/1.1\r\n"),
        ("two spaces", b"GET  / HTTP/1.1\r\n"),
        ("a long word", &[b'A'; 33]),
        ("bytes", b"\xff\xfe\xfd"),
    ] {
        assert_eq!(detect(first), Detected::Opaque, "{what}");
    }
}

#[test]
fn a_socks5_greeting_is_known_by_two_bytes() {
    assert_eq!(detect(b"\x05"), Detected::NeedMore);
    assert_eq!(detect(b"\x05\x01\0"), Detected::Socks5);
    assert_eq!(detect(b"\x04\x01\0\x50"), Detected::Opaque);
}

#[test]
fn at_the_bound_there_is_an_answer_and_a_request_line_stays_http() {
    let filled = |start: &[u8], with: u8| {
        let mut bytes = start.to_vec();
        bytes.resize(MAX_PEEK, with);
        bytes
    };
    assert_eq!(detect(&filled(b"BREW /", b'a')), Detected::Http1);
    assert_eq!(detect(&filled(b"GET http://a", b'a')), Detected::Http1);
    assert_eq!(detect(&filled(b"", b'\n')), Detected::Opaque);
    assert_eq!(detect(&filled(b"\x16\x03\x01\x40\0\x01\0\x3f\xff", 0)), Detected::Opaque);
    // Three bytes of message in a row of one-byte records never get anywhere.
    assert_eq!(detect(&[22, 3, 1, 0, 1, 1].repeat(MAX_PEEK)), Detected::Opaque);
}

/// Bytes that look like something, for a while.
fn nearly_something() -> impl Strategy<Value = Vec<u8>> {
    let seeds = prop::sample::select(vec![
        rustls_hello("shop.mesh", &[b"weft/1-h2", b"h2"]),
        in_records_of(40, &rustls_hello("shop.mesh", &[b"h2"])),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET /path?q HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"\r\nOPTIONS * HTTP/1.1\r\n".to_vec(),
        b"CONNECT a:1 HTTP/1.1\r\n".to_vec(),
        b"\x05\x01\0".to_vec(),
        Vec::new(),
    ]);
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let changes = prop::collection::vec(change, 0..3);
    (seeds, changes, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(mut bytes, changes, tail)| {
        bytes.extend(tail);
        for (at, with) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = with;
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn an_answer_never_changes_with_more_bytes(bytes in nearly_something()) {
        let whole = detect(&bytes);
        let mut last = Detected::NeedMore;
        for cut in 0..=bytes.len() {
            let now = detect(&bytes[..cut]);
            prop_assert!(last == Detected::NeedMore || last == now, "at {}: {:?} became {:?}", cut, last, now);
            last = now;
        }
        prop_assert_eq!(last, whole);
    }

    #[test]
    fn nothing_panics_and_nothing_needs_more_than_the_bound(start in nearly_something(), fill in any::<u8>()) {
        let mut bytes = start;
        bytes.resize(MAX_PEEK, fill);
        let found = detect(&bytes);
        prop_assert_ne!(&found, &Detected::NeedMore);
        bytes.push(fill);
        prop_assert_eq!(detect(&bytes), found);
    }
}
