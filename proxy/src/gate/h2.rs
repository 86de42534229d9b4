//! The guard of HTTP/2: sits beneath hyper, follows the frame headers of both directions, and ends a connection whose
//! peer spends our time on frames that carry nothing.
//!
//! The HTTP/2 library answers every PING, SETTINGS and PRIORITY there is: memory stays bounded, work does not
//! (CVE-2019-9512 and its kin). So bytes are looked at on their way, without being copied or held: [`follow`] finds
//! the frame headers, [`counter`] holds an allowance per kind of frame, and both are pure. Here is only what needs a
//! socket: the peer is told GOAWAY (RFC 9113 §6.8, mostly `ENHANCE_YOUR_CALM`) as soon as our own output stands between
//! two frames, and then the connection ends with an error. Whoever serves the connection lends the guard to hyper, asks
//! it afterwards which rule was broken, and has it close the connection so that the goodbye arrives.

mod ages;
mod counter;
mod follow;
mod limits;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::Reason;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, timeout};

use counter::{Counter, Rule};
use follow::Follow;
pub(crate) use limits::{LARGE_FRAME, Limits, STREAM_WINDOW};

/// A connection whose frames are counted.
#[derive(Debug)]
pub(crate) struct Guard<I> {
    io: I,
    received: Follow,
    sent: Follow,
    counter: Counter,
    turn: Turn,
    broken: Option<Rule>,
    ending: Option<Ending>,
}

/// How much a peer has us do before others on the same worker get their turn. A read gives hundreds of the smallest
/// frames, each of which costs as much as a large one.
#[derive(Debug, Default)]
struct Turn {
    /// Frames read in it.
    frames: u32,
    /// There were too many in the last one.
    is_crowded: bool,
}

impl Turn {
    /// Ready while it lasts; at its end pending once.
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        match std::mem::take(&mut self.frames) {
            0 => return Poll::Ready(()),
            frames => self.is_crowded = frames > TURN,
        }
        if !self.is_crowded {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A connection that is being ended.
#[derive(Debug)]
struct Ending {
    goodbye: [u8; GOODBYE],
    said: usize,
    /// A peer that reads nothing is not waited for longer than this.
    patience: Pin<Box<Sleep>>,
}

impl<I> Guard<I> {
    /// Around a connection that a client has opened to us.
    pub(crate) fn of_client(io: I, limits: &'static Limits) -> Self {
        Self::new(io, Follow::after_preface(), Follow::default(), limits)
    }

    /// Around a connection that we have opened to a server.
    pub(crate) fn of_server(io: I, limits: &'static Limits) -> Self {
        Self::new(io, Follow::default(), Follow::after_preface(), limits)
    }

    fn new(io: I, received: Follow, sent: Follow, limits: &'static Limits) -> Self {
        let counter = Counter::new(limits, Instant::now());
        Self { io, received, sent, counter, turn: Turn::default(), broken: None, ending: None }
    }

    /// The rule that ended the connection, one of a closed set: ours, or the HTTP/2 library's by its error code
    /// (RFC 9113 §7). `None` where it ended for another reason than what the peer sent.
    pub(crate) fn rule_broken(&self, served: &Result<(), hyper::Error>) -> Option<&'static str> {
        if let Some(rule) = self.broken {
            return Some(rule.name());
        }
        let error = served.as_ref().err()?;
        let error = std::error::Error::source(error)?.downcast_ref::<h2::Error>()?;
        if !error.is_library() {
            return None;
        }
        Some(match error.reason()? {
            Reason::PROTOCOL_ERROR => "protocol_error",
            Reason::FLOW_CONTROL_ERROR => "flow_control_error",
            Reason::STREAM_CLOSED => "stream_closed",
            Reason::FRAME_SIZE_ERROR => "frame_size_error",
            Reason::COMPRESSION_ERROR => "compression_error",
            Reason::ENHANCE_YOUR_CALM => "enhance_your_calm",
            Reason::NO_ERROR | Reason::CANCEL => return None,
            _ => "other_error",
        })
    }

    /// Counts what has been read.
    fn count(&mut self, bytes: &[u8]) -> Result<(), Rule> {
        self.counter.tick(Instant::now());
        self.received.bytes(bytes, |frame| {
            self.turn.frames += 1;
            self.counter.received(frame)
        })
    }

    /// Notes what has been written.
    fn note(&mut self, bytes: &[u8]) {
        let noted: Result<(), std::convert::Infallible> = self.sent.bytes(bytes, |frame| {
            self.counter.sent(frame);
            Ok(())
        });
        noted.unwrap_or_else(|never| match never {});
    }

    fn end(&mut self, rule: Rule) {
        tracing::debug!(rule = rule.name(), "ending an HTTP/2 connection for what its peer sends");
        self.broken = Some(rule);
        self.ending = Some(Ending {
            goodbye: goodbye(self.counter.newest_stream(), rule.code()),
            said: 0,
            patience: Box::pin(tokio::time::sleep(PATIENCE)),
        });
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Guard<I> {
    /// Closes a connection that has failed. To close a socket in which something unread lies is to reset it, and a
    /// reset overtakes what was said last: so our half is closed, and what still comes is thrown away for a moment.
    pub(crate) async fn close(&mut self) {
        let io = &mut self.io;
        // On the heap: few connections come to this, and all would carry the room for it.
        let lingering = Box::pin(async {
            let (mut left, mut nowhere) = (LINGER_BYTES, [0; 4096]);
            if io.shutdown().await.is_err() {
                return;
            }
            while left > 0
                && let Ok(read @ 1..) = io.read(&mut nowhere).await
            {
                left = left.saturating_sub(read);
            }
        });
        // However it ends, it ends.
        let _ = timeout(LINGER, lingering).await;
    }
}

impl<I: AsyncRead + Unpin> Guard<I> {
    /// Reads, of a peer that sends many small frames only a little at a time.
    fn poll_some(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.turn.is_crowded {
            return Pin::new(&mut self.io).poll_read(cx, into);
        }
        let little = into.remaining().min(CROWDED_READ);
        let mut little = ReadBuf::new(into.initialize_unfilled_to(little));
        let read = Pin::new(&mut self.io).poll_read(cx, &mut little);
        let n = little.filled().len();
        into.advance(n);
        read
    }
}

impl<I: AsyncWrite + Unpin> Guard<I> {
    /// Says GOAWAY where that is possible, and then what the reader and the writer above are told: an error.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(ending) = &mut self.ending else { return Poll::Pending };
        if ending.patience.as_mut().poll(cx).is_ready() {
            return Poll::Ready(refusal());
        }
        // In the midst of a frame of ours: what is left of it is still to be written, by whoever began it.
        if !self.sent.is_between_frames() {
            return Poll::Pending;
        }
        while let Some(rest) = ending.goodbye.get(ending.said..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest)) {
                Ok(0) | Err(_) => return Poll::Ready(refusal()),
                Ok(n) => ending.said += n,
            }
        }
        // Whether or not it went out: there is nothing more to be said.
        let _ = ready!(Pin::new(&mut self.io).poll_flush(cx));
        Poll::Ready(refusal())
    }

