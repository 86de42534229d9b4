//! The time of day, as an argument: certificates, tokens and denials are judged by it.
//!
//! One place asks the system, so that whoever owns a control plane or a proxy may give it another day, and so that nobody
//! measures by a clock that can be set: for how long something takes there is tokio's.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// Tells the time of day. Clones tell the same.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The machine's.
    #[must_use]
    pub fn system() -> Self {
        Self::telling(SystemTime::now)
    }

    /// One that tells what `now` says.
    #[must_use]
    pub fn telling(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }

    /// The same, as certificates are judged by it. Before 1970 it is 1970, when nothing of ours was valid.
    #[must_use]
    pub fn unix(&self) -> UnixTime {
        UnixTime::since_unix_epoch(self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.unix())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
