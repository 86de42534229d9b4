//! What is found in bytes however they are cut, who is stopped and who never is, and how it is said.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::follow::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PADDED, PING, PRIORITY,
    PRIORITY_UPDATE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use super::*;

/// The header of a frame.
fn head(kind: u8, flags: u8, stream: u32, len: u32) -> Frame {
    Frame { kind, flags, stream, reserved: false, len, increment: 0 }
}

fn update(stream: u32, increment: u32) -> Frame {
    Frame { increment, ..head(WINDOW_UPDATE, 0, stream, 4) }
}

/// As it crosses the wire; the payload is zeros.
fn wire(frame: Frame) -> Vec<u8> {
    let [_, a, b, c] = frame.len.to_be_bytes();
    let id = frame.stream | if frame.reserved { 1 << 31 } else { 0 };
    let mut bytes = vec![a, b, c, frame.kind, frame.flags];
    bytes.extend(id.to_be_bytes());
    let payload = bytes.len();
    bytes.resize(payload + frame.len as usize, 0);
    if frame.kind == WINDOW_UPDATE && frame.len >= 4 {
        bytes[payload..payload + 4].copy_from_slice(&frame.increment.to_be_bytes());
    }
    bytes
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let kind = prop_oneof![4 => 0u8..10, 1 => Just(PRIORITY_UPDATE), 1 => any::<u8>()];
    let len = prop_oneof![Just(0u32), Just(1), Just(4), Just(8), 0u32..40, 250u32..300];
    // Mostly lengths that the type can have.
    let usual = |kind| match kind {
        PRIORITY => Some(5),
        RST_STREAM | WINDOW_UPDATE => Some(4),
        SETTINGS => Some(0),
        PING | GOAWAY => Some(8),
        _ => None,
    };
    let odd = prop::bool::weighted(0.1);
    (kind, any::<u8>(), 0u32..1 << 31, prop::bool::weighted(0.1), len, odd, 0u32..1 << 31).prop_map(
        move |(kind, flags, stream, reserved, len, odd, increment)| {
            let len = usual(kind).filter(|_| !odd).unwrap_or(len);
            let increment = if kind == WINDOW_UPDATE && len >= 4 { increment } else { 0 };
            Frame { kind, flags, stream, reserved, len, increment }
        },
    )
}

/// The frames in `bytes`, cut at these places.
fn found(mut follow: Follow, bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Frame> {
    let mut all = Vec::new();
    for piece in pieces(bytes, cuts) {
        let done: Result<(), ()> = follow.bytes(piece, |frame| {
            all.push(frame);
            Ok(())
        });
        done.unwrap();
    }
    all
}

fn pieces<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn every_frame_is_found_however_the_bytes_are_cut(
        frames in prop::collection::vec(any_frame(), 0..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let bytes: Vec<u8> = frames.iter().copied().flat_map(wire).collect();
        prop_assert_eq!(&found(Follow::default(), &bytes, &cuts), &frames);
        let with_preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytes.as_slice()].concat();
        prop_assert_eq!(&found(Follow::after_preface(), &with_preface, &cuts), &frames);
    }

    #[test]
    fn the_verdict_does_not_depend_on_how_the_bytes_are_cut(
        // Of one kind, mostly: so that allowances are exceeded.
        frame in any_frame(),
        others in prop::collection::vec(any_frame(), 0..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let now = Instant::now();
        let all = [head(SETTINGS, 0, 0, 0)].into_iter().chain(std::iter::repeat_n(frame, 2_200)).chain(others);
        let bytes: Vec<u8> = all.flat_map(wire).collect();
        let verdict = |cuts: &[_]| {
            let (mut follow, mut counter) = (Follow::default(), Counter::new(&Limits::CLIENT, now));
            let mut seen = 0;
            let verdict = pieces(&bytes, cuts).into_iter().try_for_each(|piece| {
                counter.tick(now);
                follow.bytes(piece, |frame| { seen += 1; counter.received(frame) })
            });
            (seen, verdict)
        };
        prop_assert_eq!(verdict(&cuts), verdict(&[]));
    }

    #[test]
    fn no_bytes_and_no_times_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0u64..u64::from(u32::MAX) * 4), 0..20),
    ) {
        let mut now = Instant::now();
        let mut follow = Follow::after_preface();
        let mut counter = Counter::new(&Limits::CLIENT, now);
        let (places, waits): (Vec<_>, Vec<_>) = cuts.into_iter().unzip();
        for (piece, wait) in pieces(&bytes, &places).into_iter().zip(waits) {
            now += Duration::from_millis(wait);
            counter.tick(now);
            prop_assert!(follow.until_between_frames(piece) <= piece.len());
            if follow.bytes(piece, |frame| { counter.sent(frame); counter.received(frame) }).is_err() {
                break;
            }
        }
    }

    #[test]
    fn a_frame_that_has_been_begun_is_written_to_its_end_and_not_beyond(
        first in any_frame(), second in any_frame(), at in any::<prop::sample::Index>(),
    ) {
        let first = Frame { kind: DATA, increment: 0, ..first };
        let begun = wire(first);
        let at = at.index(begun.len());
        let mut follow = Follow::default();
        follow.bytes(&begun[..at], |_| Ok::<_, ()>(())).unwrap();
        let rest = [&begun[at..], &wire(second)].concat();
        prop_assert_eq!(follow.until_between_frames(&rest), if at == 0 { 0 } else { begun.len() - at });
    }
}

