//! Every byte arrives once and in order, whatever the pace of either side, over sockets and over anything else; and
//! who does not read holds nothing for long.

use std::net::SocketAddr;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::prefixed::Prefixed;

const LONG: Duration = Duration::from_secs(60);

/// What became of a relay.
type Ended = (Relayed, io::Result<()>);

/// A relay between two sides.
fn relaying<A, B>(mut near: A, mut far: B, idle: Duration) -> JoinHandle<Ended>
where
    A: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        let mut relayed = Relayed::default();
        let ended = relay(&mut near, &mut far, idle, &mut relayed).await;
        (relayed, ended)
    })
}

/// Both ends of a connection over loopback. Small buffers in the kernel make it stop and go.
async fn sockets(buffers: Option<u32>) -> (TcpStream, TcpStream) {
    let socket = || {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(size) = buffers {
            socket.set_send_buffer_size(size).unwrap();
            socket.set_recv_buffer_size(size).unwrap();
        }
        socket
    };
    let listening = socket();
    listening.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener: TcpListener = listening.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(socket().connect(addr), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

#[tokio::test]
async fn a_side_that_has_finished_still_hears_the_answer() {
    let (mut client, near) = duplex(16);
    let (far, mut server) = duplex(16);
    let relaying = relaying(near, far, LONG);
    client.write_all(b"question that is longer than the pipe").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
    let (relayed, ended) = relaying.await.unwrap();
    ended.unwrap();
    assert_eq!(relayed, Relayed { up: 37, down: 6 });
}

#[tokio::test(start_paused = true)]
async fn silence_ends_it_and_traffic_does_not() {
    let (mut client, near) = duplex(16);
    let (far, mut server) = duplex(16);
    let relaying = relaying(near, far, Duration::from_secs(10));
    for _ in 0..4 {
        sleep(Duration::from_secs(7)).await;
        client.write_all(b"x").await.unwrap();
        server.read_u8().await.unwrap();
    }
    assert!(!relaying.is_finished());
    let started = Instant::now();
    assert_eq!(relaying.await.unwrap().1.unwrap_err().kind(), io::ErrorKind::TimedOut);
    let took = started.elapsed();
    assert!((10..=12).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn one_who_does_not_read_is_waited_for_as_long_as_one_who_does_not_speak() {
    let (mut client, near) = duplex(16);
    let (far, mut server) = duplex(16);
    let relaying = relaying(near, far, Duration::from_secs(10));
    // The server reads nothing, and goes on speaking all the time.
    client.write_all(&[0; 40]).await.unwrap();
    let started = Instant::now();
    while !relaying.is_finished() {
        sleep(Duration::from_secs(3)).await;
        // An error says that it has ended.
        let _ = server.write_all(b"x").await;
        let _ = client.read(&mut [0; 4]).await;
    }
    let (relayed, ended) = relaying.await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(relayed.down >= 3, "{relayed:?}");
    let took = started.elapsed();
    assert!((9..=16).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn one_who_reads_slowly_is_waited_for() {
    let (mut client, near) = duplex(16);
    let (far, mut server) = duplex(16);
    let relaying = relaying(near, far, Duration::from_secs(10));
    let much: Vec<u8> = (0..200).collect();
    let sending = tokio::spawn(async move {
        client.write_all(&much).await.unwrap();
        client.shutdown().await.unwrap();
        client
    });
    let mut heard = Vec::new();
    while heard.len() < 200 {
        sleep(Duration::from_secs(4)).await;
        let mut some = [0; 16];
        let n = server.read(&mut some).await.unwrap();
        heard.extend_from_slice(&some[..n]);
    }
    assert!(heard.iter().copied().eq(0..200));
    drop((server, sending.await.unwrap()));
    relaying.await.unwrap().1.unwrap();
}

#[tokio::test]
async fn what_came_before_a_side_broke_is_still_the_others() {
    let (mut client, near) = sockets(None).await;
    let (far, mut server) = sockets(None).await;
    let relaying = relaying(near, far, LONG);
    client.write_all(&[7; 1000]).await.unwrap();
    let mut heard = vec![0; 1000];
    server.read_exact(&mut heard).await.unwrap();
    client.set_zero_linger().unwrap();
    drop(client);
    let (relayed, ended) = relaying.await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(relayed.up, 1000);
    // The server hears that it is over; which way is the kernel's choice.
    assert!(matches!(server.read(&mut heard).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_hundred_who_never_read_are_held_within_bounds_and_let_go() {
    const BUFFERS: u32 = 16 << 10;
    let mut all = Vec::new();
    for _ in 0..100 {
        let (client, near) = sockets(Some(BUFFERS)).await;
        let (far, server) = sockets(Some(BUFFERS)).await;
        let relaying = relaying(near, far, Duration::from_millis(300));
        let sending = tokio::spawn(async move {
            let (mut client, mut sent) = (client, 0);
            // Until the relay ends, which it does for the want of a reader.
            while let Ok(n) = client.write(&[0; 4096]).await {
                sent += n;
            }
            sent
        });
        all.push((relaying, sending, server));
    }
    for (relaying, sending, server) in all {
        let (relayed, ended) = relaying.await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let sent = sending.await.unwrap() as u64;
        // The kernel doubles what it is asked for, and each of two connections has a buffer at both its ends.
        let in_kernel = u64::from(BUFFERS) * 2 * 4;
        assert!(sent <= relayed.up + copy::LARGE as u64 + 4 * in_kernel, "{sent} sent, {relayed:?}");
        assert!(relayed.up <= 2 * in_kernel, "{relayed:?}");
        drop(server);
    }
}

#[tokio::test]
async fn much_between_sockets_goes_through_a_pipe_and_little_does_not() {
    for (bytes, spliced) in [(1_000, false), (8 << 20, true)] {
        let (mut client, mut near) = sockets(None).await;
        let (mut far, mut server) = sockets(None).await;
        let mut piped = false;
        let watching = async {
            let mut up = Direction::default();
            poll_fn(|cx| {
                let polled = up.poll(cx, &mut near, &mut far);
                piped |= matches!(up.means, Means::Splice(_));
                match polled {
                    Ok(Poll::Ready(())) => Poll::Ready(up.given),
                    Ok(Poll::Pending) => Poll::Pending,
                    Err(error) => panic!("{error}"),
                }
            })
            .await
        };
        let what: Vec<u8> = (0..bytes).map(|n: u32| (n % 251) as u8).collect();
        let mut heard = Vec::new();
        let (given, (), ()) = tokio::join!(
            watching,
            async {
                client.write_all(&what).await.unwrap();
                client.shutdown().await.unwrap();
            },
            async { server.read_to_end(&mut heard).await.map(|_| ()).unwrap() }
        );
        assert_eq!((given, piped), (u64::from(bytes), spliced));
        assert!(heard == what);
    }
}

/// What one side does.
#[derive(Clone, Debug)]
struct Part {
    /// Sizes of what it writes, one after the other; then it ends its direction.
    says: Vec<usize>,
    /// How much it reads at once, and after how many other tasks have had their turn.
    reads: usize,
    waits: usize,
    /// It says nothing before it has heard everything.
    listens_first: bool,
}

impl Part {
    /// What it says, all of it. Two sides never say the same.
    fn text(&self, salt: usize) -> Vec<u8> {
        (0..self.says.iter().sum::<usize>()).map(|n| ((n + salt) % 253) as u8).collect()
    }

    /// Plays the part and gives what was heard.
    async fn play<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, salt: usize) -> Vec<u8> {
        let (mut read, mut write) = tokio::io::split(stream);
        let text = self.text(salt);
        let speak = async |write: &mut tokio::io::WriteHalf<S>| {
            let mut rest = &text[..];
            for size in &self.says {
                let (chunk, after) = rest.split_at(*size);
                write.write_all(chunk).await.unwrap();
                rest = after;
                tokio::task::yield_now().await;
            }
            write.shutdown().await.unwrap();
        };
        let mut heard = Vec::new();
        let mut listen = async || {
            let mut some = vec![0; self.reads];
            loop {
                for _ in 0..self.waits {
                    tokio::task::yield_now().await;
                }
                match read.read(&mut some).await.unwrap() {
                    0 => break,
                    n => heard.extend_from_slice(&some[..n]),
                }
            }
        };
        if self.listens_first {
            listen().await;
            speak(&mut write).await;
        } else {
            tokio::join!(listen(), speak(&mut write));
        }
        heard
    }
}

fn part() -> impl Strategy<Value = Part> {
    let size = prop_oneof![1..100usize, 1000..40_000usize, 100_000..400_000usize];
    (prop::collection::vec(size, 0..8), prop_oneof![100..3000usize, Just(100_000)], 0..3usize)
        .prop_map(|(says, reads, waits)| Part { says, reads, waits, listens_first: false })
}

/// Plays both parts over a relay between streams of some kind. `before` is what had been read of the caller already.
async fn play<A, B>(
    parts: &[Part; 2],
    before: &[u8],
    (client, near): (impl AsyncRead + AsyncWrite + Unpin, A),
    (far, server): (B, impl AsyncRead + AsyncWrite + Unpin),
) where
    A: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let [caller, callee] = parts;
    let relaying = relaying(near, far, LONG);
    let (answer, question) = tokio::join!(caller.play(client, 0), callee.play(server, 100));
    assert!(question == [before, &caller.text(0)].concat(), "{} of the question", question.len());
    assert!(answer == callee.text(100), "{} of the answer", answer.len());
    let (relayed, ended) = relaying.await.unwrap();
    ended.unwrap();
    assert_eq!(relayed, Relayed { up: question.len() as u64, down: answer.len() as u64 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_byte_arrives_once_and_in_order_and_so_does_each_end(
        caller in part(),
        mut callee in part(),
        listens_first: bool,
        kind in 0..4,
        pipe in prop_oneof![700..3000usize, Just(100_000)],
        buffers in prop_oneof![Just(None), Just(Some(4 << 10)), Just(Some(40 << 10))],
    ) {
        callee.listens_first = listens_first;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let parts = [caller, callee];
            match kind {
                0 => play(&parts, b"", duplex(pipe), duplex(pipe)).await,
                // Bare sockets.
                1 => {
                    let (far, server) = sockets(buffers).await;
                    play(&parts, b"", sockets(buffers).await, (far, server)).await;
                }
                // One side is a socket, the other is none.
                2 => play(&parts, b"", sockets(buffers).await, duplex(pipe)).await,
                // The first bytes were looked at, twice.
                _ => {
                    let (client, near) = sockets(buffers).await;
                    let (far, server) = sockets(buffers).await;
                    let near = Prefixed::new(b"fir".as_slice().into(), Prefixed::new(b"st".as_slice().into(), near));
                    play(&parts, b"first", (client, near), (Prefixed::new(Bytes::new(), far), server)).await;
                }
            }
        });
    }
}
