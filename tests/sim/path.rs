//! What a proxy decides on the path of a request, over a simulated minute: whom to ask, whether to ask again, whom to leave
//! alone. The decisions are the real ones (`policy`); requests, servers and time are drawn from the seed.
//!
//! There is no network here: an event is a request that begins or a try that ends.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use weft_policy::breaker::{Breaker, BreakerConfig, BreakerState, Outcome, Permit};
use weft_policy::draw::Draw;
use weft_policy::endpoint::pick;
use weft_policy::endpoint::{Balance, Endpoint, EndpointSet, Health};
use weft_policy::live::{Experience, InUse, Live};
use weft_policy::moment::Moment;
use weft_policy::object::ServicePort;
use weft_policy::retry::{self, Attempt, Budget, BudgetConfig, Failure, Next, Replay, Retry};

use crate::trace::Trace;

/// How servers fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failing {
    /// All of them, with every request, for a while.
    Storm,
    /// One at a time.
    One,
    /// Each now and then.
    Some,
    /// None; but discovery says of one after the other that it is sick, or going.
    Told,
}

struct Server {
    breaker: Breaker,
    in_flight: u32,
    /// When it fails.
    bad: Vec<(Duration, Duration)>,
}

struct Path {
    servers: BTreeMap<SocketAddr, RefCell<Server>>,
}

impl Live for Path {
    fn endpoint(&self, endpoint: &Endpoint, now: Moment) -> Experience {
        let server = self.servers[&endpoint.addr].borrow();
        let admits = server.breaker.admits(&breakers(), now);
        Experience { admits, latency: 1e6, in_flight: server.in_flight }
    }

    fn in_use(&self, _: &ServicePort) -> InUse {
        InUse::default()
    }

