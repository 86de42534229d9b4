//! From single answers to a judgement: how many in a row it takes to change one's mind, and when to ask next.

use std::time::{Duration, Instant};

use weft_policy::health::HealthCheck;

/// How many equal answers in a row change the judgement; at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Good ones, for a sick application.
    pub healthy: u32,
    /// Bad ones, for a well application.
    pub unhealthy: u32,
}

impl From<&HealthCheck> for Thresholds {
    fn from(check: &HealthCheck) -> Self {
        Self { healthy: check.healthy_threshold.max(1), unhealthy: check.unhealthy_threshold.max(1) }
    }
}

/// What is thought of one check. The first answer decides alone, since there is nothing it contradicts: an
/// application that has just started is called as soon as it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judge {
    thresholds: Thresholds,
    well: Option<bool>,
    /// Answers in a row that contradict `well`.
    against: u32,
    due: Instant,
}

impl Judge {
    /// Nothing is known, and the first check is due at once.
    #[must_use]
    pub const fn new(thresholds: Thresholds, now: Instant) -> Self {
        Self { thresholds, well: None, against: 0, due: now }
    }

    /// When to ask next.
    #[must_use]
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Takes an answer and says what is thought now. The next question is one `interval` after this one was due, so that
    /// slow answers do not stretch it, but never in the past: what was missed is not made up for.
    pub fn record(&mut self, good: bool, now: Instant, interval: Duration) -> Option<bool> {
        // A whole interval of zero would ask without a pause.
        let interval = interval.max(SHORTEST_INTERVAL);
        let next = self.due.checked_add(interval).unwrap_or(now);
        self.due = if next > now { next } else { now.checked_add(interval).unwrap_or(now) };

        match self.well {
            None => self.well = Some(good),
            Some(well) if well == good => self.against = 0,
            Some(well) => {
                self.against = self.against.saturating_add(1);
                let enough = if well { self.thresholds.unhealthy } else { self.thresholds.healthy };
                if self.against >= enough {
                    self.well = Some(good);
                    self.against = 0;
                }
            }
        }
        self.well
    }
}

const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
