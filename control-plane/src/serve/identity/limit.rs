//! How often leaves are signed: a bucket for each identity, one for all together.

use std::collections::HashMap;

use tokio::time::Instant;
use weft_policy::identity::SpiffeId;

/// What may be asked of the authority.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Leaves of one identity, per second, in the long run. Replicas of a workload share an identity.
    pub per_identity: f64,
    /// Leaves of one identity at a stroke.
    pub burst: f64,
    /// All leaves, per second, in the long run.
    pub overall: f64,
    /// All leaves at a stroke.
    pub overall_burst: f64,
    /// Requests that are being signed, or wait for the disk, at one moment.
    pub at_once: usize,
}

impl Default for Limits {
    /// A fleet of ten thousand that enrols at once is served in ten seconds.
    fn default() -> Self {
        Self { per_identity: 1.0, burst: 5.0, overall: 1000.0, overall_burst: 2000.0, at_once: 256 }
    }
}

/// Counts what was asked. Bounded: only identities that have proven themselves get a bucket, and full buckets are
/// forgotten.
#[derive(Debug)]
pub(super) struct Limiter {
    limits: Limits,
    overall: Option<Bucket>,
    identities: HashMap<SpiffeId, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Limiter {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, overall: None, identities: HashMap::new() }
    }

    /// Takes one from both buckets, or none from either.
    pub(super) fn admits(&mut self, id: &SpiffeId, now: Instant) -> bool {
        let Limits { per_identity, burst, overall, overall_burst, .. } = self.limits;
        if self.identities.len() >= MANY {
            self.identities.retain(|_, bucket| bucket.filled(per_identity, burst, now).left < burst);
        }
        let of = |bucket: Option<Bucket>, rate, burst| {
            bucket.map_or(Bucket { left: burst, at: now }, |bucket| bucket.filled(rate, burst, now))
        };
        let mine = of(self.identities.get(id).copied(), per_identity, burst);
        let all = of(self.overall, overall, overall_burst);
        let admits = mine.left >= 1.0 && all.left >= 1.0;
        let taken = f64::from(u8::from(admits));
        self.identities.insert(id.clone(), Bucket { left: mine.left - taken, at: now });
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

impl Bucket {
    fn filled(self, rate: f64, burst: f64, now: Instant) -> Self {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        Self { left: (self.left + since * rate).min(burst), at: now }
    }
}

/// From here on, full buckets are looked for and forgotten.
const MANY: usize = 20_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_identity_gets_its_burst_then_its_rate_and_takes_nothing_from_others() {
        let mut limiter = Limiter::new(Limits::default());
        let [web, api]: [SpiffeId; 2] =
            ["web", "api"].map(|name| format!("spiffe://mesh/ns/shop/sa/{name}").parse().unwrap());
        let start = Instant::now();
        let mut at = |millis, id: &SpiffeId| limiter.admits(id, start + Duration::from_millis(millis));
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
    fn all_together_have_a_limit_too() {
        let limits = Limits { overall: 10.0, overall_burst: 3.0, ..Limits::default() };
        let mut limiter = Limiter::new(limits);
        let start = Instant::now();
        let mut asked = 0;
        let mut next = |millis| {
            asked += 1;
            let id = format!("spiffe://mesh/ns/shop/sa/w{asked}").parse().unwrap();
            limiter.admits(&id, start + Duration::from_millis(millis))
        };
        assert_eq!(
            [next(0), next(0), next(0), next(0), next(100), next(100)],
            [true, true, true, false, true, false]
        );
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten() {
        let limits = Limits { overall: 1e9, overall_burst: 1e9, ..Limits::default() };
        let mut limiter = Limiter::new(limits);
        let start = Instant::now();
        for nth in 0..MANY + 10 {
            let id = format!("spiffe://mesh/ns/shop/sa/w{nth}").parse().unwrap();
            limiter.admits(&id, start + Duration::from_millis(u64::try_from(nth).unwrap()));
        }
        assert!(limiter.identities.len() < 2_000, "{}", limiter.identities.len());
    }
}