    fn turn(&self, _: &EndpointSet) -> u64 {
        0
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Request { id: u64 },
    Try { id: u64, number: u32, idempotent: bool },
    End { id: u64, number: u32, idempotent: bool, at: SocketAddr, began: Duration, failed: bool },
}

/// Most of a simulated minute, of which the last part is without failures.
pub(crate) fn run(failing: Failing, seed: u64) -> Result<Trace, String> {
    let mut draw = Draw::from_seed(seed ^ failing as u64);
    let mut trace = Trace::default();
    let of = ServicePort::new("shop", "api", 80);
    let addrs: Vec<SocketAddr> = (1..=4).map(|host| SocketAddr::from(([10, 1, 0, host], 4143))).collect();
    let mut path = Path { servers: BTreeMap::new() };
    for (index, addr) in addrs.iter().enumerate() {
        let bad = match failing {
            Failing::Storm => vec![(secs(5), secs(12 + draw.below(16)))],
            Failing::One if index == 0 => vec![(secs(3), secs(6 + draw.below(22)))],
            Failing::Some => (0..3)
                .map(|_| {
                    let from = draw.below(20);
                    (secs(from), secs(from + 1 + draw.below(8)))
                })
                .collect(),
            Failing::One | Failing::Told => Vec::new(),
        };
        path.servers.insert(*addr, RefCell::new(Server { breaker: Breaker::default(), in_flight: 0, bad }));
    }
    let (config, budgets, balance) = (breakers(), BudgetConfig::default(), Balance::default());
    let retry = Retry { attempts: 3, statuses: vec![503], ..Retry::default() };
    let budget = Budget::default();
    let rate = 20 + draw.below(80);
    let mut events = BinaryHeap::from([Reverse((Duration::ZERO, Event::Request { id: 0 }))]);
    let (mut first_tries, mut retries) = (VecDeque::new(), VecDeque::new());
    let (mut permits, mut answered): (BTreeMap<(u64, u32), Permit>, _) = (BTreeMap::new(), BTreeMap::new());
    let (mut offered, mut sent, mut bad_at_the_end) = (0_u64, 0_u64, 0_u64);
    let mut sick: Option<usize> = None;
    while let Some(Reverse((at, event))) = events.pop() {
        let now = Moment::START + secs(3600) + at;
        // What discovery says changes every two seconds.
        if failing == Failing::Told && at < HEALTHY {
            sick = Some(usize::try_from(at.as_secs() / 2 % 5).unwrap_or(0));
        } else {
            sick = sick.filter(|_| at < HEALTHY);
        }
        let health = |index: usize| match sick {
            Some(one) if one == index => {
                if at.as_secs() % 4 < 2 {
                    Health::Unhealthy
                } else {
                    Health::Draining
                }
            }
            _ => Health::Healthy,
        };
        match event {
            Event::Request { id } => {
                if at < ENDS {
                    let gap = 2_000_000 * draw.below(1000) / 1000 / rate;
                    events
                        .push(Reverse((at + Duration::from_micros(gap + 1), Event::Request { id: id + 1 })));
                }
                offered += 1;
                first_tries.push_back(at);
                budget.record_request(&budgets, now);
                let idempotent = draw.below(3) > 0;
                events.push(Reverse((at, Event::Try { id, number: 1, idempotent })));
            }
            Event::Try { id, number, idempotent } => {
                let endpoints = addrs.iter().enumerate().map(|(index, addr)| endpoint(*addr, health(index)));
                let set = EndpointSet::new(of.clone(), endpoints.collect());
                let Ok(picked) = pick(&set, &balance, &path, None, &[], now, &mut draw) else {
                    trace.note(at, || format!("{id} nobody"));
                    if at > RECOVERED {
                        bad_at_the_end += 1;
                    }
                    continue;
                };
                let (addr, told) = (picked.endpoint.addr, picked.endpoint.health);
                if told != Health::Healthy {
                    return Err(format!("{addr} is {told:?}, and was chosen"));
                }
                let mut server = path.servers[&addr].borrow_mut();
                let state = server.breaker.state();
                let Some(permit) = server.breaker.begin(&config, now) else {
                    return Err(format!("{addr} was chosen while its breaker is {state:?}"));
                };
                if let BreakerState::Open { until } = state
                    && (now < until || !permit.is_probe())
                {
                    return Err(format!("{addr} was asked while its breaker is {state:?}"));
                }
                sent += 1;
                server.in_flight += 1;
                permits.insert((id, number), permit);
                let failed = server.bad.iter().any(|(from, to)| (*from..*to).contains(&at));
                let took = Duration::from_micros(200 + draw.below(if failed { 3000 } else { 20_000 }));
                let end = Event::End { id, number, idempotent, at: addr, began: at, failed };
                events.push(Reverse((at + took, end)));
                trace.note(at, || format!("{id}.{number} to {addr} {state:?}"));
            }
            Event::End { id, number, idempotent, at: addr, failed, .. } => {
                let mut server = path.servers[&addr].borrow_mut();
                server.in_flight -= 1;
                let permit = permits.remove(&(id, number)).ok_or("an answer to nothing")?;
                let outcome = if failed { Outcome::Failure } else { Outcome::Success };
                if let Some(change) = server.breaker.record(permit, outcome, &config, now, &mut draw) {
                    trace.note(at, || format!("{addr} {change:?}"));
                }
                drop(server);
                if !failed {
                    answered.insert(addr, at);
                    continue;
                }
                if at > RECOVERED {
                    bad_at_the_end += 1;
                }
                // One in three is known not to have been processed.
                let failure = if id.is_multiple_of(3) { Failure::NotSent } else { Failure::Status(503) };
                let replay = Replay { idempotent, body_replayable: true };
                let attempt = Attempt { number, failure, replay, deadline: None };
                if let Next::TryAgain { at: then, .. } =
                    retry::next(&retry, &budget, &budgets, &attempt, now, &mut draw)
                {
                    if !idempotent && !failure.is_unprocessed() {
                        return Err(format!("{id} may have been processed, and is sent again"));
                    }
                    retries.push_back(at);
                    while first_tries.front().is_some_and(|then| *then + budgets.window < at) {
                        first_tries.pop_front();
                    }
                    while retries.front().is_some_and(|then| *then + budgets.window < at) {
                        retries.pop_front();
                    }
                    let allowed = first_tries.len() / 5 + 100;
                    if retries.len() > allowed {
                        return Err(format!(
                            "{} retries beside {} requests in 10 s",
                            retries.len(),
                            first_tries.len()
                        ));
                    }
                    trace.note(at, || format!("{id} again"));
                    let wait = then.since(now);
                    events.push(Reverse((at + wait, Event::Try { id, number: number + 1, idempotent })));
                }
            }
        }
    }
    let most = offered + offered / 5 + 10 * ENDS.as_secs();
    if sent > most {
        return Err(format!("{sent} tries for {offered} requests: more than {most}"));
    }
    if bad_at_the_end > 0 {
        return Err(format!("{bad_at_the_end} requests failed after every server was well again"));
    }
    let forgotten: Vec<_> =
        addrs.iter().filter(|addr| answered.get(addr).is_none_or(|last| *last < RECOVERED)).collect();
    if !forgotten.is_empty() {
        return Err(format!("{forgotten:?} are well and are not asked any more"));
    }
    Ok(trace)
}

fn endpoint(addr: SocketAddr, health: Health) -> Endpoint {
    Endpoint {
        name: addr.to_string().into(),
        addr,
        target_port: 8080,
        identity: None,
        zone: None,
        weight: 1,
        health,
    }
}

/// A rest of a minute would only make the runs longer.
fn breakers() -> BreakerConfig {
    BreakerConfig { max_open_for: secs(10), ..BreakerConfig::default() }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// From here on nothing fails.
const HEALTHY: Duration = secs(30);
/// The longest rest of a breaker later, and a try.
const RECOVERED: Duration = secs(45);
const ENDS: Duration = secs(50);
