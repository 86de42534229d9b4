//! A point in time as an argument: nanoseconds since a start that the caller chose.
//!
//! Not `std::time::Instant`, because a number can be stored in an atomic, written in a test and replayed in a
//! simulation, and because nobody can make one by asking a clock.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Nanoseconds since the caller's own start. Monotonic, never wall-clock time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The caller's start.
    pub const START: Self = Self(0);

    /// The moment that lies `elapsed` after the start. Saturates after 584 years.
    #[must_use]
    pub fn after_start(elapsed: Duration) -> Self {
        Self(nanos(elapsed))
    }

    /// Restores a moment from [`Moment::as_nanos`].
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start, for storage in an atomic.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    /// Saturates at the start: nothing here is older than the process.
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(by)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
