//! When to leave an endpoint alone, and when to ask it again.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use crate::draw::Draw;
use crate::moment::Moment;
use crate::retry::Failure;
use crate::window::{Slice, Window};

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

/// The breaker of one endpoint. Shared by all workers, without a lock: the state is one word, and of several
/// threads that see the same reason to change it one wins.
///
/// Closed, it counts failures. Open, it rests. Once rested, it lets a single request through, the probe, and its
/// result closes it or opens it for longer. Results of requests that began before it opened are not looked at:
/// they are old news.
#[derive(Debug, Default)]
pub struct Breaker {
    /// A [`BreakerState`], packed.
    state: AtomicU64,
    /// In a row, while closed.
    failures: AtomicU32,
    /// How many times in a row it has opened without closing.
    opened: AtomicU32,
    good: Window<SLICES>,
    bad: Window<SLICES>,
}

/// What a request's result says of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It works.
    Success,
    /// It does not.
    Failure,
}

impl Outcome {
    /// A response. Over gRPC the code counts, else the status: 5xx, or UNKNOWN, DEADLINE_EXCEEDED, INTERNAL,
    /// UNAVAILABLE, DATA_LOSS. Other codes and statuses are the caller's doing.
    #[must_use]
    pub const fn of_response(status: u16, grpc_status: Option<u8>) -> Self {
        let failed = match grpc_status {
            Some(code) => matches!(code, 2 | 4 | 13 | 14 | 15),
            None => status >= 500,
        };
        if failed { Self::Failure } else { Self::Success }
    }

    /// A try that failed, with or without a response. `None`: a server that ends a connection, and says which requests it
    /// has not looked at (RFC 9113 §6.8), is neither sick nor proven well.
    #[must_use]
    pub const fn of_failure(failure: Failure) -> Option<Self> {
        Some(match failure {
            Failure::RefusedStream => return None,
            Failure::Status(status) => Self::of_response(status, None),
            Failure::Grpc(code) => Self::of_response(200, Some(code)),
            Failure::ConnectFailed
            | Failure::WrongIdentity
            | Failure::NotSent
            | Failure::ResetBeforeResponse
            | Failure::TryTimeout => Self::Failure,
        })
    }
}

/// Leave to send one request. Give it back with [`Breaker::record`] or [`Breaker::abandon`]; a probe that does
/// neither holds up the next one for `max_open_for`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Permit {
    /// When it began, if this is the probe.
    probe_since: Option<Moment>,
}

impl Permit {
    /// Whether this request decides if the breaker closes.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe_since.is_some()
    }
}

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything passes.
    Closed,
    /// Nothing passes until then; after it, one probe.
    Open {
        /// The end of its rest.
        until: Moment,
    },
    /// One probe is under way.
    Probing {
        /// Since then.
        since: Moment,
    },
}

impl BreakerState {
    /// The name used in labels and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::Probing { .. } => "probing",
        }
    }
}

/// A breaker has changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It rests.
    Opened {
        /// The end of its rest.
        until: Moment,
        /// Which signal tripped it.
        why: Trip,
    },
    /// The probe came back well.
    Closed,
}

/// What opened a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trip {
    /// So many failures in a row.
    Consecutive {
        /// How many.
        failures: u32,
    },
    /// Too few successes over the window.
    SuccessRate {
        /// How many successes.
        successes: u64,
        /// Of how many results.
        of: u64,
    },
    /// The probe failed too.
    ProbeFailed,
}

impl Breaker {
    /// Whether a request may pass now. Changes nothing.
    #[must_use]
    pub fn admits(&self, config: &BreakerConfig, now: Moment) -> bool {
        match self.state() {
            BreakerState::Closed => true,
            BreakerState::Open { until } => now >= until || config.is_off(),
            BreakerState::Probing { since } => config.is_off() || config.probe_is_lost(since, now),
        }
    }

    /// Leave to send a request now, or `None`. Where the breaker has rested, exactly one caller gets the probe.
    pub fn begin(&self, config: &BreakerConfig, now: Moment) -> Option<Permit> {
        let word = self.state.load(Acquire);
        let ready = match unpack(word) {
            BreakerState::Closed => return Some(Permit { probe_since: None }),
            _ if config.is_off() => return Some(Permit { probe_since: None }),
            BreakerState::Open { until } => now >= until,
            BreakerState::Probing { since } => config.probe_is_lost(since, now),
        };
        let probing = pack(BreakerState::Probing { since: now });
        let won = ready && self.state.compare_exchange(word, probing, AcqRel, Acquire).is_ok();
        // The word loses two bits of the nanoseconds, so the permit keeps what the word says.
        won.then(|| Permit { probe_since: Some(stored(now)) })
    }

