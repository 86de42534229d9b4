//! Which streams are young, without a table: ids only go up, so marks on their way tell.

use std::time::Duration;

use tokio::time::Instant;

/// Which streams of a connection are young.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ages {
    young: Duration,
    newest: u32,
    /// The newest when `since` was.
    marked: u32,
    /// The newest one mark earlier: this and all before it are not young.
    old: u32,
    since: Instant,
    seen: Instant,
}

impl Ages {
    /// Streams of less age than `young`, or at most twice it, are.
    pub(super) const fn new(young: Duration, now: Instant) -> Self {
        Self { young, newest: 0, marked: 0, old: 0, since: now, seen: now }
    }

    /// It is `now`.
    pub(super) fn tick(&mut self, now: Instant) {
        if now.duration_since(self.seen) >= self.young {
            (self.old, self.marked, self.since) = (self.newest, self.newest, now);
        } else if now.duration_since(self.since) >= self.young {
            (self.old, self.marked, self.since) = (self.marked, self.newest, now);
        }
        self.seen = now;
    }

    /// Whether this opens a stream.
    pub(super) const fn open(&mut self, stream: u32) -> bool {
        let opens = stream > self.newest;
        if opens {
            self.newest = stream;
        }
        opens
    }

    /// Whether this one is young.
    pub(super) const fn is_young(&self, stream: u32) -> bool {
        stream > self.old
    }

    /// The highest that was opened.
    pub(super) const fn newest(&self) -> u32 {
        self.newest
    }
}