/// After the first SETTINGS.
fn greeted(limits: &'static Limits, now: Instant) -> Counter {
    let mut counter = Counter::new(limits, now);
    counter.received(head(SETTINGS, 0, 0, 0)).unwrap();
    counter
}

/// What becomes of a peer that sends `each(n)`, at once.
fn after(limits: &'static Limits, each: impl Fn(u32) -> Vec<Frame>) -> (u32, Option<Rule>) {
    let mut counter = greeted(limits, Instant::now());
    for round in 0..200_000 {
        for frame in each(round) {
            if let Err(flood) = counter.received(frame) {
                return (round, Some(flood));
            }
        }
    }
    (200_000, None)
}

#[test]
fn every_flood_is_stopped_after_a_number_of_frames_that_is_written_down() {
    let reserved = Frame { reserved: true, ..head(DATA, 0, 1, 100) };
    type Each = Box<dyn Fn(u32) -> Vec<Frame>>;
    let always = |frame: Frame| -> Each { Box::new(move |_| vec![frame]) };
    let table: Vec<(&str, u32, Rule, Each)> = vec![
        ("PING", 100, Rule::Ping, always(head(PING, 0, 0, 8))),
        ("answers nobody asked for", 100, Rule::Ping, always(head(PING, ACK, 0, 8))),
        ("SETTINGS", 50, Rule::Settings, always(head(SETTINGS, 0, 0, 0))),
        ("SETTINGS of 2730 entries", 0, Rule::Settings, always(head(SETTINGS, 0, 0, 16_380))),
        ("SETTINGS that acknowledge nothing", 50, Rule::Settings, always(head(SETTINGS, ACK, 0, 0))),
        ("PRIORITY", 200, Rule::Priority, always(head(PRIORITY, 0, 3, 5))),
        ("PRIORITY_UPDATE", 200, Rule::Priority, always(head(PRIORITY_UPDATE, 0, 0, 5))),
        ("WINDOW_UPDATE", 1_000, Rule::WindowUpdate, always(update(0, 4096))),
        ("WINDOW_UPDATE by one", 500, Rule::TinyWindow, always(update(1, 1))),
        ("DATA without data", 100, Rule::EmptyData, always(head(DATA, 0, 1, 0))),
        ("DATA of one byte", 1_000, Rule::TinyData, always(head(DATA, 0, 1, 1))),
        ("DATA of padding", 1_000, Rule::TinyData, always(head(DATA, PADDED, 1, 256))),
        ("CONTINUATION without end", 8, Rule::FieldBlock, always(head(CONTINUATION, 0, 1, 100))),
        ("a type nobody knows", 100, Rule::UnknownType, always(head(0xee, 0, 0, 0))),
        ("GOAWAY", 100, Rule::GoAway, always(head(GOAWAY, 0, 0, 8))),
        ("the reserved bit", 100, Rule::ReservedBit, always(reserved)),
        ("resets of old streams", 1_000, Rule::Reset, always(head(RST_STREAM, 0, 0, 4))),
        (
            "streams reset as soon as opened",
            100,
            Rule::RapidReset,
            Box::new(|n| vec![head(HEADERS, END_HEADERS, 2 * n + 1, 20), head(RST_STREAM, 0, 2 * n + 1, 4)]),
        ),
    ];
    for (what, most, flood, each) in table {
        assert_eq!(after(&Limits::CLIENT, each), (most, Some(flood)), "{what}");
    }
}

