//! When to leave an endpoint alone, and when to ask it again.

use std::time::Duration;

/// When a breaker opens and how it closes again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerConfig {
    /// Opens after so many failures in a row; 0 switches this off. Default 7.
    pub consecutive_failures: u32,
    /// Opens when the share of successes over `window` falls below this, 0.0–1.0; 0.0 switches it off (default).
    pub min_success_rate: f64,
    /// Over how long the share is taken. Default 10 s.
    pub window: Duration,
    /// How many results the window must hold before the share means anything. Default 10.
    pub min_requests: u32,
    /// How long it stays open the first time; doubles with each time in a row. Default 1 s.
    pub open_for: Duration,
    /// The longest it stays open. Default 60 s.
    pub max_open_for: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: 7,
            min_success_rate: 0.0,
            window: Duration::from_secs(10),
            min_requests: 10,
            open_for: Duration::from_secs(1),
            max_open_for: Duration::from_secs(60),
        }
    }
}
