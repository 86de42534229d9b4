//! What is picked, by which balance, and what never is.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::endpoint::HashKey;
use crate::endpoint::hash::Ring;
use crate::live::InUse;
use crate::object::ServicePort;

fn addr(at: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, u8::try_from(at / 256).unwrap(), u8::try_from(at % 256).unwrap()], 4143))
}

/// One endpoint each, by health and weight.
fn set(of: &[(Health, u32)]) -> EndpointSet {
    let one = |(at, (health, weight)): (usize, &(Health, u32))| Endpoint {
        name: format!("pod-{at}").into(),
        addr: addr(at),
        target_port: 8080,
        identity: None,
        zone: None,
        weight: *weight,
        health: *health,
    };
    EndpointSet::new(ServicePort::new("shop", "api", 80), of.iter().enumerate().map(one).collect())
}

/// A proxy that has learned what the test says.
#[derive(Default)]
struct Learned {
    by_addr: BTreeMap<SocketAddr, Experience>,
    turn: Cell<u64>,
    ring: Option<Arc<Ring>>,
}

impl Learned {
    fn open(at: impl IntoIterator<Item = usize>) -> Self {
        let open = Experience { admits: false, ..Experience::NONE };
        Self { by_addr: at.into_iter().map(|at| (addr(at), open)).collect(), ..Self::default() }
    }
}

impl Live for Learned {
    fn endpoint(&self, endpoint: &Endpoint, _: Moment) -> Experience {
        self.by_addr.get(&endpoint.addr).copied().unwrap_or(Experience::NONE)
    }

    fn in_use(&self, _: &ServicePort) -> InUse {
        InUse::default()
    }

    fn turn(&self, _: &EndpointSet) -> u64 {
        self.turn.replace(self.turn.get().wrapping_add(1))
    }

    fn ring(&self, _: &EndpointSet) -> Option<Arc<Ring>> {
        self.ring.clone()
    }
}

const H: Health = Health::Healthy;
const U: Health = Health::Unconfirmed;
const D: Health = Health::Draining;
const X: Health = Health::Unhealthy;

fn balances() -> [Balance; 5] {
    [
        Balance::PeakEwma,
        Balance::LeastRequest,
        Balance::RoundRobin,
        Balance::Random,
        Balance::RingHash(HashKey::SourceAddr),
    ]
}

