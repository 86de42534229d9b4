//! One choice among endpoints.
//!
//! Two draws rather than the best of all, because every proxy sees the same "best" and would send it everything
//! at once (Mitzenmacher, "The power of two choices", 2001). Draws are made first and breakers asked only about
//! what was drawn; where one of those is open, the draw is made again among those that admit.
//!
//! Invariant: never an endpoint whose breaker is open, and never one that drains or fails its checks, even if
//! all do. Spreading over endpoints known to be bad ("panic") would trade a clear refusal for slow failures.

use std::net::SocketAddr;

use crate::draw::Draw;
use crate::live::{Experience, Live};
use crate::moment::Moment;
use crate::refuse::Refusal;

use super::healthy::Healthy;
use super::{Balance, Endpoint, EndpointSet, Health, hash, load};

/// A choice and its reason.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pick<'s> {
    /// Ask this one.
    pub endpoint: &'s Endpoint,
    /// Its place in the set.
    pub index: usize,
    /// Among which it was chosen.
    pub from: Pool,
    /// Why this one of them.
    pub why: PickReason,
}

/// Endpoints that are equally good, best first: only the first pool that admits anything is chosen from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Healthy, and not asked yet by this request.
    Healthy,
    /// Healthy, but this request has asked it before.
    AskedBefore,
    /// Their last word is old, and nothing healthy is left.
    Unconfirmed,
    /// Both.
    UnconfirmedAskedBefore,
}

/// Why an endpoint was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PickReason {
    /// There was no other.
    OnlyOne,
    /// Of two draws it costs less: nanoseconds × requests, or requests, as the balance says.
    LessLoadedOfTwo {
        /// The other draw.
        other: SocketAddr,
        /// What it would cost.
        other_cost: f64,
        /// What the chosen one costs.
        cost: f64,
    },
    /// Its turn.
    Turn,
    /// By chance: so the balance says, or both draws fell on it, or there was no key to hash.
    Chance,
    /// The key belongs to it.
    Hash,
}

/// Chooses an endpoint for one try. `key` is [`HashKey::of`](super::HashKey::of) the request where the balance
/// hashes; `tried` are the endpoints this request has asked before, avoided while there are others.
///
/// # Errors
/// [`Refusal::NoEndpoint`] where none is healthy or unconfirmed, [`Refusal::BreakersOpen`] where some are and
/// none admits.
pub fn pick<'s>(
    set: &'s EndpointSet,
    balance: &Balance,
    live: &impl Live,
    key: Option<u64>,
    tried: &[SocketAddr],
    now: Moment,
    draw: &mut Draw,
) -> Result<Pick<'s>, Refusal> {
    let mut refusal = Refusal::NoEndpoint;
    // Asked once: a proxy may count the asking.
    let turn = if *balance == Balance::RoundRobin { live.turn(set) } else { 0 };
    for from in Pool::ALL {
        let holds = |endpoint: &Endpoint| from.holds(endpoint, tried);
        let field = match from {
            Pool::Healthy if tried.is_empty() => Field::healthy(set, holds),
            _ => Field::new(set, holds),
        };
        if field.count == 0 {
            continue;
        }
        refusal = Refusal::BreakersOpen;
        let experience = |endpoint: &Endpoint| live.endpoint(endpoint, now);
        let found = choose(&field, &Asked { balance, live, key, turn }, experience, draw).or_else(|| {
            let strict = Field::new(set, |endpoint| holds(endpoint) && experience(endpoint).admits);
            choose(&strict, &Asked { balance, live, key, turn }, experience, draw)
        });
        if let Some((index, why)) = found
            && let Some(endpoint) = set.endpoints.get(index)
        {
            return Ok(Pick { endpoint, index, from, why });
        }
    }
    Err(refusal)
}

impl Pool {
    const ALL: [Self; 4] =
        [Self::Healthy, Self::AskedBefore, Self::Unconfirmed, Self::UnconfirmedAskedBefore];

    fn holds(self, endpoint: &Endpoint, tried: &[SocketAddr]) -> bool {
        let (health, asked) = match self {
            Self::Healthy => (Health::Healthy, false),
            Self::AskedBefore => (Health::Healthy, true),
            Self::Unconfirmed => (Health::Unconfirmed, false),
            Self::UnconfirmedAskedBefore => (Health::Unconfirmed, true),
        };
        endpoint.health == health && tried.contains(&endpoint.addr) == asked
    }
}

/// What decides among equally good endpoints.
struct Asked<'p, L> {
    balance: &'p Balance,
    live: &'p L,
    key: Option<u64>,
    turn: u64,
}

/// `None` where what was drawn does not admit.
fn choose(
    field: &Field<'_, impl Fn(&Endpoint) -> bool>,
    asked: &Asked<'_, impl Live>,
    experience: impl Fn(&Endpoint) -> Experience,
    draw: &mut Draw,
) -> Option<(usize, PickReason)> {
    let admitted = |index: usize, why: PickReason| {
        field.endpoint(index).is_some_and(|endpoint| experience(endpoint).admits).then_some((index, why))
    };
    if field.count <= 1 {
        return admitted(field.nth(0)?, PickReason::OnlyOne);
    }
    match (asked.balance, asked.key) {
        (Balance::PeakEwma, _) => less_loaded(field, experience, load::peak_ewma, draw),
        (Balance::LeastRequest, _) => less_loaded(field, experience, load::least_request, draw),
        (Balance::RoundRobin, _) => admitted(field.turn(asked.turn)?, PickReason::Turn),
        (Balance::RingHash(_), Some(key)) => {
            let admissible = |endpoint: &Endpoint| (field.holds)(endpoint) && experience(endpoint).admits;
            let index = match asked.live.ring(field.set).filter(|ring| ring.is_of(field.set)) {
                Some(ring) => ring.find(field.set, key, admissible),
                None => hash::nearest(field.set, key, admissible),
            };
            index.map(|index| (index, PickReason::Hash))
        }
        (Balance::Random, _) | (Balance::RingHash(_), None) => {
            admitted(field.by_weight(draw.below(field.weight))?, PickReason::Chance)
        }
    }
}

