use proptest::prelude::*;

use super::*;

fn feed(text: &str) -> Step {
    Follow::new().feed(text.as_bytes())
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
const CHUNKED: &str =
    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: a\r\nupgrade: x\r\n\r\n";

#[test]
fn requests_are_told_apart_however_they_are_pipelined() {
    let table: &[(String, usize, Then)] = &[
        (format!("{GET}{POST}{CHUNKED}{GET}"), GET.len() * 2 + POST.len() + CHUNKED.len(), Then::More),
        (format!("{GET}GET"), GET.len(), Then::Keep),
        (format!("{POST}bad\r\n"), POST.len(), Then::Refuse(Rule::RequestLine)),
        (
            format!("{GET}{}", CHUNKED.replace("5\r\nhello", "6\r\nhello")),
            GET.len() + CHUNKED.len() - 6,
            Then::Break(Rule::ChunkEnd),
        ),
        (format!("{UPGRADE}{GET}"), UPGRADE.len(), Then::Hold),
        (UPGRADE.to_owned(), UPGRADE.len(), Then::More),
    ];
    for (text, pass, then) in table {
        assert_eq!(feed(text), Step { pass: *pass, then: *then }, "{text:?}");
    }
}

#[test]
fn what_follows_a_request_to_leave_http_waits_for_its_answer() {
    for (tunnel, bytes, then) in [
        (true, "\x00\x01", Then::More),
        (false, GET, Then::More),
        (false, "\x00\r\n", Then::Refuse(Rule::RequestLine)),
    ] {
        let mut follow = Follow::new();
        follow.feed(UPGRADE.as_bytes());
        assert!(follow.is_held());
        follow.answered(tunnel);
        assert_eq!(follow.feed(bytes.as_bytes()).then, then, "{bytes:?}");
    }
}

proptest! {
    /// However the network cuts a connection up, the same bytes pass and the same rule ends it.
    #[test]
    fn pieces_change_nothing(
        messages in proptest::collection::vec(proptest::sample::select(vec![GET, POST, CHUNKED, "\r\n", "GET / HTTP/1.1\n", "0\r\n"]), 1..5),
        cuts in proptest::collection::vec(0usize..400, 0..8),
    ) {
        let text = messages.concat();
        let bytes = text.as_bytes();
        let at_once = feed(&text);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let mut follow = Follow::new();
        let (mut passed, mut held, mut then) = (0, Vec::new(), Then::More);
        for pair in cuts.windows(2) {
            held.extend_from_slice(&bytes[pair[0]..pair[1]]);
            let step = follow.feed(&held);
            passed += step.pass;
            held.drain(..step.pass);
            then = step.then;
            if matches!(then, Then::Refuse(_) | Then::Break(_)) { break; }
        }
        prop_assert_eq!(at_once, Step { pass: passed, then });
    }
}