#[test]
fn honest_peers_are_never_stopped_however_busy() {
    type Round = fn(u32) -> (Vec<Frame>, Vec<Frame>);
    let table: [(&str, &'static Limits, Round); 6] = [
        ("a download that tells of every frame twice and pings after it", &Limits::CLIENT, |_| {
            (vec![head(DATA, 0, 1, 16_384)], vec![update(1, 16_384), update(0, 16_384), head(PING, 0, 0, 8)])
        }),
        ("many short answers, each acknowledged", &Limits::CLIENT, |n| {
            let id = 2 * n + 1;
            (
                vec![head(HEADERS, END_HEADERS, id, 40), head(DATA, END_STREAM, id, 300)],
                vec![head(HEADERS, END_HEADERS | END_STREAM, id + 2, 40), update(0, 300), update(id, 300)],
            )
        }),
        ("an upload of messages of five bytes", &Limits::CLIENT, |_| {
            (vec![update(0, 32_768)], vec![head(DATA, 0, 1, 5)])
        }),
        ("every PING and SETTINGS of ours acknowledged", &Limits::CLIENT, |_| {
            (
                vec![head(PING, 0, 0, 8), head(SETTINGS, 0, 0, 6)],
                vec![head(PING, ACK, 0, 8), head(SETTINGS, ACK, 0, 0)],
            )
        }),
        ("every second request given up, the other answered", &Limits::CLIENT, |n| {
            let id = 4 * n + 1;
            (
                vec![head(HEADERS, END_HEADERS | END_STREAM, id, 40)],
                vec![
                    head(HEADERS, END_HEADERS | END_STREAM, id + 2, 40),
                    head(HEADERS, END_HEADERS | END_STREAM, id + 4, 40),
                    head(RST_STREAM, 0, id + 2, 4),
                ],
            )
        }),
        ("a server that refuses every request", &Limits::SERVER, |n| {
            let id = 2 * n + 1;
            (vec![head(HEADERS, END_HEADERS | END_STREAM, id, 40)], vec![head(RST_STREAM, 0, id, 4)])
        }),
    ];
    for (what, limits, round) in table {
        let mut counter = greeted(limits, Instant::now());
        for n in 0..100_000 {
            let (ours, theirs) = round(n);
            ours.into_iter().for_each(|frame| counter.sent(frame));
            for frame in theirs {
                assert_eq!(counter.received(frame), Ok(()), "{what}, round {n}");
            }
        }
    }
}

#[test]
fn lengths_that_a_type_cannot_have_are_refused_at_once_and_so_is_a_connection_without_settings() {
    for (kind, flags, len, fits) in [
        (PING, 0, 8, true),
        (PING, 0, 7, false),
        (PING, ACK, 9, false),
        (SETTINGS, 0, 12, true),
        (SETTINGS, 0, 13, false),
        (SETTINGS, ACK, 6, false),
        (WINDOW_UPDATE, 0, 5, false),
        (RST_STREAM, 0, 3, false),
        (PRIORITY, 0, 4, false),
        (GOAWAY, 0, 7, false),
        (GOAWAY, 0, 100, true),
        (DATA, 0, 16_384, true),
        (DATA, 0, 16_385, false),
        (0xbb, 0, 16_385, false),
    ] {
        let verdict = greeted(&Limits::CLIENT, Instant::now()).received(head(kind, flags, 1, len));
        assert_eq!(verdict, if fits { Ok(()) } else { Err(Rule::FrameSize) }, "{kind} {flags} {len}");
    }
    for frame in [head(PING, 0, 0, 8), head(SETTINGS, ACK, 0, 0), head(HEADERS, END_HEADERS, 1, 20)] {
        let verdict = Counter::new(&Limits::CLIENT, Instant::now()).received(frame);
        assert_eq!(verdict, Err(Rule::SettingsFirst), "{frame:?}");
    }
}

#[test]
fn time_gives_back_what_was_spent_and_never_more_than_there_was() {
    let mut now = Instant::now();
    let mut counter = greeted(&Limits::CLIENT, now);
    let mut pings = |now| {
        counter.tick(now);
        (0..10_000).take_while(|_| counter.received(head(PING, 0, 0, 8)).is_ok()).count()
    };
    assert_eq!(pings(now), 100);
    now += Duration::from_secs(1);
    assert_eq!(pings(now), 10);
    now += Duration::from_secs(3600);
    assert_eq!(pings(now), 2_000, "what an hour has saved up");
}

#[test]
fn a_stream_that_is_given_up_after_a_while_was_not_rapid() {
    let mut now = Instant::now();
    let mut counter = greeted(&Limits::CLIENT, now);
    for batch in 0..50u32 {
        let ids = (0..200).map(|n| 2 * (200 * batch + n) + 1);
        for id in ids.clone() {
            counter.received(head(HEADERS, END_HEADERS, id, 40)).unwrap();
        }
        now += counter::YOUNG;
        counter.tick(now);
        for id in ids {
            assert_eq!(counter.received(head(RST_STREAM, 0, id, 4)), Ok(()), "batch {batch}");
        }
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The preface and SETTINGS.
fn hello() -> Vec<u8> {
    [PREFACE, &wire(head(SETTINGS, 0, 0, 0))].concat()
}

fn guarded(buffer: usize) -> (Guard<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(buffer);
    (Guard::of_client(near, &Limits::CLIENT), far)
}

#[tokio::test(start_paused = true)]
async fn a_flood_ends_in_goaway_11_after_the_last_whole_frame_of_ours() {
    let (mut guard, mut far) = guarded(1 << 20);
    let ours = wire(head(SETTINGS, 0, 0, 6));
    guard.write_all(&ours).await.unwrap();
    far.write_all(&hello()).await.unwrap();
    far.write_all(&wire(head(HEADERS, END_HEADERS, 7, 3))).await.unwrap();
    far.write_all(&wire(head(PING, 0, 0, 8)).repeat(120)).await.unwrap();
    let mut buffer = vec![0; 1 << 16];
    let error = guard.read(&mut buffer).await.unwrap_err();
    assert_eq!((error.kind(), guard.broken), (io::ErrorKind::ConnectionAborted, Some(Rule::Ping)));
    assert!(guard.write(&ours).await.is_err(), "nothing is said after goodbye");
    let mut said = Vec::new();
    let (heard, ()) = tokio::join!(far.read_to_end(&mut said), guard.close());
    heard.unwrap();
    assert_eq!(said, [ours, goodbye(7, 11).to_vec()].concat());
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_ours_that_is_under_way_is_finished_first() {
    let (mut guard, mut far) = guarded(4096);
    let ours = wire(head(DATA, 0, 1, 6000));
    let (begun, rest) = ours.split_at(4096);
    guard.write_all(begun).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(&mut guard);
    let flood = [hello(), wire(head(PING, 0, 0, 8)).repeat(120)].concat();
    far.write_all(&flood).await.unwrap();
    let more = [rest, &wire(head(DATA, 0, 1, 100))].concat();
    let (mut into, mut said) = (vec![0; 1 << 16], vec![0; 6009 + GOODBYE]);
    // hyper reads and writes in one task, too.
    let (read, written, heard) =
        tokio::join!(reader.read(&mut into), writer.write_all(&more), far.read_exact(&mut said));
    assert!(read.is_err() && written.is_err() && heard.is_ok(), "{read:?} {written:?} {heard:?}");
    assert_eq!(said, [ours.as_slice(), &goodbye(0, 11)].concat());
    assert_eq!(guard.broken, Some(Rule::Ping));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_floods_and_does_not_read_is_not_waited_for() {
    let (mut guard, mut far) = guarded(4096);
    guard.write_all(&wire(head(DATA, 0, 1, 6000))[..4096]).await.unwrap();
    far.write_all(&[hello(), wire(head(PING, 0, 0, 8)).repeat(120)].concat()).await.unwrap();
    assert!(guard.read(&mut vec![0; 1 << 16]).await.is_err());
    assert_eq!(guard.broken, Some(Rule::Ping));
}

#[tokio::test(start_paused = true)]
async fn the_first_frames_of_a_server_need_no_preface_and_ours_come_after_one() {
    let (near, mut far) = duplex(1 << 20);
    let mut guard = Guard::of_server(near, &Limits::SERVER);
    guard.write_all(&[PREFACE, &wire(head(SETTINGS, 0, 0, 0))].concat()).await.unwrap();
    far.write_all(&wire(head(SETTINGS, 0, 0, 0))).await.unwrap();
    far.write_all(&wire(head(PING, 0, 0, 8)).repeat(120)).await.unwrap();
    assert!(guard.read(&mut vec![0; 1 << 16]).await.is_err());
    assert_eq!(guard.broken, Some(Rule::Ping));
}
