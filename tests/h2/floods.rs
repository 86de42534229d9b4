//! Clients that make a proxy work, or hold its memory, for nothing: each is shown out, and nobody else notices.
//!
//! A flood is data: bytes that are sent as fast as they are taken. What must come of it is the end of the connection,
//! by GOAWAY; how long that took, what it cost in memory and time, and what a bystander saw of it is measured on a
//! sidecar that is a process of its own, and printed.

mod attacks;
mod bystander;

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use weft_tests::call;
use weft_tests::eventually::{eventually, soon};
use weft_tests::figures;
use weft_tests::origin::Origin;
use weft_tests::peer::Peer;

use crate::client::{Client as FrameClient, Heard};
use crate::conformance::{get, post};
use crate::lab::Lab;
use crate::machine::Machine;
use crate::wire::{Frame, GOAWAY, INITIAL_WINDOW_SIZE, PREFACE, SETTINGS, frame, settings};
use attacks::{Flood, floods, streams};
use bystander::{ASKED, waits};

/// How a flood ended.
#[derive(Debug)]
struct Outcome {
    code: Option<u32>,
    after: Duration,
}

/// Sends a flood and reads meanwhile, until the connection ends.
async fn send(addr: SocketAddr, flood: &Flood) -> Outcome {
    let mut stream: TcpStream = call::connect(addr).await;
    let begun = Instant::now();
    let (mut read, mut write) = stream.split();
    let writing = async {
        // That no more can be said is what is waited for.
        let _ = write.write_all(&[PREFACE, &settings(&[])].concat()).await;
        match flood.paced {
            None => _ = write.write_all(&flood.bytes).await,
            Some((first, then)) => {
                for turn in flood.bytes.chunks(first + then) {
                    let (first, then) = turn.split_at(first);
                    let _ = write.write_all(first).await;
                    sleep(Duration::from_millis(1)).await;
                    let _ = write.write_all(then).await;
                }
            }
        }
        std::future::pending::<()>().await;
    };
    let reading = async {
        let (mut unread, mut code) = (Vec::new(), None);
        let mut chunk = vec![0; 64 << 10];
        while let Ok(n @ 1..) = read.read(&mut chunk).await {
            unread.extend_from_slice(&chunk[..n]);
            while let Some((frame, len)) = Frame::read(&unread) {
                unread.drain(..len);
                if frame.kind == GOAWAY {
                    code = Some(frame.number(4));
                }
            }
        }
        Outcome { code, after: begun.elapsed() }
    };
    tokio::select! {
        () = writing => unreachable!("it waits for the reader"),
        outcome = soon(format!("the end of {}", flood.what), reading) => outcome,
    }
}

