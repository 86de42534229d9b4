//! The rules of a Lease, without a clock and without an API server: what is seen when, and what that allows.

use std::time::Duration;

use tokio::time::Instant;

/// Who holds the Lease, as the API server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    /// Empty: nobody.
    pub(super) holder: String,
    /// When the holder says it has renewed it: never compared with a clock, only with itself.
    pub(super) renewed: String,
    /// How often it has changed hands.
    pub(super) turns: u32,
}

/// What a candidate does next. `turns` is what the Lease is then to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// It is somebody else's.
    Wait,
    /// It is nobody's.
    Take { turns: u32 },
    /// It is ours.
    Renew { turns: u32 },
}

/// One who would hold the Lease.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    name: String,
    /// The Lease, and when it was first seen to be so.
    seen: Option<(Seat, Instant)>,
    acts_until: Option<Instant>,
}

impl Candidate {
    /// Under a name that nobody else has.
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), seen: None, acts_until: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Who holds it, as far as is known.
    pub(super) fn holder(&self) -> Option<&str> {
        self.seen.as_ref().map(|(seat, _)| seat.holder.as_str()).filter(|holder| !holder.is_empty())
    }

    /// Until when we act, if nothing more is heard.
    pub(super) fn acts_until(&self) -> Option<Instant> {
        self.acts_until
    }

    /// The Lease is so; `None`: there is none.
    pub(super) fn sees(&mut self, seat: Option<Seat>, now: Instant) {
        if seat.as_ref().is_none_or(|seat| seat.holder != self.name) {
            self.acts_until = None;
        }
        match seat {
            None => self.seen = None,
            Some(seat) => {
                if self.seen.as_ref().is_none_or(|(before, _)| *before != seat) {
                    self.seen = Some((seat, now));
                }
            }
        }
    }

    pub(super) fn next_move(&self, now: Instant) -> Move {
        let Some((seat, since)) = &self.seen else { return Move::Take { turns: 0 } };
        if seat.holder == self.name {
            return Move::Renew { turns: seat.turns };
        }
        if seat.holder.is_empty() || now.saturating_duration_since(*since) >= LASTS {
            return Move::Take { turns: seat.turns.saturating_add(1) };
        }
        Move::Wait
    }

    /// What was written by a request that began then holds.
    pub(super) fn holds(&mut self, seat: Seat, began: Instant) {
        self.acts_until = Some(began + ACTS);
        self.seen = Some((seat, began));
    }

    /// Somebody else has written it.
    pub(super) fn is_beaten(&mut self) {
        self.acts_until = None;
    }
}

/// How long after its last change another may take it.
pub(super) const LASTS: Duration = Duration::from_secs(10);
/// How long after the beginning of its last renewal the holder acts. What it begins then is over [`super::MOMENT`] later,
/// which is before [`LASTS`].
pub(super) const ACTS: Duration = Duration::from_secs(6);
/// How often it is looked at and renewed. With [`LASTS`] it gives the longest time without anybody: 12 seconds, and
/// what the requests take.
pub(super) const EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
