//! A map that never holds more than so many entries: what is remembered of peers must not grow with their number.
//!
//! When it is full an entry makes room that is drawn by lot. Were it the oldest, somebody who asks in turn after one
//! more than there is room for would find none of them.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// At most `MAX` entries.
#[derive(Debug)]
pub(crate) struct Bounded<K, V, const MAX: usize> {
    entries: Vec<(K, V)>,
    /// Where each key stands among them.
    places: HashMap<K, usize>,
    lot: u64,
}

impl<K: Eq + Hash + Clone, V, const MAX: usize> Bounded<K, V, MAX> {
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let place = *self.places.get(key)?;
        self.entries.get(place).map(|(_, value)| value)
    }

    pub(crate) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let place = *self.places.get(key)?;
        self.entries.get_mut(place).map(|(_, value)| value)
    }

    /// Keeps `value` under `key`, in place of another entry if there is no room.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some(held) = self.get_mut(&key) {
            *held = value;
            return;
        }
        if self.entries.len() >= MAX {
            let drawn = self.draw();
            if let Some(unlucky) = self.entries.get(drawn).map(|(key, _)| key.clone()) {
                self.remove(&unlucky);
            }
        }
        self.places.insert(key.clone(), self.entries.len());
        self.entries.push((key, value));
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.places.remove(key)?;
        let (_, value) = self.entries.swap_remove(place);
        if let Some((moved, _)) = self.entries.get(place) {
            self.places.insert(moved.clone(), place);
        }
        Some(value)
    }

    /// A place below `MAX`. Knuth's linear congruential generator: nobody gains anything by foreseeing it.
    fn draw(&mut self) -> usize {
        self.lot = self.lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.lot >> 33).map_or(0, |drawn| drawn % MAX)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.places.len());
        self.entries.len()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }
}

impl<K, V, const MAX: usize> Default for Bounded<K, V, MAX> {
    fn default() -> Self {
        Self { entries: Vec::new(), places: HashMap::new(), lot: 0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, u32),
        Remove(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..24u8, any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
            (0..24u8).prop_map(Step::Remove),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_map_that_may_have_forgotten(steps in prop::collection::vec(step(), 0..200)) {
            let (mut bounded, mut map) = (Bounded::<u8, u32, 8>::default(), HashMap::new());
            for step in steps {
                match step {
                    Step::Insert(key, value) => {
                        let is_known = bounded.get(&key).is_some();
                        let before = bounded.len();
                        bounded.insert(key, value);
                        map.insert(key, value);
                        prop_assert_eq!(bounded.get(&key), Some(&value), "the newest is never the one to go");
                        prop_assert_eq!(bounded.len(), if is_known { before } else { (before + 1).min(8) });
                    }
                    Step::Remove(key) => {
                        let removed = bounded.remove(&key);
                        prop_assert!(removed.is_none() || removed == map.get(&key).copied());
                        map.remove(&key);
                        prop_assert_eq!(bounded.get(&key), None);
                    }
                }
                for key in 0..24 {
                    if let Some(value) = bounded.get(&key).copied() {
                        prop_assert_eq!(map.get(&key), Some(&value));
                        prop_assert_eq!(bounded.get_mut(&key).copied(), Some(value));
                    }
                }
            }
        }
    }

    #[test]
    fn one_more_than_there_is_room_for_does_not_cost_everybody_the_place() {
        let mut map = Bounded::<u32, (), 64>::default();
        let mut found = 0;
        for turn in 0..65 * 100 {
            let key = turn % 65;
            found += u32::from(map.get(&key).is_some());
            map.insert(key, ());
        }
        assert!(found > 65 * 100 / 2, "{found} of {}", 65 * 100);
    }
}
