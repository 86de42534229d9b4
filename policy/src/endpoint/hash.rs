//! The same endpoint for the same key, and for nearly all keys still the same one after an endpoint has come or
//! gone: a ring of points (Karger et al., 1997; ketama).
//!
//! Every endpoint has points that follow from its own address alone, and a key belongs to the endpoint whose
//! point comes next after it. [`nearest`] is that sentence; a [`Ring`] is an index over it that gives the same
//! answer faster. Both use a hash of our own, because proxies of different builds must agree.

use crate::facts::Facts;

use super::{Endpoint, EndpointSet, HashKey};

/// The points of a set, sorted. Built once when the endpoints arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Point, and the place of its endpoint in the set.
    points: Vec<(u64, u32)>,
    endpoints: usize,
}

impl Ring {
    /// Indexes a set: about 100 points an endpoint, more for a heavier one.
    #[must_use]
    pub fn new(set: &EndpointSet) -> Self {
        let scale = Scale::of(set);
        let mut points: Vec<(u64, u32)> = (0..)
            .zip(&set.endpoints)
            .flat_map(|(at, endpoint)| scale.points(endpoint).map(move |point| (point, at)))
            .collect();
        points.sort_unstable();
        Self { points, endpoints: set.endpoints.len() }
    }

    /// The endpoint a key belongs to among those that are `admissible`, by its place in the set this ring was
    /// built of: the same as [`nearest`] gives. Walks past a bounded number of points of inadmissible endpoints,
    /// then asks each endpoint once instead.
    #[must_use]
    pub fn find(
        &self,
        set: &EndpointSet,
        key: u64,
        mut admissible: impl FnMut(&Endpoint) -> bool,
    ) -> Option<usize> {
        let start = self.points.partition_point(|(point, _)| *point < key);
        let onwards = self.points.iter().skip(start).chain(self.points.iter().take(start));
        for (_, at) in onwards.take(WALK) {
            let at = usize::try_from(*at).ok()?;
            if set.endpoints.get(at).is_some_and(&mut admissible) {
                return Some(at);
            }
        }
        nearest(set, key, admissible)
    }

    /// Whether this could be the ring of that set. A cache keyed by anything weaker than the set itself asks.
    #[must_use]
    pub const fn is_of(&self, set: &EndpointSet) -> bool {
        self.endpoints == set.endpoints.len()
    }
}

/// The endpoint whose point comes next after `key` among those that are `admissible`, by its place in the set.
/// Asks each endpoint once, computes every point, and allocates nothing.
#[must_use]
pub fn nearest(set: &EndpointSet, key: u64, mut admissible: impl FnMut(&Endpoint) -> bool) -> Option<usize> {
    let scale = Scale::of(set);
    let candidates = set.endpoints.iter().enumerate().filter(|(_, endpoint)| admissible(endpoint));
    let next = |endpoint| scale.points(endpoint).map(|point| point.wrapping_sub(key)).min();
    candidates.filter_map(|(at, endpoint)| Some((next(endpoint)?, at))).min().map(|(_, at)| at)
}

impl HashKey {
    /// The key of a request; `None` where it lacks what is hashed.
    #[must_use]
    pub fn of(&self, facts: &Facts<'_>) -> Option<u64> {
        match self {
            Self::Header(name) => Some(hash(facts.request?.headers.get(name)?.as_bytes())),
            Self::SourceAddr => Some(match facts.source.addr?.to_canonical() {
                std::net::IpAddr::V4(v4) => hash(&v4.octets()),
                std::net::IpAddr::V6(v6) => hash(&v6.octets()),
            }),
        }
    }
}

/// FNV-1a, then SplitMix64's finisher, since FNV alone leaves the high bits of short keys close together.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    mix(fnv(FNV_OFFSET, bytes))
}

/// How many points a unit of weight is worth in one set.
struct Scale {
    endpoints: u128,
    total_weight: u128,
}

impl Scale {
    fn of(set: &EndpointSet) -> Self {
        let total_weight = set.endpoints.iter().map(|endpoint| u128::from(endpoint.weight.max(1))).sum();
        Self { endpoints: set.endpoints.len() as u128, total_weight }
    }

    /// 100 for the average weight. Points of a lesser count are the first of a greater one, so a change of
    /// weights moves few keys.
    fn points(&self, endpoint: &Endpoint) -> impl Iterator<Item = u64> + use<> {
        let share = POINTS * self.endpoints * u128::from(endpoint.weight.max(1)) / self.total_weight.max(1);
        let count = u64::try_from(share.max(1)).unwrap_or(u64::MAX);
        let seed = match endpoint.addr.ip().to_canonical() {
            std::net::IpAddr::V4(v4) => fnv(FNV_OFFSET, &v4.octets()),
            std::net::IpAddr::V6(v6) => fnv(FNV_OFFSET, &v6.octets()),
        };
        let seed = mix(fnv(seed, &endpoint.addr.port().to_be_bytes()));
        (1..=count).map(move |nth| mix(seed.wrapping_add(nth.wrapping_mul(GOLDEN))))
    }
}

fn fnv(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

const FNV_OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01B3;
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const POINTS: u128 = 100;
const WALK: usize = 128;
