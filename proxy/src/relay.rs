//! Bytes both ways between two connections, with half-close: when one side has said all it has to say, the
//! other side hears that and may go on answering.
//!
//! Ends when both directions have ended, when either breaks, when nothing has moved for the idle limit, or when
//! one direction has waited that long for its reader.
//!
//! A direction begins by copying ([`copy`]). Where both sides are bare sockets and much moves, the kernel moves it
//! without showing it to us ([`splice`]). Either way it holds at most 256 KiB, and nothing once nothing has moved for a
//! second.

mod copy;
mod splice;
mod bare;
mod patience;

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use bare::socket;
use copy::Buffer;
use patience::Patience;
use splice::Pipe;

/// How many bytes went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relayed {
    /// From the caller to the callee.
    pub(crate) up: u64,
    /// And back.
    pub(crate) down: u64,
}

/// Relays until both sides are done. `idle` bounds the silence of both directions together, and how long either
/// may wait for a reader that does not read.
///
/// # Errors
/// With what either side reported, or `TimedOut`. What was relayed before stands in `relayed`.
pub(crate) async fn relay<A, B>(a: &mut A, b: &mut B, idle: Duration, relayed: &mut Relayed) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin + 'static,
    B: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut up = Direction::default();
    let mut down = Direction::default();
    let mut patience = Patience::new(idle);
    poll_fn(|cx| {
        // Both directions are polled each time: neither may starve the other.
        let up_done = up.poll(cx, a, b);
        let down_done = down.poll(cx, b, a);
        relayed.up = up.given;
        relayed.down = down.given;
        match (up_done?, down_done?) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            _ => patience.poll(cx, &mut [&mut up, &mut down]),
        }
    })
    .await
}

/// One way.
#[derive(Default)]
struct Direction {
    means: Means,
    state: State,
    /// Bytes that its reader has given.
    taken: u64,
    /// Bytes that its writer has taken.
    given: u64,
    /// What `taken` was when it last held nothing.
    rested_at: u64,
    /// The writer may still keep some of it to itself.
    unflushed: bool,
}

/// How bytes get from one side to the other.
enum Means {
    Copy(Buffer),
    Splice(Pipe),
    /// The kernel has refused to do it.
    OnlyCopy(Buffer),
}

impl Default for Means {
    fn default() -> Self {
        Self::Copy(Buffer::default())
    }
}

#[derive(Default)]
enum State {
    #[default]
    Open,
    /// The reading side has ended, or broken with an error. What came before that is still the other side's.
    Ending(Option<io::Error>),
    Done,
}

impl Direction {
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> io::Result<Poll<()>>
    where
        R: AsyncRead + Unpin + 'static,
        W: AsyncWrite + Unpin + 'static,
    {
        let turn_ends = self.taken.saturating_add(TURN);
        loop {
            if self.empty(cx, to)?.is_pending() {
                return Ok(Poll::Pending);
            }
            match self.state {
                State::Open => {}
                State::Ending(_) => {
                    if self.end(cx, to)?.is_pending() {
                        return Ok(Poll::Pending);
                    }
                    continue;
                }
                State::Done => return Ok(Poll::Ready(())),
            }
            if self.taken >= turn_ends {
                // The thread's other connections have waited long enough.
                cx.waker().wake_by_ref();
                return Ok(Poll::Pending);
            }
            self.speed_up(from, to);
            if !self.fill(cx, from) {
                if self.unflushed {
                    self.unflushed = Pin::new(&mut *to).poll_flush(cx)?.is_pending();
                }
                return Ok(Poll::Pending);
            }
        }
    }

