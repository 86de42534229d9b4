//! When changes go out. The first after a pause goes at once; while they keep coming they are gathered, the
//! longer the busier, up to a limit. What tightens security never waits.
//!
//! A fixed delay would make every single change slow in order to make floods cheap.

use std::time::Duration;

use tokio::time::Instant;

/// Decides when to publish. Knows no clock: it is told the time.
#[derive(Debug)]
pub struct Pace {
    longest: Duration,
    gap: Duration,
    /// When something was last published.
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Pace {
    /// The shortest time for which changes are gathered.
    pub const SHORTEST: Duration = Duration::from_millis(5);
    /// What it takes to tell one proxy of a change and to hear that it has it, on both sides of a small machine.
    pub const SAYING: Duration = Duration::from_micros(100);
    /// However many there are, a change goes out within this.
    pub const LONGEST_SAYING: Duration = Duration::from_millis(500);

    /// A pace that never gathers for longer than `longest`.
    #[must_use]
    pub fn new(longest: Duration) -> Self {
        Self { longest: longest.max(Self::SHORTEST), gap: Self::SHORTEST, last: None, due: None }
    }

    /// Something changed at `now`. Returns when it is to be published.
    pub fn changed(&mut self, now: Instant, urgent: bool) -> Instant {
        let calm =
            self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.longest.max(self.gap));
        if calm {
            self.gap = Self::SHORTEST;
        }
        let wished = match self.last {
            _ if urgent || calm => now,
            None => now,
            Some(last) => (last + self.gap).max(now),
        };
        let due = self.due.map_or(wished, |due| due.min(wished));
        self.due = Some(due);
        due
    }

    /// Everything was published at `now`, it took `spent`, and `woken` streams have something to say to their proxies: a
    /// large mesh is given more room between two rounds, so that publishing takes at most a quarter of the time. Where
    /// thousands are woken at once, as after a restart, saying it takes longer than gathering may; then the next round
    /// waits for that, or else what it says would only stand in line.
    pub fn published(&mut self, now: Instant, spent: Duration, woken: usize) {
        self.last = Some(now);
        self.due = None;
        let saying =
            Self::SAYING.saturating_mul(u32::try_from(woken).unwrap_or(u32::MAX)).min(Self::LONGEST_SAYING);
        let gathering = (self.gap * 2).max(spent * 3).clamp(Self::SHORTEST, self.longest);
        self.gap = gathering.max(saying);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_change_goes_at_once_and_a_flood_is_gathered_ever_longer_up_to_the_limit() {
        let t0 = Instant::now();
        let mut pace = Pace::new(Duration::from_millis(100));
        assert_eq!(pace.changed(t0, false), t0);
        let mut now = t0;
        let mut gaps = Vec::new();
        for _ in 0..7 {
            pace.published(now, Duration::from_micros(300), 3);
            let due = pace.changed(now + Duration::from_millis(1), false);
            gaps.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(gaps, [10, 20, 40, 80, 100, 100, 100]);
        pace.published(now, Duration::ZERO, 0);
        let later = now + Duration::from_secs(1);
        assert_eq!(pace.changed(later, false), later, "after a pause there is nothing to gather");
    }

    #[test]
    fn a_tightening_does_not_wait_for_what_is_being_gathered() {
        let t0 = Instant::now();
        let mut pace = Pace::new(Duration::from_millis(100));
        pace.changed(t0, false);
        pace.published(t0, Duration::from_millis(30), 1);
        let soon = t0 + Duration::from_millis(1);
        assert_eq!(pace.changed(soon, false), t0 + Duration::from_millis(90));
        assert_eq!(pace.changed(soon, true), soon);
        assert_eq!(pace.changed(soon, false), soon, "and it takes the rest along");
    }
    #[test]
    fn where_thousands_have_to_be_told_the_next_round_waits_for_that_and_no_longer_than_half_a_second() {
        for (woken, gap) in [(10, 10), (900, 90), (4000, 400), (10_000, 500), (usize::MAX, 500)] {
            let t0 = Instant::now();
            let mut pace = Pace::new(Duration::from_millis(100));
            pace.published(t0, Duration::ZERO, woken);
            assert_eq!(pace.changed(t0, false) - t0, Duration::from_millis(gap), "{woken}");
            assert_eq!(pace.changed(t0, true), t0, "but not what is urgent");
        }
    }
}
