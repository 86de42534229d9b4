//! Any first bytes: one answer, final, in time, and on the side where rules hold.

use super::*;

#[test]
fn any_first_bytes_have_one_answer_however_they_are_cut() {
    weft_fuzz::law!("detect", |bytes| {
        let answer = detect(bytes);
        assert!(bytes.len() < MAX_PEEK || answer != Detected::NeedMore, "an answer comes within the bound");
        let step = bytes.len() / 97 + 1;
        let mut decided = false;
        for cut in (0..bytes.len()).step_by(step) {
            match detect(&bytes[..cut]) {
                Detected::NeedMore => assert!(!decided, "an answer is final"),
                early => {
                    decided = true;
                    assert_eq!(early, answer, "{cut} of {} bytes", bytes.len());
                }
            }
        }
        if is_a_request_to_a_lenient_server(bytes) {
            assert!(matches!(answer, Detected::Http1 | Detected::Http2), "HTTP past every rule: {answer:?}");
        }
    });
}

/// An empty line or more, a method, a target, a version: read as simply as a simple server does.
fn is_a_request_to_a_lenient_server(bytes: &[u8]) -> bool {
    let Some(start) = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')) else { return false };
    let Some(line) = bytes[start..].split(|byte| *byte == b'\n').next() else { return false };
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let empty =
        bytes[..start].split_inclusive(|byte| *byte == b'\n').all(|line| matches!(line, b"\n" | b"\r\n"));
    let words: Vec<&str> = line.trim_end_matches('\r').split(' ').collect();
    let [method, target, version] = words.as_slice() else { return false };
    empty
        && (1..=32).contains(&method.len())
        && method.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
        && target.starts_with('/')
        && target.bytes().all(|byte| byte.is_ascii_graphic())
        && matches!(*version, "HTTP/1.0" | "HTTP/1.1")
        && bytes.len() < MAX_PEEK
}

#[test]
fn any_client_hello_says_the_same_in_any_records() {
    weft_fuzz::law!("client_hello", |bytes| {
        let Detected::Tls(hello) = detect(bytes) else { return };
        if let Some(name) = &hello.sni {
            assert!((1..=253).contains(&name.len()) && **name == name.to_ascii_lowercase());
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
        }
        assert!(hello.alpn.iter().all(|protocol| (1..=255).contains(&protocol.len())));
        assert!(hello.alpn.iter().map(|protocol| protocol.len()).sum::<usize>() < bytes.len());

        // Whatever follows is not part of it, and the cut into records is the sender's own affair.
        assert_eq!(detect(&[bytes, b"GET / HTTP/1.1\r\n"].concat()), Detected::Tls(hello.clone()));
        let message = without_records(bytes);
        for size in [1, 5, 64, 1000] {
            let records: Vec<u8> = message.chunks(size).flat_map(record).collect();
            if records.len() <= MAX_PEEK {
                assert_eq!(detect(&records), Detected::Tls(hello.clone()), "records of {size}");
            }
        }
    });
}

fn record(part: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &u16::try_from(part.len()).unwrap().to_be_bytes(), part].concat()
}

/// The first handshake message, from however many records.
fn without_records(mut bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    while let [22, 3, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        message.extend_from_slice(&rest[..length]);
        bytes = &rest[length..];
        if let [1, a, b, c, ..] = message.as_slice() {
            let wanted = 4 + u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if message.len() >= wanted {
                message.truncate(wanted);
                break;
            }
        }
    }
    message
}
