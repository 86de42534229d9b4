//! When to ask for the next leaf, and when to ask again after a failure.
//!
//! Half of a leaf's life is left for an outage of the control plane, less the jitter that keeps a fleet which
//! started together from renewing together. `draw` is a random number in `0.0..1.0`; anything else is brought
//! into that range.

use std::time::{Duration, SystemTime};

/// When to renew a leaf: at half of its life, give or take a tenth of it. A life of 24 h is renewed between
/// 9 h 36 min and 14 h 24 min after its beginning.
#[must_use]
pub fn renew_at(not_before: SystemTime, not_after: SystemTime, draw: f64) -> SystemTime {
    let life = not_after.duration_since(not_before).unwrap_or_default();
    not_before + life.mul_f64(EARLIEST + SPREAD * unit(draw))
}

/// How long to wait from `now` until [`renew_at`]; zero if that has passed. The caller counts it on a clock
/// that cannot be set.
#[must_use]
pub fn renew_in(not_before: SystemTime, not_after: SystemTime, now: SystemTime, draw: f64) -> Duration {
    renew_at(not_before, not_after, draw).duration_since(now).unwrap_or_default()
}

/// How long to wait after the `failures`-th failure in a row (the first is 1): up to 1 s, then up to twice as
/// long each time, up to 5 min, the exact time by chance over the whole range. In the last quarter of the
/// leaf's life, and beyond it, never more than 30 s.
#[must_use]
pub fn retry_in(
    failures: u32,
    not_before: SystemTime,
    not_after: SystemTime,
    now: SystemTime,
    draw: f64,
) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let ceiling = FIRST_RETRY.saturating_mul(1 << doublings).min(SLOWEST_RETRY);
    let life = not_after.duration_since(not_before).unwrap_or_default();
    let left = not_after.duration_since(now).unwrap_or_default();
    let ceiling = if left <= life / 4 { ceiling.min(SLOWEST_URGENT_RETRY) } else { ceiling };
    ceiling.mul_f64(unit(draw)).max(FASTEST_RETRY)
}

/// As [`retry_in`] for a proxy that has no leaf yet: nothing expires, and nothing works either, so it asks as
/// urgently as in the last quarter.
#[must_use]
pub fn enrol_again_in(failures: u32, draw: f64) -> Duration {
    let any = SystemTime::UNIX_EPOCH;
    retry_in(failures, any, any, any, draw)
}

fn unit(draw: f64) -> f64 {
    if draw.is_nan() { 0.5 } else { draw.clamp(0.0, 1.0) }
}

const EARLIEST: f64 = 0.4;
const SPREAD: f64 = 0.2;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const SLOWEST_RETRY: Duration = Duration::from_secs(5 * 60);
const SLOWEST_URGENT_RETRY: Duration = Duration::from_secs(30);
/// Below full jitter's zero: a draw of nothing must not become a busy loop.
const FASTEST_RETRY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + secs(seconds)
    }

    #[test]
    fn a_leaf_is_renewed_at_half_of_its_life_give_or_take_a_tenth() {
        let day = 24 * 3600;
        for (now, draw, want) in [
            (0, 0.0, secs(34_560)),
            (0, 0.5, secs(day / 2)),
            (0, 1.0, secs(51_840)),
            (0, f64::NAN, secs(day / 2)),
            (0, -7.0, secs(34_560)),
            (34_560, 0.5, secs(8_640)),
            (day, 0.5, Duration::ZERO),
        ] {
            let wait = renew_in(at(0), at(day), at(now), draw);
            assert_eq!(wait.as_secs_f64().round(), want.as_secs_f64(), "now {now}, draw {draw}");
        }
    }

    #[test]
    fn retries_slow_down_to_five_minutes_and_hurry_in_the_last_quarter() {
        let life = 1000;
        for (failures, now, want) in [
            (0, 500, secs(1)),
            (1, 500, secs(1)),
            (2, 500, secs(2)),
            (5, 500, secs(16)),
            (9, 500, secs(256)),
            (10, 500, secs(300)),
            (u32::MAX, 500, secs(300)),
            (u32::MAX, 749, secs(300)),
            (u32::MAX, 750, secs(30)),
            (3, 750, secs(4)),
            (u32::MAX, 5000, secs(30)),
        ] {
            assert_eq!(
                retry_in(failures, at(0), at(life), at(now), 1.0),
                want,
                "{failures} failures at {now}"
            );
        }
        assert_eq!(retry_in(1, at(0), at(life), at(500), 0.0), FASTEST_RETRY);
        assert_eq!(enrol_again_in(20, 1.0), secs(30));
    }

    proptest! {
        #[test]
        fn no_dates_and_no_draw_make_a_wait_absurd(
            a in 0u64..10_000_000_000, b in 0u64..10_000_000_000, now in 0u64..10_000_000_000,
            failures: u32, draw: f64,
        ) {
            let (not_before, not_after) = (at(a), at(b));
            prop_assert!(renew_at(not_before, not_after, draw) <= not_after.max(not_before));
            let retry = retry_in(failures, not_before, not_after, at(now), draw);
            prop_assert!((FASTEST_RETRY..=SLOWEST_RETRY).contains(&retry));
        }
    }
}
