use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn gate() -> (DuplexStream, Gate<DuplexStream>, Arc<Switch>) {
    let (client, server) = tokio::io::duplex(1 << 16);
    let switch = Arc::new(Switch::default());
    (client, Gate::new(server, Arc::clone(&switch), Memory::unlimited()), switch)
}

/// After a client has said `text` and closed its side, and the gate has passed it on.
async fn half_closed(text: &str) -> (DuplexStream, Gate<DuplexStream>, Arc<Switch>) {
    let (mut client, mut gate, switch) = gate();
    client.write_all(text.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut piece = [0; 512];
    assert_eq!(gate.read(&mut piece).await.unwrap(), text.len());
    (client, gate, switch)
}

/// Reads what the gate passes on, until it ends, fails, or is silent for a virtual minute.
async fn passed(gate: &mut Gate<DuplexStream>) -> (String, Option<Rule>) {
    let mut text = String::new();
    let mut piece = [0; 512];
    loop {
        match tokio::time::timeout(Duration::from_secs(60), gate.read(&mut piece)).await {
            Err(_) | Ok(Ok(0)) => return (text, None),
            Ok(Ok(n)) => text.push_str(std::str::from_utf8(&piece[..n]).unwrap()),
            Ok(Err(error)) => return (text, Rule::behind(&error)),
        }
    }
}

fn in_place_of(rule: &str) -> String {
    format!("_OTHER / HTTP/1.1\r\nconnection: close\r\nweft-wire-rule: {rule}\r\n\r\n")
}

#[tokio::test(start_paused = true)]
async fn our_own_head_stands_in_place_of_a_bad_one_after_the_good_ones() {
    let (mut client, mut gate, _) = gate();
    client.write_all(format!("{GET}GET /\0 HTTP/1.1\r\n{GET}").as_bytes()).await.unwrap();
    assert_eq!(passed(&mut gate).await, (format!("{GET}{}", in_place_of("target")), None));
}

#[tokio::test(start_paused = true)]
async fn a_head_in_pieces_passes_when_it_is_complete() {
    let (mut client, mut gate, _) = gate();
    for byte in GET.as_bytes().chunks(1) {
        let mut nothing = [0; 64];
        let early = tokio::time::timeout(Duration::from_millis(1), gate.read(&mut nothing)).await;
        assert!(early.is_err(), "nothing passes before the head is complete");
        client.write_all(byte).await.unwrap();
    }
    assert_eq!(passed(&mut gate).await, (GET.to_owned(), None));
    assert_eq!(gate.held.capacity(), 0, "an idle connection holds nothing");
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_refused_and_an_idle_connection_is_not() {
    let (mut client, mut gate, _) = gate();
    client.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(passed(&mut gate).await.0, GET);
    tokio::time::sleep(Duration::from_secs(600)).await;
    client.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(passed(&mut gate).await.0, GET);
    client.write_all(b"GET / HT").await.unwrap();
    assert_eq!(passed(&mut gate).await.0, in_place_of("head_timeout"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_comes_to_rest_only_when_nothing_is_on_its_way() {
    let silence = async |gate: &mut Gate<DuplexStream>| {
        let mut piece = [0; 512];
        while let Ok(Ok(1..)) = tokio::time::timeout(Duration::from_secs(60), gate.read(&mut piece)).await {}
    };
    for (said, busy, flushed, rests) in [
        ("", false, true, true),
        (GET, false, true, true),
        (GET, true, true, false),
        (GET, false, false, false),
        ("GET / HT", false, true, false),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe", false, true, false),
    ] {
        let (mut client, mut gate, switch) = gate();
        let _busy = busy.then(|| switch.begin());
        client.write_all(said.as_bytes()).await.unwrap();
        gate.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        if flushed {
            gate.flush().await.unwrap();
        }
        silence(&mut gate).await;
        assert_eq!(switch.takes_rest(), rests, "{said:?}, busy: {busy}, flushed: {flushed}");
        assert!(!switch.takes_rest(), "once");
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_the_moment_in_which_a_connection_came_to_rest_is_not_lost() {
    let (mut client, mut gate, switch) = gate();
    let mut piece = [0; 512];
    assert!(tokio::time::timeout(Duration::from_secs(60), gate.read(&mut piece)).await.is_err());
    client.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(gate.read(&mut piece).await.unwrap(), GET.len());
    assert!(!switch.takes_rest(), "whoever reads through the gate has a request");
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_stirs_when_somebody_speaks_and_ends_after_an_hour() {
    let (mut client, mut gate, _) = gate();
    client.write_all(b"GET / HT").await.unwrap();
    assert!(gate.stirs().await);
    client.write_all(b"TP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(passed(&mut gate).await, (GET.to_owned(), None), "what woke it is not lost");
    let began = tokio::time::Instant::now();
    assert!(!gate.stirs().await);
    assert_eq!(began.elapsed().as_secs(), 3600);
    drop(client);
    assert!(!gate.stirs().await, "nobody is there");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_breaks_off() {
    let (mut client, mut gate, _) = gate();
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut piece = [0; 512];
    assert_eq!(gate.read(&mut piece).await.unwrap(), head.len());
    let error = gate.read(&mut piece).await.unwrap_err();
    assert_eq!(Rule::behind(&error), Some(Rule::BodyTimeout));
}

#[tokio::test(start_paused = true)]
async fn a_bad_chunk_breaks_its_body_off() {
    let (mut client, mut gate, _) = gate();
    let good = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n";
    client.write_all(format!("{good}0x2\r\nhi\r\n").as_bytes()).await.unwrap();
    assert_eq!(passed(&mut gate).await, (format!("{good}0"), Some(Rule::ChunkSize)));
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sends_too_early_is_neither_tunnelled_nor_lost() {
    let upgrade = "GET / HTTP/1.1\r\nhost: a\r\nupgrade: x\r\n\r\n";
    for (leave, early, want) in [
        (true, "\x01\x02", "\x01\x02".to_owned()),
        (false, GET, GET.to_owned()),
        (false, "\x01\r\n", in_place_of("request_line")),
    ] {
        let (mut client, mut gate, switch) = gate();
        client.write_all(format!("{upgrade}{early}").as_bytes()).await.unwrap();
        assert_eq!(passed(&mut gate).await.0, upgrade, "until it is answered");
        switch.answer(leave);
        assert_eq!(passed(&mut gate).await.0, want);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closed_its_side_is_waited_for_a_while() {
    let (_client, mut gate, switch) = half_closed(GET).await;
    let mut piece = [0; 512];
    let busy = switch.begin();
    assert!(tokio::time::timeout(Duration::from_secs(4), gate.read(&mut piece)).await.is_err(), "too early");
    gate.write_all(b"HTTP/1.1 200").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(5), gate.read(&mut piece)).await.is_err(), "it listens");
    assert_eq!(gate.read(&mut piece).await.unwrap(), 0, "then it is taken for gone");
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_short_is_not_waited_for() {
    let cut = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe";
    let (_client, mut gate, switch) = half_closed(cut).await;
    let _busy = switch.begin();
    let mut piece = [0; 512];
    let read = tokio::time::timeout(Duration::from_millis(1), gate.read(&mut piece)).await;
    assert_eq!(read.unwrap().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closed_and_has_its_answer_is_done() {
    let (_client, mut gate, switch) = half_closed(GET).await;
    let mut piece = [0; 512];
    let busy = switch.begin();
    assert!(tokio::time::timeout(Duration::from_secs(1), gate.read(&mut piece)).await.is_err());
    drop(busy);
    let read = tokio::time::timeout(Duration::from_millis(1), gate.read(&mut piece)).await;
    assert_eq!(read.unwrap().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_is_heard_out_so_that_it_hears_us() {
    let (mut client, mut gate, _) = gate();
    client.write_all(b"bad\r\n").await.unwrap();
    assert_eq!(passed(&mut gate).await.0, in_place_of("request_line"));
    let closing = tokio::spawn(async move { gate.shutdown().await });
    client.write_all(b"still talking").await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(!closing.is_finished());
    drop(client);
    closing.await.unwrap().unwrap();
}
