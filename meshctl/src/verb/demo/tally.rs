//! What the demo's client counts: requests, failures, which version answered, and how long it took.

use std::collections::BTreeMap;
use std::time::Duration;

/// Counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: u64,
    /// Answered with anything but 200, or not at all.
    pub(super) failed: u64,
    /// Answers by version.
    pub(super) versions: BTreeMap<String, u64>,
    /// Whom api was told is calling, and how often.
    pub(super) callers: BTreeMap<String, u64>,
    /// The first few failures, in words.
    pub(super) failures: Vec<String>,
    latencies: Latencies,
}

impl Tally {
    /// An answer.
    pub(super) fn answered(&mut self, version: &str, caller: &str, took: Duration) {
        self.requests += 1;
        self.latencies.add(took);
        count(&mut self.versions, version);
        count(&mut self.callers, caller);
    }

    /// None, or a bad one.
    pub(super) fn failed(&mut self, why: String, took: Duration) {
        self.requests += 1;
        self.failed += 1;
        self.latencies.add(took);
        if self.failures.len() < FAILURES_KEPT {
            self.failures.push(why);
        }
    }

    /// Of the answers, how many came from a version.
    pub(super) fn share(&self, version: &str) -> f64 {
        let answers: u64 = self.versions.values().sum();
        let of_version = self.versions.get(version).copied().unwrap_or(0);
        if answers == 0 { 0.0 } else { of_version as f64 / answers as f64 }
    }

    /// The time within which this share of all requests was answered.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        self.latencies.quantile(share)
    }

    /// Takes in what another one has counted.
    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        for (into, from) in [(&mut self.versions, &other.versions), (&mut self.callers, &other.callers)] {
            for (key, count) in from {
                *into.entry(key.clone()).or_default() += count;
            }
        }
        let room = FAILURES_KEPT.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.iter().take(room).cloned());
        self.latencies.merge(&other.latencies);
    }
}

fn count(counts: &mut BTreeMap<String, u64>, key: &str) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => {
            counts.insert(key.to_owned(), 1);
        }
    }
}

/// Latencies in microseconds, in buckets that are at most 1/32 wide.
#[derive(Clone, Debug)]
struct Latencies(Vec<u32>);

impl Default for Latencies {
    fn default() -> Self {
        Self(vec![0; BUCKETS])
    }
}

impl Latencies {
    fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.0.get_mut(bucket(micros)) {
            *count = count.saturating_add(1);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (into, from) in self.0.iter_mut().zip(&other.0) {
            *into = into.saturating_add(*from);
        }
    }

    fn quantile(&self, share: f64) -> Duration {
        let total: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let wanted = ((total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (at, count) in self.0.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return Duration::from_micros(upper_bound(at));
            }
        }
        Duration::ZERO
    }
}

/// Below 64 every value has its own; above, each doubling has 32.
const fn bucket(micros: u64) -> usize {
    if micros < 64 {
        return micros as usize;
    }
    let doubling = micros.ilog2();
    let within = (micros >> (doubling - 5)) & 31;
    let at = 64 + (doubling as usize - 6) * 32 + within as usize;
    if at < BUCKETS { at } else { BUCKETS - 1 }
}

/// The largest value of a bucket.
const fn upper_bound(at: usize) -> u64 {
    if at < 64 {
        return at as u64;
    }
    let (doubling, within) = ((at - 64) / 32 + 6, (at - 64) % 32);
    ((32 + within as u64 + 1) << (doubling - 5)) - 1
}

/// Up to 2^36 µs, which is most of a day.
const BUCKETS: usize = 64 + 30 * 32;
const FAILURES_KEPT: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_falls_into_a_bucket_that_is_at_most_a_thirtysecond_off() {
        for micros in (0..5_000).chain([65_535, 65_536, 1_000_000, 59_999_999, 30_000_000_000]) {
            let bound = upper_bound(bucket(micros));
            assert!(bound >= micros && bound - micros <= micros / 32, "{micros}: {bound}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_taken_over_all_requests() {
        let mut tally = Tally::default();
        for millis in 1..=100 {
            tally.answered("v1", "", Duration::from_millis(millis));
        }
        let near = |got: Duration, millis: u64| {
            got >= Duration::from_millis(millis) && got <= Duration::from_millis(millis).mul_f64(1.04)
        };
        assert!(near(tally.quantile(0.5), 50), "{:?}", tally.quantile(0.5));
        assert!(near(tally.quantile(0.99), 99), "{:?}", tally.quantile(0.99));
        assert_eq!(Tally::default().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn shares_are_of_answers_and_failures_are_kept_apart() {
        let mut tally = Tally::default();
        for version in ["v1", "v1", "v1", "v2"] {
            tally.answered(version, "web", Duration::from_millis(1));
        }
        let mut other = Tally::default();
        (0..9).for_each(|nth| other.failed(format!("{nth}"), Duration::ZERO));
        tally.add(&other);
        assert_eq!((tally.requests, tally.failed, tally.failures.len()), (13, 9, FAILURES_KEPT));
        assert_eq!((tally.share("v1"), tally.share("v2"), tally.share("v3")), (0.75, 0.25, 0.0));
        assert_eq!(tally.callers["web"], 4);
    }
}
