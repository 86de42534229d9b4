//! Bytes both ways between two connections, with half-close: when one side has said all it has to say, the
//! other side hears that and may go on answering.
//!
//! Ends when both directions have ended, when either breaks, or when nothing has moved for the idle limit.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How many bytes went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relayed {
    /// From the caller to the callee.
    pub(crate) up: u64,
    /// And back.
    pub(crate) down: u64,
}

/// Relays until both sides are done. `idle` bounds the silence of both directions together.
///
/// # Errors
/// With what either side reported, or `TimedOut`. What was relayed before stands in `relayed`.
pub(crate) async fn relay<A, B>(a: &mut A, b: &mut B, idle: Duration, relayed: &mut Relayed) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut up = Direction::new();
    let mut down = Direction::new();
    let mut silence = Silence { limit: idle, timer: Box::pin(sleep(idle)), seen: 0 };
    poll_fn(|cx| {
        // Both directions are polled each time: neither may starve the other.
        let up_done = up.poll(cx, a, b)?;
        let down_done = down.poll(cx, b, a)?;
        relayed.up = up.moved;
        relayed.down = down.moved;
        match (up_done, down_done) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            _ => silence.poll(cx, up.moved + down.moved),
        }
    })
    .await
}

/// One way: a buffer that is filled from one side and emptied into the other.
struct Direction {
    /// Allocated with the first byte and given back when it is empty and nothing comes, so that an idle
    /// connection holds none.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    state: State,
    moved: u64,
    unflushed: bool,
}

enum State {
    Open,
    /// The reading side has ended; the writing side has yet to hear it.
    Ending,
    Done,
}

impl Direction {
    const fn new() -> Self {
        Self { buffer: Vec::new(), start: 0, end: 0, state: State::Open, moved: 0, unflushed: false }
    }

    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> io::Result<Poll<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if matches!(self.state, State::Done) {
                return Ok(Poll::Ready(()));
            }
            while self.start < self.end {
                let pending = self.buffer.get(self.start..self.end).unwrap_or_default();
                match Pin::new(&mut *to).poll_write(cx, pending)? {
                    Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(n) => {
                        self.start += n;
                        self.moved += n as u64;
                        self.unflushed = true;
                    }
                    Poll::Pending => return Ok(Poll::Pending),
                }
            }
            if matches!(self.state, State::Ending) {
                if Pin::new(&mut *to).poll_shutdown(cx)?.is_pending() {
                    return Ok(Poll::Pending);
                }
                self.state = State::Done;
                self.buffer = Vec::new();
                continue;
            }
            match self.fill(cx, from)? {
                Poll::Ready(0) => self.state = State::Ending,
                Poll::Ready(_) => {}
                Poll::Pending => {
                    if self.unflushed {
                        self.unflushed = Pin::new(&mut *to).poll_flush(cx)?.is_pending();
                    }
                    self.buffer = Vec::new();
                    return Ok(Poll::Pending);
                }
            }
        }
    }

    fn fill<R: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, from: &mut R) -> io::Result<Poll<usize>> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER];
        }
        let mut space = ReadBuf::new(&mut self.buffer);
        match Pin::new(from).poll_read(cx, &mut space)? {
            Poll::Ready(()) => {
                self.start = 0;
                self.end = space.filled().len();
                Ok(Poll::Ready(self.end))
            }
            Poll::Pending => Ok(Poll::Pending),
        }
    }
}

/// Ends a relay in which nothing moves. The timer is looked at when it fires, not reset with every byte.
struct Silence {
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    seen: u64,
}

impl Silence {
    fn poll(&mut self, cx: &mut Context<'_>, moved: u64) -> Poll<io::Result<()>> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if moved == self.seen {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.seen = moved;
            self.timer.as_mut().reset(Instant::now() + self.limit);
        }
    }
}

/// One TLS record and some: larger buffers cost memory and gain nothing on loopback or in a data centre.
const BUFFER: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_side_that_has_finished_still_hears_the_answer() {
        let (mut client, mut near) = duplex(16);
        let (mut far, mut server) = duplex(16);
        let relaying = tokio::spawn(async move {
            let mut relayed = Relayed::default();
            relay(&mut near, &mut far, LONG, &mut relayed).await.map(|()| relayed)
        });
        client.write_all(b"question that is longer than the pipe").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
        assert_eq!(relaying.await.unwrap().unwrap(), Relayed { up: 37, down: 6 });
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_traffic_does_not() {
        let (mut client, mut near) = duplex(16);
        let (mut far, mut server) = duplex(16);
        let relaying = tokio::spawn(async move {
            let mut relayed = Relayed::default();
            relay(&mut near, &mut far, Duration::from_secs(10), &mut relayed).await
        });
        for _ in 0..4 {
            sleep(Duration::from_secs(7)).await;
            client.write_all(b"x").await.unwrap();
            server.read_u8().await.unwrap();
        }
        assert!(!relaying.is_finished());
        let started = Instant::now();
        assert_eq!(relaying.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() <= Duration::from_secs(20));
    }
}
