//! The one place where a proxy asks what time it is.

use std::time::Duration;

use weft_policy::moment::Moment;

/// Turns the runtime's clock into moments. tokio's, so that a test can hold it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(tokio::time::Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    /// Never the very start, so that "a while ago" has room.
    pub(crate) fn now(&self) -> Moment {
        Moment::START + Duration::from_secs(3600) + self.0.elapsed()
    }
}