    /// Writes all that is held.
    fn empty<W>(&mut self, cx: &mut Context<'_>, to: &mut W) -> io::Result<Poll<()>>
    where
        W: AsyncWrite + Unpin + 'static,
    {
        while self.taken > self.given {
            let wrote = match &mut self.means {
                Means::Copy(buffer) | Means::OnlyCopy(buffer) => buffer.write(cx, to),
                Means::Splice(pipe) => match socket(to).map(|to| pipe.write(cx, to)) {
                    Some(Poll::Ready(Err(error))) if splice::is_refusal(&error) => {
                        self.means = Means::OnlyCopy(Buffer::holding(pipe.take_back()?));
                        continue;
                    }
                    Some(wrote) => wrote,
                    None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
                },
            };
            match wrote? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(n) => {
                    self.given += n as u64;
                    self.unflushed = true;
                }
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Takes what there is, as much as can be held. Says whether anything came, the end included.
    fn fill<R>(&mut self, cx: &mut Context<'_>, from: &mut R) -> bool
    where
        R: AsyncRead + Unpin + 'static,
    {
        let before = self.taken;
        loop {
            let (read, is_full) = match &mut self.means {
                Means::Copy(buffer) | Means::OnlyCopy(buffer) => {
                    let read = buffer.read(cx, from);
                    (read, buffer.is_full())
                }
                Means::Splice(pipe) => match socket(from).map(|from| pipe.read(cx, from)) {
                    Some(Poll::Ready(Err(error))) if splice::is_refusal(&error) => {
                        self.means = Means::OnlyCopy(Buffer::default());
                        continue;
                    }
                    Some(read) => (read, true),
                    None => (Poll::Ready(Err(io::ErrorKind::Unsupported.into())), false),
                },
            };
            match read {
                Poll::Ready(Ok(0)) => self.state = State::Ending(None),
                Poll::Ready(Err(error)) => self.state = State::Ending(Some(error)),
                Poll::Ready(Ok(n)) => {
                    self.taken += n as u64;
                    // One large write costs less than a few small ones.
                    if !is_full {
                        continue;
                    }
                }
                Poll::Pending => {
                    if self.taken == self.rested_at {
                        // It never began, or has rested: nobody will look after it to have its buffer back.
                        self.rest();
                    }
                    return self.taken > before;
                }
            }
            return true;
        }
    }

    /// Tells the writing side that nothing more comes.
    fn end<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> io::Result<Poll<()>> {
        if mem::take(&mut self.unflushed) {
            self.unflushed = Pin::new(&mut *to).poll_flush(cx)?.is_pending();
        }
        if self.unflushed {
            return Ok(Poll::Pending);
        }
        if let State::Ending(Some(_)) = self.state
            && let State::Ending(Some(error)) = mem::replace(&mut self.state, State::Done)
        {
            return Err(error);
        }
        if Pin::new(to).poll_shutdown(cx)?.is_pending() {
            return Ok(Poll::Pending);
        }
        self.state = State::Done;
        self.means = Means::default();
        Ok(Poll::Ready(()))
    }

    /// Leaves the moving to the kernel, where it can do it and there is enough of it.
    fn speed_up<R: 'static, W: 'static>(&mut self, from: &R, to: &W) {
        if matches!(self.means, Means::Copy(_))
            && self.taken - self.rested_at >= BULK
            && socket(from).is_some()
            && socket(to).is_some()
        {
            // Out of descriptors, most likely. Copying needs none.
            self.means = Pipe::new().map_or(Means::OnlyCopy(Buffer::default()), Means::Splice);
        }
    }

    /// Whether it has something that its writer has yet to take.
    const fn waits(&self) -> bool {
        self.taken > self.given || self.unflushed || matches!(self.state, State::Ending(_))
    }

    /// Gives back what it holds but bytes.
    fn rest(&mut self) {
        if self.taken > self.given {
            return;
        }
        self.rested_at = self.taken;
        self.means = match self.means {
            Means::OnlyCopy(_) => Means::OnlyCopy(Buffer::default()),
            Means::Copy(_) | Means::Splice(_) => Means::default(),
        };
    }
}

/// What a direction may move before the thread's other connections have their turn: a millisecond's work where it is
/// encrypted.
const TURN: u64 = 256 << 10;
/// What a direction has copied before a pipe is worth its two descriptors.
const BULK: u64 = 256 << 10;

#[cfg(test)]
mod tests;
