//! What there is to write: what has not been said yet, without what was refused a moment ago.

use std::collections::BTreeMap;

use tokio::time::Instant;
use weft_policy::object::ObjectRef;

use super::wanted::Wanted;
use super::{Judged, LOOK_AGAIN};

/// What has been said since we write.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) said: BTreeMap<ObjectRef, Wanted>,
    pub(super) judged: Option<Judged>,
    /// Whether all of what was judged has been said.
    pub(super) is_done: bool,
    /// When all objects were last looked at.
    pub(super) looked: Option<Instant>,
    /// What could not be said, and until when that is left alone.
    aside: BTreeMap<ObjectRef, (Wanted, Instant)>,
}

impl Said {
    pub(super) fn is_old(&self) -> bool {
        self.looked.is_none_or(|looked| looked.elapsed() > LOOK_AGAIN)
    }

    /// Leaves an object alone for a while, unless there is something else to say of it.
    pub(super) fn put_aside(&mut self, key: ObjectRef, wanted: Wanted, until: Instant) {
        self.aside.insert(key, (wanted, until));
    }

    /// What there is to say that was not said, the newest changes first.
    pub(super) fn due(&mut self) -> Vec<(ObjectRef, Wanted)> {
        let Some(Judged { basis, wanted, .. }) = &self.judged else { return Vec::new() };
        let now = Instant::now();
        self.said.retain(|key, _| wanted.contains_key(key));
        self.aside.retain(|key, (refused, until)| now < *until && wanted.get(key) == Some(refused));
        let new = wanted
            .iter()
            .filter(|(key, wanted)| self.said.get(key) != Some(wanted) && !self.aside.contains_key(key));
        let mut due: Vec<_> = new.map(|(key, wanted)| (key.clone(), wanted.clone())).collect();
        due.sort_by_key(|(key, _)| std::cmp::Reverse(basis.view.since.get(key).copied().unwrap_or_default()));
        due
    }
}