#[test]
fn health_comes_first_then_breakers_then_what_was_asked_before() {
    // (endpoints, breakers open, asked before) -> where from, or why not
    type Row = (&'static [Health], &'static [usize], &'static [usize], Result<(usize, Pool), Refusal>);
    let table: &[Row] = &[
        (&[], &[], &[], Err(Refusal::NoEndpoint)),
        (&[D, X], &[], &[], Err(Refusal::NoEndpoint)),
        (&[H, D, X, U], &[], &[], Ok((0, Pool::Healthy))),
        (&[H, H], &[0], &[], Ok((1, Pool::Healthy))),
        (&[H, H], &[0, 1], &[], Err(Refusal::BreakersOpen)),
        (&[H, D, X], &[0], &[], Err(Refusal::BreakersOpen)),
        (&[H, U], &[0], &[], Ok((1, Pool::Unconfirmed))),
        (&[H, U], &[0, 1], &[], Err(Refusal::BreakersOpen)),
        (&[D, U, X], &[], &[], Ok((1, Pool::Unconfirmed))),
        (&[H, H], &[], &[0], Ok((1, Pool::Healthy))),
        (&[H, H], &[1], &[0], Ok((0, Pool::AskedBefore))),
        (&[H, U], &[], &[0], Ok((0, Pool::AskedBefore))),
        (&[U, U], &[], &[0], Ok((1, Pool::Unconfirmed))),
        (&[U], &[], &[0], Ok((0, Pool::UnconfirmedAskedBefore))),
    ];
    for (health, open, tried, want) in table {
        let set = set(&health.iter().map(|health| (*health, 1)).collect::<Vec<_>>());
        let live = Learned::open(open.iter().copied());
        let tried: Vec<_> = tried.iter().map(|at| addr(*at)).collect();
        for balance in balances() {
            for seed in 0..20 {
                let mut draw = Draw::from_seed(seed);
                let got = pick(&set, &balance, &live, Some(seed), &tried, Moment::START, &mut draw);
                let got = got.map(|pick| (pick.index, pick.from));
                assert_eq!(got, *want, "{health:?} open {open:?} tried {tried:?} {balance:?}");
            }
        }
    }
}

#[test]
fn of_two_draws_the_cheaper_is_asked_and_the_reason_says_so() {
    let set = set(&[(H, 1), (H, 1)]);
    let slow = Experience { admits: true, latency: 9e6, in_flight: 0 };
    let fast = Experience { admits: true, latency: 1e6, in_flight: 3 };
    let mut live = Learned::default();
    live.by_addr.extend([(addr(0), slow), (addr(1), fast)]);
    for seed in 0..50 {
        let ask = |balance: &Balance| {
            pick(&set, balance, &live, None, &[], Moment::START, &mut Draw::from_seed(seed)).unwrap()
        };
        let by_latency = ask(&Balance::PeakEwma);
        let why = PickReason::LessLoadedOfTwo { other: addr(0), other_cost: 9e6, cost: 4e6 };
        assert_eq!((by_latency.index, by_latency.why), (1, why));
        let by_requests = ask(&Balance::LeastRequest);
        let why = PickReason::LessLoadedOfTwo { other: addr(1), other_cost: 3.0, cost: 0.0 };
        assert_eq!((by_requests.index, by_requests.why), (0, why));
    }
}

#[test]
fn endpoints_get_shares_by_weight() {
    let weights = [1, 3, 0, 4]; // 0 counts as 1
    let set = set(&weights.map(|weight| (H, weight)));
    for balance in balances() {
        let live = Learned::default();
        let mut draw = Draw::from_seed(11);
        let mut hits = [0u32; 4];
        for key in 0..9000u64 {
            let key = Some(hash::hash(&key.to_be_bytes()));
            let picked = pick(&set, &balance, &live, key, &[], Moment::START, &mut draw).unwrap();
            hits[picked.index] += 1;
        }
        // A hundred points an endpoint leave a ring a little uneven; all others follow the weights.
        let tolerance = if matches!(balance, Balance::RingHash(_)) { 600 } else { 200 };
        for (hits, weight) in hits.into_iter().zip(weights) {
            assert!(hits.abs_diff(1000 * weight.max(1)) < tolerance, "{balance:?}: {hits} for {weight}");
        }
    }
}

#[test]
fn turns_of_even_weight_go_round_and_a_resting_endpoint_costs_the_others_evenly() {
    let set = set(&[(H, 1); 3]);
    let live = Learned::default();
    let mut draw = Draw::from_seed(0);
    let mut turn = |live: &Learned| {
        pick(&set, &Balance::RoundRobin, live, None, &[], Moment::START, &mut draw).unwrap().index
    };
    let order: Vec<_> = (0..6).map(|_| turn(&live)).collect();
    assert_eq!(order, [0, 1, 2, 0, 1, 2]);
    let live = Learned::open([1]);
    let mut hits = [0u32; 3];
    for _ in 0..600 {
        hits[turn(&live)] += 1;
    }
    assert!(hits[1] == 0 && hits[0].abs_diff(hits[2]) <= 150, "{hits:?}");
}

#[test]
fn a_slow_endpoint_of_ten_gets_far_less_than_its_tenth() {
    let set = set(&[(H, 1); 10]);
    let mut live = Learned::default();
    for at in 0..10 {
        let latency = if at == 4 { 50e6 } else { 1e6 };
        live.by_addr.insert(addr(at), Experience { admits: true, latency, in_flight: 0 });
    }
    let mut draw = Draw::from_seed(5);
    let slow = (0..1000).filter(|_| {
        let picked = pick(&set, &Balance::PeakEwma, &live, None, &[], Moment::START, &mut draw).unwrap();
        picked.index == 4
    });
    assert_eq!(slow.count(), 0, "two different draws never both fall on the slow one");
}

#[test]
fn the_ring_answers_as_the_rule_it_indexes_and_keys_stay_where_they_were() {
    let full = set(&(0..20).map(|at| (H, 1 + at % 3)).collect::<Vec<_>>());
    let ring = Ring::new(&full);
    let mut less = full.clone();
    less.endpoints.remove(7);
    let mut moved = 0;
    for key in 0..2000u64 {
        let key = hash::hash(&key.to_le_bytes());
        let home = ring.find(&full, key, |_| true).unwrap();
        assert_eq!(Some(home), hash::nearest(&full, key, |_| true));
        let only_three = |endpoint: &Endpoint| [3, 9, 15].iter().any(|at| endpoint.addr == addr(*at));
        assert_eq!(ring.find(&full, key, only_three), hash::nearest(&full, key, only_three));
        let without = hash::nearest(&less, key, |_| true).unwrap();
        if full.endpoints[home].addr != less.endpoints[without].addr && home != 7 {
            moved += 1;
        }
    }
    assert!(moved < 60, "{moved} of 2000 keys moved although their endpoint stayed");
    assert_eq!(ring.find(&full, 1, |_| false), None);
    assert_eq!(Ring::new(&set(&[])).find(&set(&[]), 1, |_| true), None);
}

/// What was hashed yesterday must be found tomorrow, by another build: these numbers may never change.
#[test]
fn the_hash_is_pinned() {
    assert_eq!(hash::hash(b""), 17_665_956_581_633_026_203);
    assert_eq!(hash::hash(b"session-1"), 10_348_509_449_063_778_181);
    let ten = set(&[(H, 1); 10]);
    let homes: Vec<_> =
        (0u8..8).map(|key| hash::nearest(&ten, hash::hash(&[key]), |_| true).unwrap()).collect();
    assert_eq!(homes, [8, 7, 4, 7, 7, 6, 8, 8]);
}

proptest! {
    /// What is known of a set beforehand is what looking through it finds.
    #[test]
    fn the_healthy_are_known_as_they_are_found(
        of in proptest::collection::vec(
            (proptest::sample::select(Health::ALL.to_vec()), prop_oneof![Just(1_u32), 0_u32..5]), 0..12),
        at in any::<u64>(),
    ) {
        let set = set(&of);
        let holds = |endpoint: &Endpoint| Pool::Healthy.holds(endpoint, &[]);
        let (known, found) = (Field::healthy(&set, holds), Field::new(&set, holds));
        prop_assert_eq!((known.count, known.weight, known.even), (found.count, found.weight, found.even));
        for number in 0..=of.len() {
            prop_assert_eq!(known.nth(number), found.nth(number));
        }
        if known.weight > 0 {
            let at = at % known.weight;
            prop_assert_eq!(known.by_weight(at), found.by_weight(at), "{} of {}", at, known.weight);
        }
    }

    /// Whatever the set, the breakers and the balance: only admitted, sendable endpoints, from the best pool.
    #[test]
    fn a_pick_is_always_admitted_and_from_the_best_pool_that_admits(
        endpoints in prop::collection::vec((prop::sample::select(vec![H, U, D, X]), 0u32..5), 0..12),
        open in prop::collection::vec(0usize..12, 0..8),
        tried in prop::collection::vec(0usize..12, 0..4),
        which in 0usize..5,
        key in prop::option::of(any::<u64>()),
        seed in any::<u64>(),
        indexed in any::<bool>(),
    ) {
        let set = set(&endpoints);
        let mut live = Learned::open(open);
        live.ring = indexed.then(|| Arc::new(Ring::new(&set)));
        let tried: Vec<_> = tried.into_iter().map(addr).collect();
        let balance = &balances()[which];
        let admits = |endpoint: &Endpoint| live.endpoint(endpoint, Moment::START).admits;
        let best = Pool::ALL
            .into_iter()
            .find(|pool| set.endpoints.iter().any(|e| pool.holds(e, &tried) && admits(e)));
        let sendable = set.endpoints.iter().any(|e| matches!(e.health, H | U));
        let ask = || {
            live.turn.set(seed);
            pick(&set, balance, &live, key, &tried, Moment::START, &mut Draw::from_seed(seed))
        };
        let got = ask();
        match (got, best) {
            (Ok(pick), Some(best)) => {
                prop_assert_eq!(pick.from, best);
                prop_assert!(best.holds(pick.endpoint, &tried) && admits(pick.endpoint));
                prop_assert!(std::ptr::eq(pick.endpoint, &set.endpoints[pick.index]));
            }
            (Err(refusal), None) => {
                let want = if sendable { Refusal::BreakersOpen } else { Refusal::NoEndpoint };
                prop_assert_eq!(refusal, want);
            }
            (got, best) => prop_assert!(false, "{:?} though {:?}", got, best),
        }
        prop_assert_eq!(got, ask());
    }
}
