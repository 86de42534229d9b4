//! What an endpoint costs to ask: how long it took lately, and how much it is doing for us already.
//!
//! The latency is a peak-sensitive moving average, as in Finagle and Linkerd: it jumps to a higher sample at
//! once and forgets it over [`DECAY`], so that a stall is felt by the next request and forgiven by degrees.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::live::Experience;
use crate::moment::Moment;

/// Over how long a sample loses all but 1/e of its say.
pub const DECAY: Duration = Duration::from_secs(10);

/// A latency as it is remembered, in nanoseconds. Shared without a lock: a sample lost to a race moves an
/// average by less than the next sample will.
#[derive(Debug, Default)]
pub struct Ewma {
    /// An `f64`, by its bits. 0 until the first sample.
    nanos: AtomicU64,
    /// When `nanos` was true.
    at: AtomicU64,
}

impl Ewma {
    /// Takes in one latency, measured until response headers or until the try failed.
    pub fn record(&self, latency: Duration, now: Moment) {
        // A sample of zero would look like none at all.
        let sample = latency.as_nanos().max(1) as f64;
        let last = self.at.fetch_max(now.as_nanos(), Relaxed);
        let kept = kept_after(now.since(Moment::from_nanos(last)));
        let fold = |bits: u64| {
            let old = f64::from_bits(bits);
            let new = if sample >= old { sample } else { old * kept + sample * (1.0 - kept) };
            Some(new.to_bits())
        };
        let _ = self.nanos.fetch_update(Relaxed, Relaxed, fold); // `fold` never declines
    }

    /// The latency to reckon with, in nanoseconds; 0 where nothing has been recorded. It fades while nobody asks,
    /// so that an endpoint that was slow once is tried again.
    #[must_use]
    pub fn estimate(&self, now: Moment) -> f64 {
        let idle = now.since(Moment::from_nanos(self.at.load(Relaxed)));
        let nanos = f64::from_bits(self.nanos.load(Relaxed));
        // Never back to 0, which would mean that it had never been asked.
        if nanos == 0.0 { 0.0 } else { (nanos * kept_after(idle)).max(1.0) }
    }
}

/// Latency × requests in flight, this one included. `weight` scales the requests, not the latency: twice the
/// weight may have twice as many under way.
///
/// Where an endpoint has never answered, its first request costs nothing, so that it is asked early, and further
/// ones cost more than any measured endpoint, so that it is not flooded before it has shown what it can do
/// (Finagle's `PeakEwma` rule).
#[must_use]
pub fn peak_ewma(experience: &Experience, weight: u32) -> f64 {
    let in_flight = f64::from(experience.in_flight) / f64::from(weight.max(1));
    if experience.latency > 0.0 {
        experience.latency * (in_flight + 1.0)
    } else if experience.in_flight == 0 {
        0.0
    } else {
        UNPROVEN + in_flight
    }
}

/// Requests in flight, by weight.
#[must_use]
pub fn least_request(experience: &Experience, weight: u32) -> f64 {
    f64::from(experience.in_flight) / f64::from(weight.max(1))
}

fn kept_after(elapsed: Duration) -> f64 {
    (-elapsed.as_secs_f64() / DECAY.as_secs_f64()).exp()
}

/// 11 days in nanoseconds: above every latency times every number of requests that will be measured.
const UNPROVEN: f64 = 1e15;

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_peak_is_felt_at_once_and_forgiven_over_the_decay() {
        let ewma = Ewma::default();
        let at = |n| Moment::START + ms(n);
        assert_eq!(ewma.estimate(at(0)), 0.0, "never asked");
        ewma.record(ms(10), at(0));
        assert_eq!(ewma.estimate(at(0)), 10e6);
        ewma.record(ms(500), at(1));
        assert_eq!(ewma.estimate(at(1)), 500e6, "the peak");
        ewma.record(ms(10), at(2));
        assert!(ewma.estimate(at(2)) > 499e6, "one fast answer does not erase it");
        for step in 0..1000 {
            ewma.record(ms(10), at(2 + 30 * step)); // 30 s, three times the decay
        }
        let later = ewma.estimate(at(30_000));
        assert!((10e6..40e6).contains(&later), "{later}");
        assert!(ewma.estimate(at(60_000)) < later, "idle fades");
        assert_eq!(ewma.estimate(at(10_000_000)), 1.0, "but never to `never asked`");
    }

    #[test]
    fn a_never_asked_endpoint_gets_one_request_and_then_has_to_answer() {
        let unasked = |in_flight| Experience { admits: true, latency: 0.0, in_flight };
        let slow = Experience { admits: true, latency: 30e9, in_flight: 1000 };
        assert!(peak_ewma(&unasked(0), 1) < peak_ewma(&slow, 1));
        assert!(peak_ewma(&unasked(1), 1) > peak_ewma(&slow, 1));
    }

    #[test]
    fn samples_out_of_order_do_no_harm() {
        let ewma = Ewma::default();
        ewma.record(ms(10), Moment::START + ms(100));
        ewma.record(ms(5), Moment::START + ms(50));
        assert_eq!(ewma.estimate(Moment::START + ms(100)), 10e6);
        ewma.record(Duration::MAX, Moment::START);
        assert!(ewma.estimate(Moment::START).is_finite());
    }
}
