//! Any client of SOCKS5: bounded steps, no byte of what follows, and a target in its one form.

use std::task::{Context, Poll, Waker};

use super::*;

#[test]
fn any_client_is_read_in_bounded_steps_and_no_further_than_its_request() {
    weft_fuzz::law!("socks5", |bytes| {
        accepts_what_the_steps_say(bytes);
        let (mut handshake, mut rest, mut taken) = (Handshake::default(), bytes, 0_usize);
        let mut step = handshake.first();
        for _ in 0..8 {
            let next = match step {
                Step::Connect(target) => {
                    assert_eq!(target.to_string().parse(), Ok(target), "the same target by its text");
                    assert!(taken <= 257 + 262);
                    return;
                }
                Step::Write(said) => {
                    assert_eq!(said, [VERSION, NO_AUTHENTICATION]);
                    handshake.next(&[])
                }
                Step::Want(count) => {
                    assert!((1..=MAX_WANT).contains(&count));
                    let Some((wanted, after)) = rest.split_at_checked(count) else { return };
                    (rest, taken) = (after, taken + count);
                    handshake.next(wanted)
                }
            };
            step = match next {
                Ok(step) => step,
                Err(refused) => {
                    assert!(matches!(refused.answer(), [] | [VERSION, 0xff] | [VERSION, 1..=8, 0, 1, ..]));
                    return;
                }
            };
        }
        panic!("a handshake of more than eight steps");
    });
}

/// Over a connection it is the same as step by step: a target, or an answer and an end.
fn accepts_what_the_steps_say(bytes: &[u8]) {
    let mut stream = tokio::io::join(bytes, Vec::new());
    // Neither of the two ever waits.
    let done = std::pin::pin!(accept(&mut stream)).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(done) = done else { panic!("it waits for more than there is") };
    let (_, answered) = stream.into_inner();
    match done {
        Ok(_) => assert_eq!(answered, [VERSION, NO_AUTHENTICATION]),
        Err(NotAccepted::Refused(refused)) => assert!(answered.ends_with(refused.answer())),
        Err(NotAccepted::Lost { .. }) => {
            assert!(answered.is_empty() || answered == [VERSION, NO_AUTHENTICATION])
        }
    }
}
