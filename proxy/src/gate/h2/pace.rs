//! How fast we take back what we have asked of a server.
//!
//! A client that leaves takes all of its requests with it: hundreds of resets in one moment, on a connection that
//! others share. Servers take resets of streams that they have not even looked at for an attack (CVE-2023-44487; hyper
//! bears 20 of them) and end the connection, everybody's. So beyond a few at once a reset waits until the server has
//! proven that it has read the request: a PING goes out behind it, and frames are read in their order (RFC 9113 §6.7
//! wants the answer with priority over any other frame). By the clock alone one cannot know: a server that gets no
//! processor finds requests and resets together, however far apart they were sent. Then it has milliseconds, by the
//! clock, to begin what it has read: it may answer the PING before that. Nothing is kept meanwhile: the connection's
//! output waits.
//!
//! gRPC's servers count PINGs that come while they have nothing to say, and end the connection at the third
//! (`too_many_pings`). So after two in a row the clock has to do after all.

use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::follow::{ACK, DATA, Follow, Frame, HEADERS, PING, RST_STREAM};

/// What we have sent on a connection to a server, and what it has read of that.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// The newest stream that we have opened.
    newest: u32,
    /// Streams up to this one have been read by the server.
    read: u32,
    /// Resets of streams that may not have been read that may still be sent.
    left: u32,
    /// PINGs, anybody's, that the server has not answered.
    unanswered: u32,
    /// PINGs of our own since the server has last said something.
    in_a_row: u32,
    asked: Option<Question>,
    /// Whoever waits for the answer.
    waiting: Option<Waker>,
}

/// A PING of our own, or a wait in place of one.
#[derive(Clone, Copy, Debug)]
struct Question {
    /// The newest stream when it began.
    newest: u32,
    /// Answers until it is this one's turn; [`NOBODY`] where it has been answered, or nothing was asked.
    ahead: u32,
    /// Then it is enough, answered or not.
    until: Instant,
}

/// Whether more may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// This many bytes, at least one.
    Write(usize),
    /// Nothing before the server has answered a PING that is yet to be sent.
    Ask,
    /// Nothing before this moment, which an answer brings nearer.
    Wait(Instant),
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { newest: 0, read: 0, left: AT_ONCE, unanswered: 0, in_a_row: 0, asked: None, waiting: None }
    }

    /// This has been sent.
    pub(super) const fn sent(&mut self, frame: Frame) {
        match frame.kind {
            HEADERS if frame.stream > self.newest => self.newest = frame.stream,
            RST_STREAM if frame.stream > self.read => self.left = self.left.saturating_sub(1),
            PING if !frame.has(ACK) => self.unanswered = self.unanswered.saturating_add(1),
            _ => {}
        }
    }

    /// A PING of our own has been sent.
    pub(super) fn asked(&mut self, now: Instant) {
        self.unanswered = self.unanswered.saturating_add(1);
        self.in_a_row += 1;
        self.asked = Some(Question { newest: self.newest, ahead: self.unanswered, until: now + PATIENCE });
    }

    /// The server has sent this.
    pub(super) fn received(&mut self, frame: Frame, now: Instant) {
        if matches!(frame.kind, HEADERS | DATA) {
            // What is answered has been begun, and so, nearly always, has all that was asked before it.
            self.read = self.read.max(frame.stream.min(self.newest));
            self.in_a_row = 0;
        }
        if frame.kind != PING || !frame.has(ACK) {
            return;
        }
        self.unanswered = self.unanswered.saturating_sub(1);
        let Some(asked) = &mut self.asked else { return };
        asked.ahead = asked.ahead.saturating_sub(1);
        if asked.ahead == 0 {
            (asked.ahead, asked.until) = (NOBODY, now + BEGUN);
            // The writer waits for another moment now.
            if let Some(waiting) = self.waiting.take() {
                waiting.wake();
            }
        }
    }

    /// Whoever is to be woken by the answer.
    pub(super) fn wait(&mut self, waker: &Waker) {
        self.waiting = Some(waker.clone());
    }

    /// Whether these bytes, which come next where `sent` stands, or how many of them, may be written now.
    pub(super) fn may_write(&mut self, sent: &Follow, bytes: &[u8], now: Instant) -> May {
        if let Some(asked) = self.asked.take_if(|asked| asked.until <= now) {
            (self.read, self.left) = (self.read.max(asked.newest), AT_ONCE);
        }
        match (self.until_held(sent, bytes), self.asked) {
            (0, _) if bytes.is_empty() => May::Write(0),
            (0, None) if self.in_a_row < IN_A_ROW => May::Ask,
            (0, None) => {
                let until = now + BEGUN;
                self.asked = Some(Question { newest: self.newest, ahead: NOBODY, until });
                May::Wait(until)
            }
            (0, Some(asked)) => May::Wait(asked.until),
            (some, _) => May::Write(some),
        }
    }

    /// How many bytes there are before a reset that has to wait.
    fn until_held(&self, sent: &Follow, bytes: &[u8]) -> usize {
        // A header that was cut in two is finished first; it is rare, and then this time everything goes.
        let Some(mut at) = sent.until_header() else { return bytes.len() };
        let mut left = self.left;
        while let Some(header) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            let frame = Frame::parse(*header);
            if frame.kind == RST_STREAM && frame.stream > self.read {
                match left.checked_sub(1) {
                    Some(fewer) => left = fewer,
                    None => return at,
                }
            }
            at += header.len() + frame.len as usize;
        }
        bytes.len()
    }
}

/// The PING that asks (RFC 9113 §6.7). Its eight bytes mean nothing: answers come in order, and are counted.
pub(super) const QUESTION: [u8; 17] =
    [0, 0, 8, PING, 0, 0, 0, 0, 0, b'w', b'e', b'f', b't', b'p', b'a', b'c', b'e'];

/// Resets of streams that may not have been read and are nothing unusual: half of what the most sensitive server in
/// use bears.
const AT_ONCE: u32 = 10;
/// How long a server may leave a PING unanswered before we go on as if it had not.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// PINGs to which a server has said nothing else that we send at most.
const IN_A_ROW: u32 = 2;
/// How long a server takes to begin with requests that it has read.
pub(super) const BEGUN: Duration = Duration::from_millis(20);
const NOBODY: u32 = u32::MAX;
