//! Whether to try again, and when.
//!
//! The default retries only what is proven unprocessed: the connection could not be opened, or the peer said
//! it had not looked at the stream (REFUSED_STREAM, a GOAWAY below its id). A status, a gRPC code, a reset or
//! a per-try timeout says nothing of the kind, so each is retried only where the policy names it, and for a
//! method that is not idempotent only where the policy names that too (`non_idempotent`).

use std::time::Duration;

/// When to try again. `attempts` counts retries, not tries (Gateway API GEP-1731).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Retries beyond the first try; 0 switches retries off. Default 2.
    pub attempts: u32,
    /// Response statuses 400–599 worth another try, sorted. Default none.
    pub statuses: Vec<u16>,
    /// gRPC codes worth another try, sorted. Default none.
    pub grpc_codes: Vec<u8>,
    /// Whether a try that ran into its own timeout is worth another. Default no.
    pub on_timeout: bool,
    /// Whether a connection lost before any response byte is worth another try. Default no.
    pub on_reset: bool,
    /// Whether a request whose method is not idempotent (RFC 9110 §9.2.2) may be sent again after it may have
    /// been processed. Default no.
    pub non_idempotent: bool,
    /// The wait before the first retry; it doubles for each further one. Default 25 ms.
    pub backoff: Duration,
    /// The longest wait. Default 1 s.
    pub max_backoff: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 2,
            statuses: Vec::new(),
            grpc_codes: Vec::new(),
            on_timeout: false,
            on_reset: false,
            non_idempotent: false,
            backoff: Duration::from_millis(25),
            max_backoff: Duration::from_secs(1),
        }
    }
}

/// How many retries there may be beside first tries, so that retries cannot become the outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetConfig {
    /// Retries as a share of requests, in percent. Default 20.
    pub percent: u32,
    /// Retries per second allowed whatever the share. Default 10.
    pub min_per_second: u32,
    /// Over how long requests are remembered. Default 10 s.
    pub window: Duration,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { percent: 20, min_per_second: 10, window: Duration::from_secs(10) }
    }
}
