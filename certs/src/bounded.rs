//! A map that never holds more than so many entries: what is remembered of peers must not grow with their number.
//!
//! When it is full an arbitrary entry makes room. Whoever is asked in turn more often than there are entries would lose
//! every one of them to "the oldest first"; so some stay.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// At most `MAX` entries.
#[derive(Debug)]
pub(crate) struct Bounded<K, V, const MAX: usize>(HashMap<K, V>);

impl<K: Eq + Hash + Clone, V, const MAX: usize> Bounded<K, V, MAX> {
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    pub(crate) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key)
    }

    /// Keeps `value` under `key`, in place of another entry if there is no room.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.0.len() >= MAX && !self.0.contains_key(&key) {
            // A map starts at a random place of its own, so this is nobody's in particular.
            if let Some(other) = self.0.keys().next().cloned() {
                self.0.remove(&other);
            }
        }
        self.0.insert(key, value);
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.0.remove(key);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values()
    }
}

impl<K, V, const MAX: usize> Default for Bounded<K, V, MAX> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_the_newest_and_no_more_than_it_may() {
        let mut map = Bounded::<u32, u32, 8>::default();
        for n in 0..1000 {
            map.insert(n, n);
            assert_eq!(map.get(&n), Some(&n));
            assert!(map.len() <= 8);
        }
    }

    #[test]
    fn what_is_kept_again_costs_nobody_its_place() {
        let mut map = Bounded::<u32, u32, 2>::default();
        map.insert(1, 1);
        map.insert(2, 2);
        map.insert(1, 3);
        assert_eq!((map.get(&1), map.get(&2)), (Some(&3), Some(&2)));
        map.remove(&1);
        assert_eq!(map.get(&1), None);
    }
}
