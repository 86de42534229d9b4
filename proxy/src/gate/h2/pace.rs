//! How fast we take back what we have asked of a server.
//!
//! A client that leaves takes all of its requests with it: hundreds of resets in one moment, on a connection that
//! others share. Servers take resets of streams that they have not even looked at for an attack (CVE-2023-44487; hyper
//! bears 20 of them) and end the connection, everybody's. So beyond a few at once a reset waits until its stream is old
//! enough to have been looked at. Nothing is kept for that: the connection's output waits, for milliseconds.

use std::time::Duration;

use tokio::time::Instant;

use super::ages::Ages;
use super::follow::{Follow, Frame, HEADERS, RST_STREAM};

/// What we have sent on a connection to a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    streams: Ages,
    /// Resets of young streams that may still be sent in this moment.
    left: u32,
    since: Instant,
}

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        Self { streams: Ages::new(LOOKED_AT, now), left: AT_ONCE, since: now }
    }

    /// It is `now`.
    pub(super) fn tick(&mut self, now: Instant) {
        self.streams.tick(now);
        if now.duration_since(self.since) >= 2 * LOOKED_AT {
            (self.left, self.since) = (AT_ONCE, now);
        }
    }

    /// This is sent, if it may be now.
    pub(super) fn send(&mut self, frame: Frame) -> bool {
        match frame.kind {
            HEADERS => _ = self.streams.open(frame.stream),
            RST_STREAM if self.streams.is_young(frame.stream) => match self.left.checked_sub(1) {
                Some(left) => self.left = left,
                None => return false,
            },
            _ => {}
        }
        true
    }

    /// How many of these bytes, which come next where `sent` stands, may be written now. Nothing is sent by asking.
    pub(super) fn may_write(mut self, sent: &Follow, bytes: &[u8]) -> usize {
        // A header that was cut in two is finished first; it is rare, and then this time everything goes.
        let Some(mut at) = sent.until_header() else { return bytes.len() };
        while let Some(header) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            let frame = Frame::parse(*header);
            if !self.send(frame) {
                return at;
            }
            at += header.len() + frame.len as usize;
        }
        bytes.len()
    }
}

/// How old a stream must be before a reset of it goes out at any rate, or at most twice that.
pub(super) const LOOKED_AT: Duration = Duration::from_millis(10);
/// Resets of younger streams that are nothing unusual: half of what the most sensitive server in use bears.
const AT_ONCE: u32 = 10;
