//! Streams that have not said who they are the proxy of: so many of one identity, and no more.
//!
//! A proxy says Hello with its first bytes, so a stream is in here for a round trip, and a whole fleet that comes back
//! at once under one service account has room. Whoever opens streams and says nothing fills its own identity's room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weft_policy::identity::SpiffeId;

/// How many there are, by identity. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Unspoken(Arc<Mutex<HashMap<SpiffeId, usize>>>);

/// One of them. Dropping it says that it has spoken, or gone.
#[derive(Debug)]
pub(super) struct Silence {
    unspoken: Unspoken,
    id: SpiffeId,
}

impl Unspoken {
    /// One more of this identity; `None` if it has as many as it may.
    pub(super) fn one_more(&self, id: &SpiffeId) -> Option<Silence> {
        let mut all = self.lock();
        let count = all.entry(id.clone()).or_default();
        if *count >= MOST {
            return None;
        }
        *count += 1;
        Some(Silence { unspoken: self.clone(), id: id.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SpiffeId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let mut all = self.unspoken.lock();
        if let Some(count) = all.get_mut(&self.id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                all.remove(&self.id);
            }
        }
    }
}

const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_says_nothing_fills_its_own_room_and_leaves_nothing_behind() {
        let unspoken = Unspoken::default();
        let [web, api]: [SpiffeId; 2] =
            ["web", "api"].map(|name| format!("spiffe://mesh/ns/shop/sa/{name}").parse().unwrap());
        let mut silent: Vec<_> = (0..MOST).map(|_| unspoken.one_more(&web).unwrap()).collect();
        assert!(unspoken.one_more(&web).is_none());
        assert!(unspoken.one_more(&api).is_some());
        silent.pop();
        assert!(unspoken.one_more(&web).is_some());
        drop(silent);
        assert!(unspoken.lock().is_empty());
    }
}
