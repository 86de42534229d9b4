//! Any bytes on an HTTP/2 connection: the same frames and the same verdict however they are cut, and no more frames
//! that carry nothing than are allowed.

use std::time::Duration;

use tokio::time::Instant;

use super::counter::{Counter, Rule};
use super::follow::{DATA, Follow, Frame, PING, PRIORITY, RST_STREAM, SETTINGS};
use super::limits::{Allowance, Limits};

#[test]
fn any_bytes_are_the_same_frames_and_the_same_verdict_however_they_are_cut() {
    weft_fuzz::law!("h2", |bytes| {
        ends_between_frames(bytes);
        let whole = verdict(bytes, bytes.len().max(1), false);
        let answered = verdict(bytes, bytes.len().max(1), true);
        for size in [1, 2, 3, 9, 10, 100] {
            assert_eq!(verdict(bytes, size, false), whole, "in pieces of {size}");
            assert_eq!(verdict(bytes, size, true), answered, "answered, in pieces of {size}");
        }
        if let Err(rule) = answered.1 {
            assert!(!rule.name().is_empty() && matches!(rule.code(), 0x1 | 0x6 | 0xb), "{rule:?}");
        }
        let (frames, _) = whole;
        assert!(frames.len() <= bytes.len() / 9 + 1, "a frame has nine bytes");
        let count = |kind: u8| frames.iter().filter(|frame| frame.kind == kind).count();
        // Nothing was sent and no time went by, so there is only what is allowed at once (and the one that is too many).
        let burst = |of: Allowance| usize::try_from(of.burst).unwrap() + 1;
        assert!(count(PING) <= burst(Limits::CLIENT.ping));
        assert!(count(SETTINGS) <= burst(Limits::CLIENT.settings));
        assert!(count(RST_STREAM) <= burst(Limits::CLIENT.reset) + frames.len() / 2);
        assert!(count(PRIORITY) <= burst(Limits::CLIENT.priority) + 4 * frames.len());
        let empty = |frame: &&Frame| frame.kind == DATA && frame.len == 0 && frame.flags & 1 == 0;
        assert!(frames.iter().filter(empty).count() <= burst(Limits::CLIENT.empty_data));
    });
}

/// The frames that were read, and what is made of them; where they are `answered`, as much is sent as comes in, and some
/// time goes by with each.
fn verdict(bytes: &[u8], size: usize, answered: bool) -> (Vec<Frame>, Result<(), Rule>) {
    let mut now = Instant::now();
    let (mut follow, mut counter) = (Follow::default(), Counter::new(&Limits::CLIENT, now));
    let settings = Frame { kind: SETTINGS, flags: 0, stream: 0, reserved: false, len: 0, increment: 0 };
    counter.received(settings).expect("a connection begins with it");
    let mut frames = Vec::new();
    for piece in bytes.chunks(size) {
        let counted = follow.bytes(piece, |frame| {
            frames.push(frame);
            let verdict = counter.received(frame);
            if answered {
                now += Duration::from_millis((frame.len % 64).into());
                counter.tick(now);
                counter.sent(frame);
            }
            verdict
        });
        if let Err(rule) = counted {
            return (frames, Err(rule));
        }
    }
    (frames, Ok(()))
}

/// Wherever a connection stands, it is known how much is left until a frame is whole.
fn ends_between_frames(bytes: &[u8]) {
    let mut follow = Follow::after_preface();
    let rest = follow.until_between_frames(bytes);
    let read: Result<(), ()> = follow.bytes(&bytes[..rest], |_| Ok(()));
    assert_eq!(read, Ok(()));
    assert!(follow.is_between_frames() || rest == bytes.len(), "{rest} of {} bytes", bytes.len());
}
