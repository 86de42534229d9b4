//! The times of day in a simulated mesh: each host has a clock, which goes with the simulation's time until somebody
//! sets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use weft_certs::clock::Clock;

/// All clocks of one simulation. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clocks {
    elapsed_millis: Arc<AtomicU64>,
}

/// The clock of one host. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct HostClock {
    all: Clocks,
    off_by_seconds: Arc<AtomicI64>,
}

impl Clocks {
    /// So much of the simulation has passed.
    pub(crate) fn advance_to(&self, elapsed: Duration) {
        self.elapsed_millis.store(u64::try_from(elapsed.as_millis()).unwrap(), Relaxed);
    }

    /// A clock that is right.
    pub(crate) fn host(&self) -> HostClock {
        HostClock { all: self.clone(), off_by_seconds: Arc::default() }
    }
}

impl HostClock {
    /// Sets it, so many seconds before or after what is right.
    pub(crate) fn set(&self, seconds: i64) {
        self.off_by_seconds.store(seconds, Relaxed);
    }

    /// What it says.
    pub(crate) fn now(&self) -> SystemTime {
        let off = self.off_by_seconds.load(Relaxed);
        let right =
            SystemTime::UNIX_EPOCH + BEGINNING + Duration::from_millis(self.all.elapsed_millis.load(Relaxed));
        let by = Duration::from_secs(off.unsigned_abs());
        if off < 0 { right - by } else { right + by }
    }

    /// For the product.
    pub(crate) fn clock(&self) -> Clock {
        let host = self.clone();
        Clock::telling(move || host.now())
    }
}

/// When every simulation begins, after 1970.
const BEGINNING: Duration = Duration::from_secs(1_800_000_000);
