//! The end of a relay in which nothing moves, or nothing moves one way that should.
//!
//! No byte resets a timer. While bytes move, the relay is looked at once a second: what moved since the last look
//! counts as having moved now, so an end may come a second late, never early. The first look after which nothing had
//! moved gives back what the directions hold, and from then on only the deadline is waited for.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::Direction;

/// How long a relay is waited for.
pub(super) struct Patience {
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    /// The timer stands for the next look, not for the deadline.
    looks: bool,
    /// When something was last seen to have moved, in either direction.
    moved_at: Instant,
    seen: [Seen; 2],
}

/// A direction at the last look.
#[derive(Default)]
struct Seen {
    touched: u64,
    /// Since when the same bytes have waited.
    waits_since: Option<Instant>,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            timer: Box::pin(sleep(limit)),
            looks: false,
            moved_at: Instant::now(),
            seen: Default::default(),
        }
    }

    /// Ready when it is spent. To be polled after every move.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        directions: &mut [&mut Direction; 2],
    ) -> Poll<io::Result<()>> {
        let moves = directions.iter().zip(&self.seen).any(|(now, seen)| touched(now) != seen.touched);
        if moves && !self.looks {
            self.looks = true;
            self.timer.as_mut().reset(Instant::now() + LOOK.min(self.limit));
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let next = self.look(Instant::now(), directions)?;
            self.timer.as_mut().reset(next);
        }
    }

    /// Says when to look next.
    fn look(&mut self, now: Instant, directions: &mut [&mut Direction; 2]) -> io::Result<Instant> {
        self.looks = false;
        for (direction, seen) in directions.iter().zip(&mut self.seen) {
            let moved = touched(direction) != seen.touched;
            self.looks |= moved;
            seen.touched = touched(direction);
            seen.waits_since = match seen.waits_since {
                _ if !direction.waits() => None,
                Some(since) if !moved => Some(since),
                _ => Some(now),
            };
        }
        if self.looks {
            self.moved_at = now;
        } else {
            directions.iter_mut().for_each(|direction| direction.rest());
        }
        let waiting = self.seen.iter().filter_map(|seen| seen.waits_since);
        let deadline = waiting.fold(self.moved_at, Instant::min) + self.limit;
        if now >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(if self.looks { deadline.min(now + LOOK) } else { deadline })
    }
}

/// Changes with everything that a direction does.
const fn touched(direction: &Direction) -> u64 {
    direction.taken.wrapping_add(direction.given)
}

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
