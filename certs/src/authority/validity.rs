//! When a certificate holds, in whole seconds, as X.509 writes it.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::Authority;

/// A time at which an authority may sign, cut to whole seconds: between 2020 and 2200. A machine that lost
/// its clock must not sign: its leaves would be expired, or outlive everything.
#[derive(Clone, Copy)]
pub(super) struct SaneTime(u64);

impl TryFrom<SystemTime> for SaneTime {
    type Error = Absurd;

    fn try_from(time: SystemTime) -> Result<Self, Absurd> {
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| Absurd)?.as_secs();
        if (YEAR_2020..YEAR_2200).contains(&seconds) { Ok(Self(seconds)) } else { Err(Absurd) }
    }
}

/// The clock is outside 2020 to 2200.
#[derive(Debug)]
pub(super) struct Absurd;

/// From when until when a certificate holds, in seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    not_before: u64,
    not_after: u64,
}

impl Validity {
    /// From a little before `now` until `life` after it.
    pub(super) fn starting(now: SaneTime, life: Duration) -> Self {
        Self {
            not_before: now.0.saturating_sub(Authority::BACKDATE.as_secs()),
            not_after: now.0.saturating_add(life.as_secs()),
        }
    }

    /// As a certificate has it. `None` if it begins before 1970 or ends before it begins.
    pub(super) fn of_certificate(validity: &x509_parser::certificate::Validity) -> Option<Self> {
        let not_before = u64::try_from(validity.not_before.timestamp()).ok()?;
        // 9999-12-31 is "never" (RFC 5280 §4.1.2.5); beyond it there is no X.509 date.
        let not_after = u64::try_from(validity.not_after.timestamp()).ok()?.min(YEAR_9999);
        (not_before <= not_after).then_some(Self { not_before, not_after })
    }

    /// The same, but ending no later than `issuer`.
    pub(super) fn ending_by(self, issuer: Self) -> Self {
        Self { not_after: self.not_after.min(issuer.not_after), ..self }
    }

    /// Whether at least `life` is left at `now`.
    pub(super) fn lasts(self, now: SaneTime, life: Duration) -> bool {
        now.0.saturating_add(life.as_secs()) <= self.not_after
    }

    pub(super) fn not_before(self) -> SystemTime {
        system_time(self.not_before)
    }

    pub(super) fn not_after(self) -> SystemTime {
        system_time(self.not_after)
    }

    /// Half of its life.
    pub(super) fn middle(self) -> SystemTime {
        system_time(self.not_before.midpoint(self.not_after))
    }
}

impl fmt::Debug for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.not_before, self.not_after)
    }
}

fn system_time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(YEAR_9999))
}

const YEAR_2020: u64 = 1_577_836_800;
const YEAR_2200: u64 = 7_258_118_400;
const YEAR_9999: u64 = 253_402_300_799;
