//! How many retries there may be in all: a share of the requests, and a few a second whatever the share.
//!
//! A retry policy is per request; when a backend fails for everybody, the policies of all requests together
//! multiply the load on it. The budget bounds the product (fault catalogue D7: at most 1.2 times the offered
//! load).

use crate::moment::Moment;
use crate::window::{Slice, Window};

use super::BudgetConfig;

/// What has been spent, for one backend. Shared by all workers, without a lock.
///
/// Invariant: retries over any `window` that ends with a retry are at most `percent` of the requests in it plus
/// `min_per_second` × `window`. Requests are remembered for a slice less than the window and retries for a slice
/// more, so that rounding to slices cannot break it; where threads race for the last retry, none may get it.
#[derive(Debug, Default)]
pub struct Budget {
    requests: Window<SLICES>,
    retries: Window<{ SLICES + 1 }>,
}

impl Budget {
    /// Counts a request, at its first try.
    pub fn record_request(&self, config: &BudgetConfig, now: Moment) {
        self.requests.add(slice(config, now));
    }

    /// Whether one more retry may be made; it counts as made.
    #[must_use]
    pub fn try_spend(&self, config: &BudgetConfig, now: Moment) -> bool {
        let slice = slice(config, now);
        // Counted first and looked at then, so that two threads cannot both take the last one.
        self.retries.add(slice);
        let within = self.spent(slice) <= self.allowed(config, slice);
        if !within {
            self.retries.take_back(slice);
        }
        within
    }

    /// Retries made over the window, and how many there may be, for tables and metrics.
    #[must_use]
    pub fn used(&self, config: &BudgetConfig, now: Moment) -> (u64, u64) {
        let slice = slice(config, now);
        (self.spent(slice), self.allowed(config, slice))
    }

    fn spent(&self, slice: Slice) -> u64 {
        self.retries.sum(slice, SLICES as i32 + 1)
    }

    fn allowed(&self, config: &BudgetConfig, slice: Slice) -> u64 {
        let requests = self.requests.sum(slice, SLICES as i32);
        let share = requests.saturating_mul(u64::from(config.percent)) / 100;
        let window = u64::try_from(config.window.as_millis()).unwrap_or(u64::MAX);
        let floor = u64::from(config.min_per_second).saturating_mul(window) / 1000;
        share.saturating_add(floor)
    }
}

fn slice(config: &BudgetConfig, now: Moment) -> Slice {
    Slice::at(now, config.window / SLICES as u32)
}

/// The window's resolution.
const SLICES: usize = 10;
