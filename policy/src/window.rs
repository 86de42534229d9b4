//! Counting over a sliding window, shared without a lock.
//!
//! Time is cut into slices, and each of `N` slots holds the count of one slice together with the slice's number in
//! a single word. So a slot that is reused is emptied and counted in one step, and nobody has to sweep.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::moment::Moment;

/// The counts of the last `N` slices.
#[derive(Debug)]
pub(crate) struct Window<const N: usize>([AtomicU64; N]);

/// The number of a slice of time. Wraps after 2^32 slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice(u32);

impl Slice {
    /// The slice in which `now` lies, where each is `length` long.
    pub(crate) fn at(now: Moment, length: Duration) -> Self {
        let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self((now.as_nanos() / length) as u32)
    }
}

impl<const N: usize> Window<N> {
    /// The ages of slices that another thread, a little ahead, has begun.
    const AHEAD: std::ops::Range<i32> = -(N as i32)..0;

    /// Counts one.
    pub(crate) fn add(&self, slice: Slice) {
        let count_one = |word| {
            let (holds, count) = unpack(word);
            match age(slice, holds) {
                0 => Some(pack(holds, count.saturating_add(1))),
                // So late that its slot has moved on. Anything further ahead is from before the numbers wrapped.
                age if Self::AHEAD.contains(&age) && count > 0 => None,
                _ => Some(pack(slice, 1)),
            }
        };
        if let Some(slot) = self.slot(slice) {
            let _ = slot.fetch_update(Relaxed, Relaxed, count_one); // declining is as good as counting
        }
    }

    /// Takes one back that was counted in this slice.
    pub(crate) fn take_back(&self, slice: Slice) {
        let uncount = |word| {
            let (holds, count) = unpack(word);
            (holds == slice && count > 0).then(|| pack(holds, count - 1))
        };
        if let Some(slot) = self.slot(slice) {
            let _ = slot.fetch_update(Relaxed, Relaxed, uncount); // the slot may have moved on
        }
    }

    /// The sum over this slice and the `slices - 1` before it, and over what other threads, a little ahead, have
    /// counted after it.
    pub(crate) fn sum(&self, slice: Slice, slices: i32) -> u64 {
        let counted = self.0.iter().map(|slot| unpack(slot.load(Relaxed)));
        counted
            .filter(|(holds, _)| (Self::AHEAD.start..slices).contains(&age(slice, *holds)))
            .map(|(_, count)| u64::from(count))
            .sum()
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        for slot in &self.0 {
            slot.store(0, Relaxed);
        }
    }

    fn slot(&self, slice: Slice) -> Option<&AtomicU64> {
        self.0.get(slice.0 as usize % N)
    }
}

impl<const N: usize> Default for Window<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

const fn age(now: Slice, of: Slice) -> i32 {
    now.0.wrapping_sub(of.0).cast_signed()
}

const fn pack(slice: Slice, count: u32) -> u64 {
    (slice.0 as u64) << 32 | count as u64
}

const fn unpack(word: u64) -> (Slice, u32) {
    (Slice((word >> 32) as u32), word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_counts_until_the_window_has_moved_past_it() {
        let window = Window::<4>::default();
        for slice in [10, 10, 11, 13] {
            window.add(Slice(slice));
        }
        // (asked at, over how many slices) -> sum
        for (at, slices, want) in [(13, 4, 4), (13, 3, 2), (13, 1, 1), (14, 4, 2), (16, 4, 1), (17, 4, 0)] {
            assert_eq!(window.sum(Slice(at), slices), want, "{at} {slices}");
        }
        window.add(Slice(14)); // takes the slot of 10
        assert_eq!(window.sum(Slice(14), 4), 3);
        window.add(Slice(10)); // too late
        window.take_back(Slice(10));
        assert_eq!(window.sum(Slice(14), 4), 3);
        window.take_back(Slice(14));
        assert_eq!(window.sum(Slice(14), 4), 2);
        window.clear();
        assert_eq!(window.sum(Slice(14), 4), 0);
    }

    #[test]
    fn slices_wrap() {
        let window = Window::<4>::default();
        window.add(Slice(u32::MAX));
        window.add(Slice(0));
        assert_eq!(window.sum(Slice(0), 4), 2);
    }
}
