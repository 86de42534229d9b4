//! How long a leaf may live: what was asked, held to what the mesh allows.

use std::time::Duration;

/// The life that a caller asks for its leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It did not say: [`Lifetime::DEFAULT`].
    Default,
    /// So long, if policy allows; otherwise the nearest that it does allow.
    Asked(Duration),
}

impl Lifetime {
    /// 24 h: an outage of the control plane must not become an outage of the mesh.
    pub const DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);
    /// 10 min: below that a fleet spends its time renewing.
    pub const MIN: Duration = Duration::from_secs(10 * 60);
    /// 24 h: revocation is first of all expiry.
    pub const MAX: Duration = Duration::from_secs(24 * 60 * 60);

    /// From the wire, where zero and less mean "not said".
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        match u64::try_from(seconds) {
            Ok(0) | Err(_) => Self::Default,
            Ok(seconds) => Self::Asked(Duration::from_secs(seconds)),
        }
    }

    /// What the mesh grants, and whether that differs from what was asked.
    #[must_use]
    pub fn granted(self) -> (Duration, bool) {
        match self {
            Self::Default | Self::Asked(Duration::ZERO) => (Self::DEFAULT, false),
            Self::Asked(asked) => {
                let granted = asked.clamp(Self::MIN, Self::MAX);
                (granted, granted != asked)
            }
        }
    }
}
