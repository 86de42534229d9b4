//! How often leaves are signed: a bucket for each workload that enrols, for each identity that renews, and one for all
//! together.
//!
//! A token is made for one workload, so enrolling is limited per workload: fifty replicas of one service account that
//! start at once do not wait for each other. A certificate names the identity alone, which replicas share; so
//! renewing is limited per identity, generously enough for all replicas that a root rotation asks to renew at once.
//! A new certificate does not come with a bucket of its own, or asking would make room for asking.

use std::collections::HashMap;

use tokio::time::Instant;
use weft_policy::identity::SpiffeId;

use crate::journal::record::Name;

/// What may be asked of the authority.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// First leaves of one workload: a proxy needs one for each start.
    pub workload: Rate,
    /// Renewed leaves of one identity.
    pub identity: Rate,
    /// All leaves.
    pub overall: Rate,
    /// Requests that are being signed, or wait for the disk, at one moment.
    pub at_once: usize,
}

/// How many leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// In the long run.
    pub per_second: f64,
    /// At a stroke.
    pub burst: f64,
}

impl Default for Limits {
    /// A fleet of ten thousand that enrols at once is served in ten seconds. Five hundred replicas that renew at once
    /// are served at once; an identity that runs wild gets a twentieth of what there is.
    fn default() -> Self {
        Self {
            workload: Rate { per_second: 1.0, burst: 5.0 },
            identity: Rate { per_second: 50.0, burst: 500.0 },
            overall: Rate { per_second: 1000.0, burst: 2000.0 },
            at_once: 256,
        }
    }
}

/// Who asks, once proven.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    /// By a token.
    Workload(Name),
    /// By a certificate.
    Identity(SpiffeId),
}

/// Counts what was asked. Bounded: only who has proven itself gets a bucket, and full buckets are forgotten.
#[derive(Debug)]
pub(super) struct Limiter {
    limits: Limits,
    overall: Option<Bucket>,
    askers: HashMap<Asker, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Limiter {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, overall: None, askers: HashMap::new() }
    }

    /// Takes one from both buckets, or none from either.
    pub(super) fn admits(&mut self, asker: &Asker, now: Instant) -> bool {
        let limits = self.limits;
        if self.askers.len() >= MANY {
            self.askers.retain(|asker, bucket| {
                let rate = limits.of(asker);
                bucket.filled(rate, now).left < rate.burst
            });
        }
        let rate = limits.of(asker);
        let mine = Bucket::of(self.askers.get(asker).copied(), rate, now);
        let all = Bucket::of(self.overall, limits.overall, now);
        let admits = mine.left >= 1.0 && all.left >= 1.0;
        let taken = f64::from(u8::from(admits));
        self.askers.insert(asker.clone(), Bucket { left: mine.left - taken, at: now });
        self.overall = Some(Bucket { left: all.left - taken, at: now });
        admits
    }
}

#[cfg(test)]
impl Limiter {
    /// As if everybody had waited.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.limits);
    }
}

impl Limits {
    const fn of(&self, asker: &Asker) -> Rate {
        match asker {
            Asker::Workload(_) => self.workload,
            Asker::Identity(_) => self.identity,
        }
    }
}

impl Bucket {
    fn of(bucket: Option<Self>, rate: Rate, now: Instant) -> Self {
        bucket.map_or(Self { left: rate.burst, at: now }, |bucket| bucket.filled(rate, now))
    }

    fn filled(self, rate: Rate, now: Instant) -> Self {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        Self { left: (self.left + since * rate.per_second).min(rate.burst), at: now }
    }
}

/// From here on, full buckets are looked for and forgotten.
const MANY: usize = 20_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn workload(name: impl std::fmt::Display) -> Asker {
        Asker::Workload(format!("shop/{name}").parse().unwrap())
    }

    #[test]
    fn a_workload_gets_its_burst_then_its_rate_and_takes_nothing_from_others() {
        let mut limiter = Limiter::new(Limits::default());
        let [web, api] = ["web", "api"].map(workload);
        let start = Instant::now();
        let mut at = |millis, asker: &Asker| limiter.admits(asker, start + Duration::from_millis(millis));
        assert_eq!(
            (0..7).map(|_| at(0, &web)).collect::<Vec<_>>(),
            [true, true, true, true, true, false, false]
        );
        assert!(at(0, &api));
        assert!(!at(999, &web));
        assert!(at(1000, &web));
        assert!(!at(1001, &web));
        assert!((0..5).all(|_| at(60_000, &web)));
        assert!(!at(60_000, &web), "no more than a burst is saved up");
    }

    #[test]
    fn replicas_of_one_service_account_do_not_wait_for_each_other() {
        let mut limiter = Limiter::new(Limits::default());
        let start = Instant::now();
        assert!((0..500).all(|nth| limiter.admits(&workload(format!("web-{nth}")), start)));
        let identity = Asker::Identity("spiffe://mesh/ns/shop/sa/web".parse().unwrap());
        assert!((0..500).all(|_| limiter.admits(&identity, start)));
        assert!(!limiter.admits(&identity, start), "nobody renews without end");
    }

    #[test]
    fn all_together_have_a_limit_too() {
        let overall = Rate { per_second: 10.0, burst: 3.0 };
        let mut limiter = Limiter::new(Limits { overall, ..Limits::default() });
        let start = Instant::now();
        let mut asked = 0;
        let mut next = |millis| {
            asked += 1;
            limiter.admits(&workload(asked), start + Duration::from_millis(millis))
        };
        assert_eq!(
            [next(0), next(0), next(0), next(0), next(100), next(100)],
            [true, true, true, false, true, false]
        );
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten() {
        let overall = Rate { per_second: 1e9, burst: 1e9 };
        let mut limiter = Limiter::new(Limits { overall, ..Limits::default() });
        let start = Instant::now();
        for nth in 0..MANY + 10 {
            limiter.admits(&workload(nth), start + Duration::from_millis(u64::try_from(nth).unwrap()));
        }
        assert!(limiter.askers.len() < 2_000, "{}", limiter.askers.len());
    }
}
