//! Workloads that announced themselves, beneath those that an operator declared: a declared workload hides a
//! registered one of the same name, and the registered one comes to light again when the declaration goes.

use std::collections::BTreeMap;

use weft_manifests::object::Object;
use weft_manifests::set::Change;
use weft_policy::object::ObjectRef;

use crate::source::Placed;

/// What was registered.
#[derive(Clone, Debug, Default)]
pub struct Overlay(BTreeMap<ObjectRef, Object>);

impl Overlay {
    /// What a change of what was learned changes in the set, given what is declared.
    pub fn learn(&mut self, change: Change, declared: &BTreeMap<ObjectRef, Placed>) -> Option<Change> {
        let key = match &change {
            Change::Upsert(object) => {
                let key = object.key();
                self.0.insert(key.clone(), object.clone());
                key
            }
            Change::Delete(key) => {
                self.0.remove(key);
                key.clone()
            }
            Change::Health { .. } => return Some(change),
        };
        (!declared.contains_key(&key)).then_some(change)
    }

    /// What takes the place of a declaration that is gone.
    #[must_use]
    pub fn beneath(&self, key: &ObjectRef) -> Change {
        self.0.get(key).map_or_else(|| Change::Delete(key.clone()), |object| Change::Upsert(object.clone()))
    }
}

/// What turns one declaration into the next.
pub fn difference<'d>(
    before: &'d BTreeMap<ObjectRef, Placed>,
    now: &'d BTreeMap<ObjectRef, Placed>,
    overlay: &'d Overlay,
) -> impl Iterator<Item = Change> + 'd {
    let gone = before.keys().filter(|key| !now.contains_key(*key)).map(|key| overlay.beneath(key));
    let new = now
        .iter()
        .filter(|(key, placed)| before.get(*key).is_none_or(|held| !held.object.is_same(&placed.object)))
        .map(|(_, placed)| Change::Upsert(placed.object.clone()));
    gone.chain(new)
}