/// The most memory while `task` runs, and what it gives.
async fn watched<T>(machine: &Machine, task: impl Future<Output = T>) -> (u64, T) {
    let mut most = machine.memory();
    tokio::pin!(task);
    loop {
        tokio::select! {
            done = &mut task => return (most.max(machine.memory()), done),
            () = sleep(Duration::from_millis(2)) => most = most.max(machine.memory()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flood_is_shown_out_at_once_and_a_bystander_is_served() {
    let origin = Origin::start("api-1").await;
    let test = "every_flood_is_shown_out_at_once_and_a_bystander_is_served";
    let Some(machine) = Machine::beside(origin.addr, "h2c", test).await else { return };
    let floods: Arc<[Flood]> = floods().into();
    // Once for whatever is allocated once.
    for flood in &*floods {
        send(machine.inbound, flood).await;
    }
    let (mut slowest, mut most_memory, mut most_started) = (Duration::ZERO, 0, 0);
    let ticks = machine.ticks();
    let begun = Instant::now();
    for flood in &*floods {
        let (memory, requests) = (machine.memory(), origin.count());
        let (peak, outcome) = watched(&machine, send(machine.inbound, flood)).await;
        let grown = peak.saturating_sub(memory);
        let started = origin.count() - requests;
        println!(
            "{:45} GOAWAY {:?} after {:6.1} ms, memory +{grown} KiB, {started} requests begun",
            flood.what,
            outcome.code,
            outcome.after.as_secs_f64() * 1e3
        );
        assert!(outcome.code.is_some_and(|code| flood.codes.contains(&code)), "{}: {outcome:?}", flood.what);
        // Streams that may be open, resets that may be made, and what was under way just then.
        assert!(started <= 250 + 100 + 20, "{}: {started} requests reached the application", flood.what);
        slowest = slowest.max(outcome.after);
        most_memory = most_memory.max(grown);
        most_started = most_started.max(started);
    }
    let share = (machine.ticks() - ticks) as f64 / 100.0 / begun.elapsed().as_secs_f64();

    let counted = floods.len();
    let waits = waits(machine.inbound, floods).await;
    let told = format!(
        "{counted} floods: the slowest ended after {} ms, memory +{most_memory} KiB, at most {most_started} requests \
         begun, {share:.2} core; bystander: 0 of {ASKED} failed, p99 {:.1} ms quiet, {:.1} ms under floods, {:.2} times \
         as long turn by turn",
        slowest.as_millis(),
        waits.quiet.as_secs_f64() * 1e3,
        waits.loud.as_secs_f64() * 1e3,
        waits.ratio
    );
    let in_time = slowest < Duration::from_secs(1);
    figures::report(5, told, in_time && most_memory <= 1024 && share <= 0.2 && waits.ratio <= 1.5);
    assert!(most_memory <= 8 << 10, "{most_memory} KiB");
}

#[tokio::test]
async fn whoever_is_shown_out_is_counted_by_the_rule_that_was_broken() {
    let origin = Origin::start("api-1").await;
    let lab = Lab::before(origin.addr, "h2c").await;
    for (what, rule) in [
        ("PING", "ping_flood"),
        ("SETTINGS", "settings_flood"),
        ("PRIORITY", "priority_flood"),
        ("WINDOW_UPDATE by one", "tiny_window_update_flood"),
        ("types that nobody knows", "unknown_frame_flood"),
        ("rapid reset", "rapid_reset"),
        ("CONTINUATION with nothing in it", "continuation_flood"),
        ("DATA with nothing in it", "empty_data_flood"),
        ("a cookie in 24 577 crumbs", "enhance_your_calm"),
    ] {
        let flood = floods().into_iter().find(|flood| flood.what == what).expect("a flood of that name");
        for sidecar in [&lab.server, &lab.web] {
            let addr = if sidecar.fixed.is_empty() { sidecar.inbound } else { sidecar.fixed[0] };
            send(addr, &flood).await;
            eventually(format!("{what} is counted at {}", sidecar.workload), async || {
                // Where the library counts too, it may be the first to notice: that depends on how the bytes come in.
                let counted =
                    async |rule| sidecar.counter("weft_wire_refused_total", &["\"h2\"", rule]).await;
                (counted(rule).await == 1.0 || counted("enhance_your_calm").await >= 1.0).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_read_hold_little_memory_and_the_application_waits() {
    // Every answer is 4 MiB long.
    let large = Peer::start(async |mut stream: TcpStream| {
        let mut asked = [0; 4096];
        while stream.read(&mut asked).await? > 0 {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 4 << 20);
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&vec![b'x'; 4 << 20]).await?;
        }
        Ok(())
    })
    .await;
    let test = "clients_that_do_not_read_hold_little_memory_and_the_application_waits";
    let Some(machine) = Machine::beside(large.addr, "http", test).await else { return };
    let before = machine.memory();
    let hello = [PREFACE, &settings(&[(INITIAL_WINDOW_SIZE, 0)]), &frame(SETTINGS, 1, 0, [])].concat();
    let mut stream = call::connect(machine.inbound).await;
    stream.write_all(&[hello, streams(100, get)].concat()).await.unwrap();
    eventually("all hundred have reached the application", async || (large.accepted() >= 100).then_some(()))
        .await;
    // It is waited until nothing grows any more.
    let mut memory = machine.memory();
    loop {
        sleep(Duration::from_millis(200)).await;
        let now = machine.memory();
        if now <= memory {
            break;
        }
        memory = now;
    }
    let grown = memory.saturating_sub(before);
    println!("100 streams without a window hold {grown} KiB");
    assert!(grown <= 100 * 256, "{grown} KiB for 100 streams");
    let reply = call::to(machine.inbound, call::get("http://api.shop/")).await;
    assert_eq!(reply.status, 200, "somebody else is served");
    drop(stream);
    // What was held is used for the next ones.
    for _ in 0..3 {
        let mut stream = call::connect(machine.inbound).await;
        stream
            .write_all(&[PREFACE, &settings(&[(INITIAL_WINDOW_SIZE, 0)]), &streams(100, get)].concat())
            .await
            .unwrap();
        sleep(Duration::from_millis(200)).await;
    }
    assert!(machine.memory() <= 2 * memory, "{} KiB after {memory} KiB", machine.memory());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_with_all_their_requests_under_way_take_nobody_with_them() {
    let origin = Origin::start("api-1").await;
    let lab = Lab::before(origin.addr, "h2c").await;
    let kinds = [("without bodies", get as fn(u32) -> Vec<u8>), ("with bodies", post)];
    for (way, addr) in lab.ways() {
        for (what, each) in kinds {
            let answers = leave_beside_one_who_stays(addr, each).await;
            assert!(answers.keys().all(Option::is_none), "{way}, requests {what}: {answers:?}");
        }
    }
}

/// Forty clients leave with 250 requests each; how often one who stays was answered (`None`), and what he heard where he
/// was not.
async fn leave_beside_one_who_stays(
    addr: SocketAddr,
    each: fn(u32) -> Vec<u8>,
) -> HashMap<Option<(Heard, Option<u16>)>, u32> {
    let hello = [PREFACE, &settings(&[]), &streams(250, each)].concat();
    let leaving = async {
        for _ in 0..40 {
            let mut stream = call::connect(addr).await;
            let _ = stream.write_all(&hello).await;
            sleep(Duration::from_millis(3)).await;
            drop(stream);
            sleep(Duration::from_millis(20)).await;
        }
    };
    // One request after the other, on the connections that the leaving ones were on, too.
    let (staying, mut answers) = (Cell::new(true), HashMap::new());
    let stays = async {
        let mut client = FrameClient::greet(addr).await;
        for id in (1..).step_by(2).take_while(|_| staying.get()) {
            client.say(&get(id)).await;
            let ended =
                client.hear_until(|heard| heard.ends(id) || matches!(heard, Heard::Reset { .. })).await;
            let refused = client.heard.drain(..).find_map(|heard| match heard {
                Heard::Head { status, .. } if status >= 400 => Some(status),
                _ => None,
            });
            let answered = ended.ends(id) && refused.is_none();
            *answers.entry(if answered { None } else { Some((ended, refused)) }).or_insert(0) += 1;
        }
    };
    tokio::join!(stays, async {
        leaving.await;
        staying.set(false);
    });
    answers
}