    /// Takes in a result. `draw` spreads the rests of many proxies.
    pub fn record(
        &self,
        permit: Permit,
        outcome: Outcome,
        config: &BreakerConfig,
        now: Moment,
        draw: &mut Draw,
    ) -> Option<Change> {
        match (permit.probe_since, outcome) {
            (None, _) if self.state() != BreakerState::Closed => None,
            (None, outcome) => {
                let why = self.count(outcome, config, now)?;
                self.open(BreakerState::Closed, why, config, now, draw)
            }
            (Some(since), Outcome::Failure) => {
                self.open(BreakerState::Probing { since }, Trip::ProbeFailed, config, now, draw)
            }
            (Some(since), Outcome::Success) => {
                let (probing, closed) = (BreakerState::Probing { since }, BreakerState::Closed);
                self.change(probing, closed).then(|| {
                    self.opened.store(0, Relaxed);
                    Change::Closed
                })
            }
        }
    }

    /// The request ended without saying anything of the endpoint (its client went away). A probe makes room for
    /// the next one at once.
    pub fn abandon(&self, permit: Permit) {
        if let Some(since) = permit.probe_since {
            self.change(BreakerState::Probing { since }, BreakerState::Open { until: since });
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        unpack(self.state.load(Acquire))
    }

    /// Counts a result; `Some` where a signal trips.
    fn count(&self, outcome: Outcome, config: &BreakerConfig, now: Moment) -> Option<Trip> {
        let failures = match outcome {
            Outcome::Failure => self.failures.fetch_add(1, Relaxed).saturating_add(1),
            Outcome::Success => {
                // A store only where there is something to change: this line is shared by all workers.
                if self.failures.load(Relaxed) != 0 {
                    self.failures.store(0, Relaxed);
                }
                0
            }
        };
        if config.min_success_rate > 0.0 {
            let slice = Slice::at(now, config.window / SLICES as u32);
            match outcome {
                Outcome::Success => self.good.add(slice),
                Outcome::Failure => self.bad.add(slice),
            }
            let successes = self.good.sum(slice, SLICES as i32);
            let of = successes.saturating_add(self.bad.sum(slice, SLICES as i32));
            let enough = of >= u64::from(config.min_requests.max(1));
            if enough && (successes as f64) < config.min_success_rate * of as f64 {
                return Some(Trip::SuccessRate { successes, of });
            }
        }
        (config.consecutive_failures > 0 && failures >= config.consecutive_failures)
            .then_some(Trip::Consecutive { failures })
    }

    fn open(
        &self,
        from: BreakerState,
        why: Trip,
        config: &BreakerConfig,
        now: Moment,
        draw: &mut Draw,
    ) -> Option<Change> {
        let before = self.opened.load(Relaxed);
        let until = stored(now + config.rest(before, draw));
        self.change(from, BreakerState::Open { until }).then(|| {
            self.opened.store(before.saturating_add(1), Relaxed);
            // What follows after the rest starts from nothing.
            self.failures.store(0, Relaxed);
            self.good.clear();
            self.bad.clear();
            Change::Opened { until, why }
        })
    }

    fn change(&self, from: BreakerState, to: BreakerState) -> bool {
        self.state.compare_exchange(pack(from), pack(to), AcqRel, Acquire).is_ok()
    }
}

impl BreakerConfig {
    /// Whether nothing could open it.
    fn is_off(&self) -> bool {
        self.consecutive_failures == 0 && self.min_success_rate <= 0.0
    }

    /// A probe that has said nothing for so long never will.
    fn probe_is_lost(&self, since: Moment, now: Moment) -> bool {
        now >= since + self.max_open_for.max(self.open_for)
    }

    /// How long to rest after having opened so many times in a row before. Up to a fifth shorter, never longer
    /// than said, so that many proxies do not probe at one instant.
    fn rest(&self, before: u32, draw: &mut Draw) -> Duration {
        let longest = self.max_open_for.max(self.open_for);
        let rest = self.open_for.saturating_mul(1 << before.min(20)).min(longest);
        rest.mul_f64(1.0 - 0.2 * draw.unit())
    }
}

/// Two bits for the state, the rest for its moment, in units of four nanoseconds.
const fn pack(state: BreakerState) -> u64 {
    match state {
        BreakerState::Closed => 0,
        BreakerState::Open { until } => until.as_nanos() & !3 | 1,
        BreakerState::Probing { since } => since.as_nanos() & !3 | 2,
    }
}

const fn unpack(word: u64) -> BreakerState {
    let moment = Moment::from_nanos(word & !3);
    match word & 3 {
        1 => BreakerState::Open { until: moment },
        2 => BreakerState::Probing { since: moment },
        _ => BreakerState::Closed,
    }
}

/// A moment as the word keeps it.
const fn stored(moment: Moment) -> Moment {
    Moment::from_nanos(moment.as_nanos() & !3)
}

/// The window's resolution: results are forgotten in steps of a tenth.
const SLICES: usize = 10;

#[cfg(test)]
mod tests;
