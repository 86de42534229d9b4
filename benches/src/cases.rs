//! What is measured over and over: decisions, heads that are rewritten, and what keeps a proxy's picture of the mesh new.
//! Each case can be timed (`benches/decide.rs`) and counted (`decisions/main.rs`).

use std::fmt;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method};
use weft_policy::authorize::authorize;
use weft_policy::decide::{Outbound, outbound};
use weft_policy::draw::Draw;
use weft_policy::endpoint::hash::Ring;
use weft_policy::endpoint::{Balance, Endpoint, EndpointSet, HashKey, pick};
use weft_policy::facts::{Destination, Facts, Request, Source};
use weft_policy::live::{Experience, InUse, Live, Nothing};
use weft_policy::moment::Moment;
use weft_policy::object::ServicePort;
use weft_proto::held::{Held, Progress};
use weft_proto::name::WorkloadName;
use weft_proto::value::Value;
use weft_proto::{decode, encode, patch, v1};

use crate::{heads, shop};

/// One thing that is done over and over.
pub struct Case {
    /// As in the table: `outbound/routes/100`.
    pub name: String,
    body: Box<dyn FnMut() -> bool>,
}

impl Case {
    fn new(name: String, body: impl FnMut() -> bool + 'static) -> Self {
        Self { name, body: Box::new(body) }
    }

    /// Does it once. Callgrind counts what happens in here and nothing else, so it is never inlined.
    ///
    /// # Panics
    /// If it did not come out as it must.
    #[inline(never)]
    pub fn carry_out(&mut self) {
        assert!((self.body)(), "{} came out wrong", self.name);
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a case is made, which may take longer than carrying it out.
pub type Make = Box<dyn FnOnce(String) -> Case>;

/// All of them by name, none of them made.
#[must_use]
pub fn all() -> Vec<(String, Make)> {
    let mut all: Vec<(String, Make)> = Vec::new();
    let mut add = |name: String, make: Make| all.push((name, make));
    for count in [1, 100, 1000, 10_000] {
        add(format!("outbound/routes/{count}"), Box::new(move |name| routed(name, count)));
    }
    for count in [1, 50, 1000] {
        add(format!("authorize/rules/{count}"), Box::new(move |name| authorized(name, count)));
    }
    add("head/copied".to_owned(), Box::new(|name| Case::new(name, heads::copied())));
    add("head/outbound".to_owned(), Box::new(|name| Case::new(name, heads::outbound())));
    add("head/inbound".to_owned(), Box::new(|name| Case::new(name, heads::inbound())));
    for count in [10, 1000, 10_000] {
        add(format!("pick/peak-ewma/{count}"), Box::new(move |name| picked(name, count, Balance::PeakEwma)));
        let ring = Balance::RingHash(HashKey::SourceAddr);
        add(format!("pick/ring/{count}"), Box::new(move |name| picked(name, count, ring)));
    }
    add("update/routes/100".to_owned(), Box::new(|name| decoded(name, 100)));
    for count in [100, 1000] {
        add(format!("patch/endpoints/{count}"), Box::new(move |name| patched(name, count)));
    }
    all
}

/// A request that one of so many routes is for.
fn routed(name: String, count: usize) -> Case {
    let (snapshot, headers) = (shop::with_routes(count), heads::fields());
    let path = format!("/path/{}/cart/items", count - 1 - (count - 1) % 3);
    let mut draw = Draw::from_seed(1);
    Case::new(name, move || {
        let facts = facts(&path, &headers, Source::default());
        let decision = outbound(black_box(&snapshot), &Nothing, black_box(&facts), Moment::START, &mut draw);
        matches!(decision, Outbound::Forward(_))
    })
}

/// A caller that only the last of so many rules lets in.
fn authorized(name: String, rules: usize) -> Case {
    let (policy, headers, caller) = (shop::with_rules(rules), heads::fields(), shop::identity("caller"));
    Case::new(name, move || {
        let source = Source { identity: Some(&caller), addr: Some([10, 2, 0, 1].into()) };
        authorize(black_box(&policy), black_box(&facts("/path/1", &headers, source))).is_allowed()
    })
}

/// One of so many endpoints.
fn picked(name: String, count: u32, balance: Balance) -> Case {
    let set = shop::endpoints(count);
    let live = Rings(Arc::new(Ring::new(&set)));
    let mut draw = Draw::from_seed(1);
    Case::new(name, move || {
        let key = Some(draw.bits());
        pick(black_box(&set), &balance, &live, key, &[], Moment::START, &mut draw).is_ok()
    })
}

/// An update as it comes from the wire, with a table of so many routes: read and understood.
fn decoded(name: String, routes: usize) -> Case {
    let shop = shop::with_routes(routes);
    let table = shop.routes.values().next().map(|table| Value::Routes(Arc::clone(table)));
    let update = v1::Update {
        revision: 1,
        put: table.iter().map(encode::resource).collect(),
        ..v1::Update::default()
    };
    let wire = encode::bytes(&update);
    Case::new(name, move || {
        decode::message::<v1::Update>(black_box(&wire)).is_ok_and(|update| {
            update.put.len() == 1 && update.put.iter().all(|put| decode::resource(put).is_ok())
        })
    })
}

/// One endpoint of so many is replaced by another: the patch is staged and made visible. The next time it is put back.
///
/// # Panics
/// If what we published ourselves is refused.
fn patched(name: String, count: u32) -> Case {
    let before = shop::endpoints(count);
    let all = shop::endpoints(count + 1);
    let after = EndpointSet::new(all.of.clone(), all.endpoints().iter().skip(1).cloned().collect());
    let versions = [&before, &after].map(patch::version_of);
    let there = patch::diff(&before, versions[0], &after, versions[1]);
    let back = patch::diff(&after, versions[1], &before, versions[0]);
    let workload = WorkloadName::parse("shop/web-1").expect("a literal name");
    let mut held = Held::new(workload);
    let whole = encode::resource(&Value::Endpoints(Arc::new(before)));
    let mut stage = move |update: v1::Update| {
        matches!(held.stage(update), Ok(Progress::Complete)) && held.commit().is_some()
    };
    assert!(stage(v1::Update { put: vec![whole], ..v1::Update::default() }), "what we published is refused");
    let mut turn = [there, back]
        .into_iter()
        .map(|patch| v1::Update { patch: vec![patch], ..v1::Update::default() })
        .cycle();
    Case::new(name, move || turn.next().is_some_and(|update| stage(black_box(update))))
}

fn facts<'a>(path: &'a str, headers: &'a HeaderMap, source: Source<'a>) -> Facts<'a> {
    Facts {
        source,
        destination: Destination::Addr(SocketAddr::from((shop::VIP, 80))),
        request: Some(Request {
            method: &Method::GET,
            host: "api.shop",
            path,
            query: Some("page=2"),
            headers,
            grpc: false,
        }),
    }
}

/// A proxy that keeps rings and has learned nothing else.
struct Rings(Arc<Ring>);

impl Live for Rings {
    fn endpoint(&self, _: &Endpoint, _: Moment) -> Experience {
        Experience::NONE
    }

    fn in_use(&self, _: &ServicePort) -> InUse {
        InUse::default()
    }

    fn turn(&self, _: &EndpointSet) -> u64 {
        0
    }

    fn ring(&self, _: &EndpointSet) -> Option<Arc<Ring>> {
        Some(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_comes_out_as_it_must_again_and_again() {
        for (name, make) in all().into_iter().filter(|(name, _)| !name.ends_with("/10000")) {
            let mut case = make(name);
            for _ in 0..5 {
                case.carry_out();
            }
        }
    }
}
