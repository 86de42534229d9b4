//! Whether to try again, and when.
//!
//! The default retries only what is proven unprocessed: the connection could not be opened, or the peer said
//! it had not looked at the stream (REFUSED_STREAM, a GOAWAY below its id). A status, a gRPC code, a reset or
//! a per-try timeout says nothing of the kind, so each is retried only where the policy names it, and for a
//! method that is not idempotent only where the policy names that too (`non_idempotent`).

mod budget;

pub use budget::Budget;

use std::time::Duration;

use http::Method;

use crate::draw::Draw;
use crate::moment::Moment;

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
    /// The least wait before the first retry; it doubles for each further one. Default 25 ms.
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

/// How a try ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be opened.
    ConnectFailed,
    /// The far end did not prove to be who it must be; nothing was sent.
    WrongIdentity,
    /// The connection was gone before a byte of the request was written.
    NotSent,
    /// The peer says that it has not looked at the stream: REFUSED_STREAM, or a GOAWAY below its id (RFC 9113
    /// §8.7).
    RefusedStream,
    /// The connection or stream was lost after the request, or part of it, and before any response byte.
    ResetBeforeResponse,
    /// The try's own time was up.
    TryTimeout,
    /// A response with this status.
    Status(u16),
    /// A response with this gRPC code.
    Grpc(u8),
}

impl Failure {
    /// Whether it is proven that nobody has acted on the request.
    #[must_use]
    pub const fn is_unprocessed(self) -> bool {
        matches!(self, Self::ConnectFailed | Self::WrongIdentity | Self::NotSent | Self::RefusedStream)
    }
}

/// What can be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Whether sending it twice does what sending it once does: see [`is_idempotent`].
    pub idempotent: bool,
    /// Whether the whole body can still be sent: there is none, none of it has been read, or all that was read
    /// has been kept.
    pub body_replayable: bool,
}

/// A try that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which try it was, from 1.
    pub number: u32,
    /// How it failed.
    pub failure: Failure,
    /// What can be sent again.
    pub replay: Replay,
    /// When the request's whole time is up: [`Timeouts::deadline`](crate::deadline::Timeouts::deadline).
    pub deadline: Option<Moment>,
}

/// What to do after a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Another try.
    TryAgain {
        /// Not before then.
        at: Moment,
        /// What made it worth one.
        why: Failure,
    },
    /// Answer with what there is.
    GiveUp(Because),
}

/// Why there is no other try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// Retries are switched off.
    Off,
    /// The policy does not name this failure.
    NotNamed(Failure),
    /// The request may have been processed, its method is not idempotent, and the policy does not name that.
    NotIdempotent(Failure),
    /// The body cannot be sent a second time.
    BodyGone,
    /// So many retries have been made.
    AttemptsSpent(u32),
    /// The request's whole time would be up.
    NoTime,
    /// Too many retries beside first tries.
    NoBudget,
}

impl Because {
    /// The name used in labels and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NotNamed(_) => "not_named",
            Self::NotIdempotent(_) => "not_idempotent",
            Self::BodyGone => "body_gone",
            Self::AttemptsSpent(_) => "attempts_spent",
            Self::NoTime => "no_time",
            Self::NoBudget => "no_budget",
        }
    }
}

/// Says whether to try again, and takes the retry out of the budget if so: but for the first after a stream was refused.
pub fn next(
    retry: &Retry,
    budget: &Budget,
    config: &BudgetConfig,
    attempt: &Attempt,
    now: Moment,
    draw: &mut Draw,
) -> Next {
    let retries = attempt.number.saturating_sub(1);
    if let Some(because) = retry.refuses(attempt, retries) {
        return Next::GiveUp(because);
    }
    // Refused once, it is tried elsewhere at once and beside the budget: it has cost its server nothing (gRFC A6,
    // "Transparent retries"), and a server that ends a connection refuses all that is under way on it in one moment.
    let is_transparent = attempt.failure == Failure::RefusedStream && retries == 0;
    let at = if is_transparent { now } else { now + retry.wait(retries, draw) };
    if attempt.deadline.is_some_and(|deadline| at >= deadline) {
        return Next::GiveUp(Because::NoTime);
    }
    // Last, because asking spends.
    if !is_transparent && !budget.try_spend(config, now) {
        return Next::GiveUp(Because::NoBudget);
    }
    Next::TryAgain { at, why: attempt.failure }
}

/// Methods whose effect is the same however often they are sent (RFC 9110 §9.2.2). Every other method, ours to
/// know or not, may do more.
#[must_use]
pub fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(method)
}

impl Retry {
    /// Why this failure is not worth a retry, whatever time and budget say.
    fn refuses(&self, attempt: &Attempt, retries: u32) -> Option<Because> {
        let failure = attempt.failure;
        let may_repeat = failure.is_unprocessed() || attempt.replay.idempotent || self.non_idempotent;
        if self.attempts == 0 {
            Some(Because::Off)
        } else if !self.names(failure) {
            Some(Because::NotNamed(failure))
        } else if !may_repeat {
            Some(Because::NotIdempotent(failure))
        } else if retries >= self.attempts {
            Some(Because::AttemptsSpent(retries))
        } else if !attempt.replay.body_replayable {
            Some(Because::BodyGone)
        } else {
            None
        }
    }

    fn names(&self, failure: Failure) -> bool {
        match failure {
            Failure::ResetBeforeResponse => self.on_reset,
            Failure::TryTimeout => self.on_timeout,
            Failure::Status(status) => self.statuses.contains(&status),
            Failure::Grpc(code) => self.grpc_codes.contains(&code),
            unprocessed => unprocessed.is_unprocessed(),
        }
    }

    /// The wait before the next retry: a share between half and all of a time that doubles. The time starts at
    /// twice `backoff`, so that the wait is never below it: the Gateway API calls it the minimum (GEP-1731).
    fn wait(&self, retries: u32, draw: &mut Draw) -> Duration {
        let longest = self.max_backoff.max(self.backoff);
        let time = self.backoff.saturating_mul(2 << retries.min(20)).min(longest);
        time.mul_f64(0.5 + 0.5 * draw.unit()).max(self.backoff)
    }
}

#[cfg(test)]
mod tests;
