//! Any bytes on an HTTP/1 connection: the same pass and the same verdict however they are cut, and what passes is read
//! alike by a second parser that has never heard of ours.

use super::Rule;
use super::follow::{Follow, Then};
use super::rule::REFUSED_METHOD;

#[test]
fn any_requests_pass_alike_however_they_are_cut_and_are_read_alike() {
    weft_fuzz::law!("h1_request", |bytes| {
        let whole = passed(bytes, bytes.len().max(1));
        for size in [1, 2, 3, 17, 256] {
            assert_eq!(passed(bytes, size), whole, "in pieces of {size}");
        }
        let (passed, _) = whole;
        assert!(bytes.starts_with(&passed), "nothing is added, changed or left out");
        let heads = read_again(&passed);
        assert!(!heads.iter().any(|method| method == REFUSED_METHOD), "nobody writes the head that is ours");
    });
}

/// What passes, and how it ends: as the gate reads, in pieces of `size`.
fn passed(bytes: &[u8], size: usize) -> (Vec<u8>, Option<Result<(), Rule>>) {
    let (mut follow, mut held, mut passed) = (Follow::new(), Vec::new(), Vec::new());
    for piece in bytes.chunks(size) {
        held.extend_from_slice(piece);
        let step = follow.feed(&held);
        passed.extend(held.drain(..step.pass));
        match step.then {
            Then::More | Then::Keep => {}
            Then::Hold => return (passed, Some(Ok(()))),
            Then::Refuse(rule) | Then::Break(rule) => return (passed, Some(Err(rule))),
        }
    }
    (passed, None)
}

/// The methods of all requests in `bytes`, by a parser that forgives what many servers forgive: a lone line feed, any
/// number of lengths of which the last one counts, any coding that ends in `chunked`.
///
/// # Panics
/// Where such a reading does not arrive at the end of what has passed.
fn read_again(mut bytes: &[u8]) -> Vec<String> {
    let mut methods = Vec::new();
    loop {
        while let [b'\r' | b'\n', rest @ ..] = bytes {
            bytes = rest;
        }
        if bytes.is_empty() {
            return methods;
        }
        let Some((lines, rest)) = head(bytes) else {
            panic!("half a head has passed: {}", bytes.escape_ascii())
        };
        let method = lines[0].split(' ').next().unwrap_or_default().to_owned();
        let field = |name: &str| {
            let of_name = |line: &&String| {
                line.split_once(':').is_some_and(|(this, _)| this.trim().eq_ignore_ascii_case(name))
            };
            lines.iter().filter(of_name).map(|line| line.split_once(':').unwrap().1.trim()).next_back()
        };
        let tunnel = method == "CONNECT" || field("upgrade").is_some();
        methods.push(method);
        bytes = match (field("transfer-encoding"), field("content-length")) {
            (Some(coding), length) => {
                assert!(length.is_none() && coding.to_ascii_lowercase().ends_with("chunked"), "{lines:?}");
                match after_chunks(rest) {
                    Some(rest) => rest,
                    None => return methods,
                }
            }
            (None, Some(length)) => {
                let length: usize = length.parse().expect("a length is a number");
                match rest.get(length..) {
                    Some(rest) => rest,
                    None => return methods,
                }
            }
            (None, None) => rest,
        };
        if tunnel {
            assert!(bytes.is_empty(), "what follows waits for the answer");
        }
    }
}

/// The lines of the first head, and what follows it.
fn head(bytes: &[u8]) -> Option<(Vec<String>, &[u8])> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&rest[..end]).trim_end_matches('\r').to_owned();
        rest = &rest[end + 1..];
        if line.is_empty() {
            return Some((lines, rest));
        }
        lines.push(line);
    }
}

/// What follows a chunked body; `None` if it is not complete.
fn after_chunks(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let size = line.split(';').next().unwrap_or_default().trim().to_owned();
        let size = usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("a size of a chunk: {line:?}"));
        bytes = &bytes[end + 1..];
        if size == 0 {
            return head(bytes).map(|(_, rest)| rest);
        }
        let data = bytes.get(size..)?;
        match data {
            [] | [b'\r'] => return None,
            [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] => bytes = rest,
            _ => panic!("a chunk is longer than it says: {}", data.escape_ascii()),
        }
    }
}
