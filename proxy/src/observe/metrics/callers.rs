//! Who has come without mTLS and was let in: whom a strict mode would keep out. By address, since it is all that is known
//! of them; the control plane is told, and there an operator asks before he turns anything strict.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The last of them. Bound: [`MOST`](Self::MOST) addresses of the last [`KEPT`](Self::KEPT); the oldest makes room.
#[derive(Debug, Default)]
pub struct PlaintextCallers {
    /// When each came last, in seconds since 1970.
    last: Mutex<BTreeMap<IpAddr, u64>>,
}

impl PlaintextCallers {
    /// So many addresses are remembered.
    pub const MOST: usize = 32;
    /// For so long: who calls once a day is seen by who asks the day after.
    pub const KEPT: Duration = Duration::from_secs(86_400);

    /// One has come, `now` seconds after 1970. It is not waited for: who comes again is noted then.
    pub fn note(&self, caller: IpAddr, now: u64) {
        let Ok(mut last) = self.last.try_lock() else { return };
        if let Some(before) = last.get_mut(&caller) {
            *before = now;
            return;
        }
        if last.len() >= Self::MOST
            && let Some(oldest) = last.iter().min_by_key(|(_, at)| **at).map(|(address, _)| *address)
        {
            last.remove(&oldest);
        }
        last.insert(caller, now);
    }

    /// Who they are, and when each came last.
    #[must_use]
    pub fn lately(&self, now: u64) -> Vec<(IpAddr, u64)> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, at| at.saturating_add(Self::KEPT.as_secs()) >= now);
        last.iter().map(|(address, at)| (*address, *at)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_callers_are_known_each_once_for_a_day_and_never_more_than_there_is_room_for() {
        let callers = PlaintextCallers::default();
        let address = |nth: u8| IpAddr::from([10, 0, 0, nth]);
        for nth in 0..40 {
            callers.note(address(nth), 100 + u64::from(nth));
        }
        callers.note(address(8), 200);
        let lately = callers.lately(200);
        assert_eq!(lately.len(), PlaintextCallers::MOST);
        assert_eq!(lately.first(), Some(&(address(8), 200)));
        assert_eq!(callers.lately(120 + 86_400).first(), Some(&(address(8), 200)));
        assert_eq!(callers.lately(200 + 86_400), [(address(8), 200)]);
        assert!(callers.lately(201 + 86_400).is_empty());
    }
}