fn less_loaded(
    field: &Field<'_, impl Fn(&Endpoint) -> bool>,
    experience: impl Fn(&Endpoint) -> Experience,
    cost: impl Fn(&Experience, u32) -> f64,
    draw: &mut Draw,
) -> Option<(usize, PickReason)> {
    let (first, second) = field.two(draw)?;
    let known = |index| {
        let endpoint = field.endpoint(index)?;
        let experience = experience(endpoint);
        experience.admits.then(|| (endpoint.addr, cost(&experience, endpoint.weight)))
    };
    let (first_addr, first_cost) = known(first)?;
    if first == second {
        return Some((first, PickReason::Chance));
    }
    let (second_addr, second_cost) = known(second)?;
    // Equal costs leave it to the first draw, which fell by weight.
    Some(if second_cost < first_cost {
        let why =
            PickReason::LessLoadedOfTwo { other: first_addr, other_cost: first_cost, cost: second_cost };
        (second, why)
    } else {
        let why =
            PickReason::LessLoadedOfTwo { other: second_addr, other_cost: second_cost, cost: first_cost };
        (first, why)
    })
}

/// The endpoints of a set that are chosen from, counted but not copied.
struct Field<'s, F> {
    set: &'s EndpointSet,
    holds: F,
    /// Where they are all that are healthy, which are known beforehand. The rest are looked for, each time.
    known: Option<&'s Healthy>,
    count: usize,
    /// The sum of their weights.
    weight: u64,
    /// Whether all weights are the same.
    even: bool,
}

impl<'s, F: Fn(&Endpoint) -> bool> Field<'s, F> {
    fn new(set: &'s EndpointSet, holds: F) -> Self {
        let (mut count, mut weight, mut lightest, mut heaviest) = (0, 0, u32::MAX, 0);
        for endpoint in set.endpoints.iter().filter(|endpoint| holds(endpoint)) {
            let own = endpoint.weight.max(1);
            count += 1;
            weight += u64::from(own);
            (lightest, heaviest) = (lightest.min(own), heaviest.max(own));
        }
        Self { set, holds, known: None, count, weight, even: lightest >= heaviest }
    }

    /// All that are healthy, which is what `holds` says too.
    fn healthy(set: &'s EndpointSet, holds: F) -> Self {
        let Healthy { count, weight, even, .. } = set.healthy;
        Self { set, holds, known: Some(&set.healthy), count, weight, even }
    }

    fn endpoint(&self, index: usize) -> Option<&'s Endpoint> {
        self.set.endpoints.get(index)
    }

    fn members(&self) -> impl Iterator<Item = (usize, &'s Endpoint)> {
        self.set.endpoints.iter().enumerate().filter(|(_, endpoint)| (self.holds)(endpoint))
    }

    /// The place in the set of the member with this number.
    fn nth(&self, number: usize) -> Option<usize> {
        if let Some(known) = self.known {
            return known.nth(number);
        }
        self.members().nth(number).map(|(index, _)| index)
    }

    /// The member on which `at` of the summed weights falls.
    fn by_weight(&self, at: u64) -> Option<usize> {
        if self.even {
            let each = self.weight / self.count.max(1) as u64;
            return self.nth(usize::try_from(at / each.max(1)).ok()?);
        }
        if let Some(known) = self.known {
            return known.nth(known.by_weight(at));
        }
        let mut left = at;
        let hit = self.members().find(|(_, endpoint)| {
            let weight = u64::from(endpoint.weight.max(1));
            let hit = left < weight;
            left = left.saturating_sub(weight);
            hit
        });
        hit.map(|(index, _)| index)
    }

    /// Two draws. Of even weights two different ones; else by weight, each for itself: were they always
    /// different, two endpoints would always meet each other and their weights would have no say.
    fn two(&self, draw: &mut Draw) -> Option<(usize, usize)> {
        if !self.even {
            return Some((
                self.by_weight(draw.below(self.weight))?,
                self.by_weight(draw.below(self.weight))?,
            ));
        }
        let count = self.count as u64;
        let first = draw.below(count);
        let second = draw.below(count.saturating_sub(1));
        let second = if second >= first { second + 1 } else { second };
        Some((self.nth(usize::try_from(first).ok()?)?, self.nth(usize::try_from(second).ok()?)?))
    }

    /// Whose turn it is. Of uneven weights the heavier come more often, and spread out: the turns walk the
    /// summed weights in strides near the golden section.
    fn turn(&self, turn: u64) -> Option<usize> {
        if self.even {
            return self.nth(usize::try_from(turn % self.count.max(1) as u64).ok()?);
        }
        let at = u128::from(turn) * u128::from(stride(self.weight)) % u128::from(self.weight);
        self.by_weight(u64::try_from(at).ok()?)
    }
}

/// A step near `total` × 0.618 that has no factor in common with it, so that `total` steps visit everything.
fn stride(total: u64) -> u64 {
    let near = u64::try_from(u128::from(total) * 618 / 1000).unwrap_or(1).max(1);
    (near..total).find(|step| gcd(*step, total) == 1).unwrap_or(1)
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
