//! What a decision costs: a route among many, a caller among many rules, an endpoint among many.
//!
//! `cargo bench -p weft-benches --bench decide`

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use weft_benches::shop;
use weft_policy::authorize::authorize;
use weft_policy::decide::{Outbound, outbound};
use weft_policy::draw::Draw;
use weft_policy::endpoint::hash::Ring;
use weft_policy::endpoint::{Balance, Endpoint, EndpointSet, HashKey, pick};
use weft_policy::facts::{Destination, Facts, Request, Source};
use weft_policy::live::{Experience, InUse, Live, Nothing};
use weft_policy::moment::Moment;
use weft_policy::object::ServicePort;

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

/// The head of a plain browser-like request.
fn headers() -> HeaderMap {
    let fields = [
        ("user-agent", "bench/1.0"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip, br"),
        ("x-request-id", "0f3c2b1a-0000-4000-8000-000000000000"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
        .collect()
}

fn routes(c: &mut Criterion) {
    let mut group = c.benchmark_group("outbound");
    let headers = headers();
    for count in [1, 100, 1000, 10_000] {
        let snapshot = shop::with_routes(count);
        let path = format!("/path/{}/cart/items", count - 1 - (count - 1) % 3);
        let facts = facts(&path, &headers, Source::default());
        let mut draw = Draw::from_seed(1);
        let first = outbound(&snapshot, &Nothing, &facts, Moment::START, &mut draw);
        assert!(matches!(first, Outbound::Forward(_)), "{first:?}");
        group.bench_function(BenchmarkId::new("routes", count), |b| {
            b.iter(|| outbound(black_box(&snapshot), &Nothing, black_box(&facts), Moment::START, &mut draw));
        });
    }
    group.finish();
}

fn rules(c: &mut Criterion) {
    let headers = headers();
    let caller = shop::identity("caller");
    let source = Source { identity: Some(&caller), addr: Some([10, 2, 0, 1].into()) };
    let facts = facts("/path/1", &headers, source);
    let policy = shop::with_rules(50);
    assert!(authorize(&policy, &facts).is_allowed());
    c.bench_function("authorize/rules/50", |b| {
        b.iter(|| authorize(black_box(&policy), black_box(&facts)).is_allowed())
    });
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

fn endpoints(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    let ring_hash = Balance::RingHash(HashKey::SourceAddr);
    for count in [10, 1000] {
        let set = shop::endpoints(count);
        let live = Rings(Arc::new(Ring::new(&set)));
        for (name, balance) in [("peak-ewma", &Balance::PeakEwma), ("ring", &ring_hash)] {
            let mut draw = Draw::from_seed(1);
            group.bench_function(BenchmarkId::new(name, count), |b| {
                b.iter(|| {
                    let key = Some(draw.bits());
                    pick(black_box(&set), balance, &live, key, &[], Moment::START, &mut draw).is_ok()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(decide, routes, rules, endpoints);
criterion_main!(decide);
