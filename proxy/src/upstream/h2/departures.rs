//! How fast we take back what we have asked of a server.
//!
//! A client that leaves takes all of its requests with it: hundreds of resets in one moment, on a connection that
//! others share. Servers take resets of streams that they have not even looked at for an attack (CVE-2023-44487; hyper
//! bears 20 of them) and end the connection, everybody's. So beyond a few at once, what is taken back waits until the
//! server has proven that it has read the request: a PING goes out behind it, and frames are read in their order
//! (RFC 9113 §6.7 wants it answered with priority over any other frame). By the clock alone one cannot know: a server
//! that gets no processor finds requests and resets together, however far apart they were sent. Then it has
//! milliseconds, by the clock, to begin what it has read, for it may answer the PING before that.
//!
//! gRPC's servers count PINGs that come while they have nothing to say, and end the connection at the third
//! (`too_many_pings`). So after two in a row the clock has to do after all.
//!
//! Only streams wait, never the connection: nobody else notices.

use std::time::Duration;

use tokio::time::Instant;

/// Streams that have been given up, in their order. To drop one is to reset it.
#[derive(Debug)]
pub(super) struct Departures<T> {
    waiting: Vec<T>,
    /// How many more may leave without a question.
    left: u32,
    /// Questions since the server has last said something.
    in_a_row: u32,
    asked: Option<Question>,
}

/// A PING that has been sent, or a wait in place of one.
#[derive(Debug)]
struct Question {
    /// It was sent behind so many of those that wait.
    of: usize,
    /// Then it is enough, answered or not.
    until: Instant,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: nobody waits.
    Nothing,
    /// A PING is to be sent.
    Ask,
    /// Nothing before this moment, or an answer.
    Wait(Instant),
}

impl<T> Departures<T> {
    pub(super) const fn new() -> Self {
        Self { waiting: Vec::new(), left: AT_ONCE, in_a_row: 0, asked: None }
    }

    /// Whether nobody waits.
    pub(super) const fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_none()
    }

    /// This one is given up. It comes back where it may leave at once.
    pub(super) fn leave(&mut self, one: T) -> Option<T> {
        if self.waiting.is_empty()
            && let Some(left) = self.left.checked_sub(1)
        {
            self.left = left;
            return Some(one);
        }
        self.waiting.push(one);
        None
    }

    /// The server has answered a request.
    pub(super) const fn heard(&mut self) {
        self.in_a_row = 0;
    }

    /// The PING has been sent.
    pub(super) fn asked(&mut self, now: Instant) {
        self.in_a_row += 1;
        self.asked = Some(Question { of: self.waiting.len(), until: now + PATIENCE });
    }

    /// It has been answered.
    pub(super) fn answered(&mut self, now: Instant) {
        if let Some(asked) = &mut self.asked {
            asked.until = asked.until.min(now + BEGUN);
        }
    }

    /// Those that may leave `now`, and what is to be done for the others.
    pub(super) fn next(&mut self, now: Instant) -> (Vec<T>, Next) {
        let mut gone = Vec::new();
        if let Some(asked) = self.asked.take_if(|asked| asked.until <= now) {
            gone.extend(self.waiting.drain(..asked.of.min(self.waiting.len())));
            self.left = AT_ONCE;
        }
        let next = match &self.asked {
            Some(asked) => Next::Wait(asked.until),
            None if self.waiting.is_empty() => Next::Nothing,
            None if self.in_a_row < IN_A_ROW => Next::Ask,
            None => {
                let until = now + BEGUN;
                self.asked = Some(Question { of: self.waiting.len(), until });
                Next::Wait(until)
            }
        };
        (gone, next)
    }
}

/// Resets of streams that may not have been read and are nothing unusual: half of what the most sensitive server in
/// use bears.
const AT_ONCE: u32 = 10;
/// PINGs to which a server has said nothing else that we send at most.
const IN_A_ROW: u32 = 2;
/// How long a server may leave a PING unanswered before we go on as if it had not.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a server takes to begin with requests that it has read.
const BEGUN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What may leave now, and what comes next.
    fn next(departures: &mut Departures<u32>, now: Instant) -> (usize, Next) {
        let (gone, next) = departures.next(now);
        (gone.len(), next)
    }

    #[test]
    fn a_few_leave_at_once_and_the_rest_when_a_ping_behind_them_was_answered_and_a_moment_has_passed() {
        let begun = Instant::now();
        let mut departures = Departures::new();
        let left = (0..100).filter(|one| departures.leave(*one).is_some()).count();
        assert_eq!(left, 10);
        assert_eq!(next(&mut departures, begun), (0, Next::Ask));
        departures.asked(begun);
        // These came after the question: its answer says nothing of them.
        assert!((100..120).all(|one| departures.leave(one).is_none()));
        let late = begun + PATIENCE / 2;
        assert_eq!(
            next(&mut departures, late),
            (0, Next::Wait(begun + PATIENCE)),
            "a slow server is waited for"
        );
        departures.answered(late);
        assert_eq!(next(&mut departures, late), (0, Next::Wait(late + BEGUN)), "it has a moment to begin");
        assert_eq!(next(&mut departures, late + BEGUN), (90, Next::Ask));
    }

    #[test]
    fn a_server_that_does_not_answer_is_not_waited_for_long_nor_asked_more_than_twice_in_a_row() {
        let mut now = Instant::now();
        let mut departures = Departures::new();
        for turn in 0..5 {
            for one in 0..50 {
                _ = departures.leave(one);
            }
            let (_, asks) = next(&mut departures, now);
            let patience = if turn < 2 { PATIENCE } else { BEGUN };
            assert_eq!(asks == Next::Ask, turn < 2, "gRPC's servers bear two PINGs in a row");
            if asks == Next::Ask {
                departures.asked(now);
            }
            assert_eq!(next(&mut departures, now + patience / 2).0, 0);
            now += patience;
            assert_eq!(next(&mut departures, now), (40, Next::Nothing));
        }
        departures.heard();
        _ = (0..50).filter_map(|one| departures.leave(one)).count();
        assert_eq!(next(&mut departures, now).1, Next::Ask, "a server that has answered may be asked again");
    }

    proptest! {
        #[test]
        fn everybody_leaves_once_and_in_order(turns in prop::collection::vec((0usize..30, 0u64..1500, any::<bool>()), 0..30)) {
            let mut now = Instant::now();
            let (mut departures, mut came, mut left) = (Departures::new(), 0, Vec::new());
            for (some, wait, answers) in turns {
                for _ in 0..some {
                    left.extend(departures.leave(came));
                    came += 1;
                }
                now += Duration::from_millis(wait);
                if answers {
                    departures.answered(now);
                }
                let (gone, next) = departures.next(now);
                left.extend(gone);
                prop_assert_eq!(departures.is_idle(), next == Next::Nothing);
                if next == Next::Ask {
                    departures.asked(now);
                }
            }
            while !departures.is_idle() {
                now += PATIENCE;
                let (gone, next) = departures.next(now);
                left.extend(gone);
                if next == Next::Ask {
                    departures.asked(now);
                }
            }
            prop_assert_eq!(left, (0..came).collect::<Vec<_>>());
        }
    }
}
