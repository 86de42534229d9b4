//! The healthy endpoints of a set, looked through once when the set is made: so a choice among ten thousand costs what
//! one among ten does.

use super::{Endpoint, Health};

/// Those that are healthy, and how their weights lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Healthy {
    pub(super) count: usize,
    /// The sum of their weights.
    pub(super) weight: u64,
    /// Whether all weights are the same.
    pub(super) even: bool,
    /// Their places in the set; empty where they are all of it.
    members: Box<[u32]>,
    /// The weights up to and with each of them; empty where they are even.
    sums: Box<[u64]>,
}

impl Healthy {
    pub(super) fn of(endpoints: &[Endpoint]) -> Self {
        let members = || {
            let numbered = (0u32..).zip(endpoints);
            numbered.filter(|(_, endpoint)| endpoint.health == Health::Healthy)
        };
        let weights = || members().map(|(_, endpoint)| endpoint.weight.max(1));
        let even = weights().min() == weights().max();
        let mut weight = 0;
        let sums = weights().map(|own| {
            weight += u64::from(own);
            weight
        });
        let sums: Box<[u64]> = sums.collect();
        let places: Box<[u32]> = members().map(|(place, _)| place).collect();
        let count = places.len();
        Self {
            count,
            weight,
            even,
            members: if count == endpoints.len() { Box::default() } else { places },
            sums: if even { Box::default() } else { sums },
        }
    }

    /// The place of the member with this number, below [`count`](Self::count).
    pub(super) fn nth(&self, number: usize) -> Option<usize> {
        if self.members.is_empty() {
            return (number < self.count).then_some(number);
        }
        self.members.get(number).and_then(|place| usize::try_from(*place).ok())
    }

    /// The number of the member on which `at` of the summed weights falls, where they are not even.
    pub(super) fn by_weight(&self, at: u64) -> usize {
        self.sums.partition_point(|sum| *sum <= at)
    }
}