    /// What is left of the frame that is being written, and nothing after it.
    fn poll_last_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let last = bytes.get(..self.sent.until_between_frames(bytes)).unwrap_or(bytes);
        if last.is_empty() {
            return self.poll_end(cx).map(Err);
        }
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, last))?;
        self.note(last.get(..written).unwrap_or(last));
        Poll::Ready(Ok(written))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ending.is_some() {
            return self.poll_end(cx).map(Err);
        }
        ready!(self.turn.poll(cx));
        let before = into.filled().len();
        ready!(self.poll_some(cx, into))?;
        let new = into.filled().get(before..).unwrap_or_default();
        if new.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if let Err(rule) = self.count(new) {
            into.set_filled(before);
            self.end(rule);
            return self.poll_end(cx).map(Err);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guard<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.ending.is_some() {
            return self.poll_last_write(cx, bytes);
        }
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.note(bytes.get(..written).unwrap_or(bytes));
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.ending.is_some() {
            let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
            return self.poll_last_write(cx, first);
        }
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        let mut left = written;
        for buf in bufs {
            let of_it = buf.get(..left.min(buf.len())).unwrap_or_default();
            self.note(of_it);
            left -= of_it.len();
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ending.is_some() && self.sent.is_between_frames() {
            return self.poll_end(cx).map(Err);
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// GOAWAY (RFC 9113 §6.8): the newest stream we have seen, and an error code.
fn goodbye(newest: u32, code: u8) -> [u8; GOODBYE] {
    let [a, b, c, d] = newest.to_be_bytes();
    [0, 0, 8, follow::GOAWAY, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, code]
}

/// What hyper is told. The reason stays here: errors of connections lose what they carry on their way up.
fn refusal() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the peer has broken a rule of HTTP/2")
}

/// A frame header and two numbers.
const GOODBYE: usize = 17;
/// Frames of one peer that are looked at in one go.
const TURN: u32 = 64;
/// What is read at once of a peer that sends more of them: no more than twice as many.
const CROWDED_READ: usize = 1 << 10;
/// How long a peer that does not read may keep us from saying goodbye.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a peer may take to read our goodbye, and how much it may still send in that time.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 256 << 10;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
