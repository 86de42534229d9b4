//! What this proxy has found out by itself: how endpoints answer, what is under way, how much is retried.
//!
//! It outlives every snapshot, keyed by endpoint and by backend, and holds for the whole proxy: workers share
//! atomics. The maps above them are locked only when something new appears; each worker keeps pointers of its
//! own to what it has met.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use weft_policy::breaker::{Breaker, BreakerConfig, BreakerState};
use weft_policy::endpoint::hash::Ring;
use weft_policy::endpoint::load::Ewma;
use weft_policy::endpoint::{Endpoint, EndpointSet};
use weft_policy::live::{Experience, InUse, Live};
use weft_policy::moment::Moment;
use weft_policy::object::ServicePort;
use weft_policy::retry::Budget;

use crate::keyed::Keyed;

/// An endpoint as it is remembered: where it is dialled, and which of the application's ports is meant.
pub(crate) type Place = (SocketAddr, u16);

/// How one endpoint answers.
#[derive(Debug, Default)]
pub(crate) struct EndpointRecord {
    pub(crate) breaker: Breaker,
    pub(crate) latency: Ewma,
    in_flight: AtomicU32,
}

/// What is under way to one backend.
#[derive(Debug, Default)]
pub(crate) struct BackendRecord {
    pub(crate) budget: Budget,
    requests: AtomicU32,
    pending: AtomicU32,
    connections: AtomicU32,
    turn: AtomicU64,
}

/// All records of one proxy.
#[derive(Debug, Default)]
pub(crate) struct Experiences {
    endpoints: Mutex<Keyed<Place, Arc<EndpointRecord>>>,
    backends: Mutex<Keyed<ServicePort, Arc<BackendRecord>>>,
}

impl Experiences {
    /// Where each breaker stands, for the admin endpoint.
    pub(crate) fn breakers(&self) -> Vec<(Place, BreakerState)> {
        let endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> =
            endpoints.iter().map(|(place, record)| (*place, record.breaker.state())).collect();
        all.sort_by_key(|(place, _)| *place);
        all
    }

    /// Forgets endpoints that nobody may choose any more.
    pub(crate) fn retain(&self, keep: impl Fn(&Place) -> bool) {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner).retain(|place, _| keep(place));
    }
}

/// One worker's pointers into the records.
#[derive(Debug)]
pub(crate) struct Learned {
    all: Arc<Experiences>,
    endpoints: RefCell<Keyed<Place, Arc<EndpointRecord>>>,
    backends: RefCell<Keyed<ServicePort, Arc<BackendRecord>>>,
    /// Rings by the set they were built from, which is held so that its address is not used again.
    rings: RefCell<Keyed<usize, KeptRing>>,
}

impl Learned {
    pub(crate) fn new(all: Arc<Experiences>) -> Self {
        Self { all, endpoints: RefCell::default(), backends: RefCell::default(), rings: RefCell::default() }
    }

    /// The record of an endpoint.
    pub(crate) fn endpoint(&self, endpoint: &Endpoint) -> Arc<EndpointRecord> {
        let place = (endpoint.addr, endpoint.target_port);
        record(&self.endpoints, &self.all.endpoints, &place)
    }

    /// The record of a backend.
    pub(crate) fn backend(&self, backend: &ServicePort) -> Arc<BackendRecord> {
        record(&self.backends, &self.all.backends, backend)
    }

    /// What a decision about a backend with these breakers may ask.
    pub(crate) fn view<'l>(&'l self, breaker: &'l BreakerConfig) -> View<'l> {
        View { learned: self, breaker }
    }

    /// Builds the ring of `set`, if a request is to be hashed and there is none yet.
    pub(crate) fn keep_ring(&self, set: &Arc<EndpointSet>) {
        let mut rings = self.rings.borrow_mut();
        if rings.len() >= MAX_RINGS {
            rings.clear();
        }
        rings.entry(address(set)).or_insert_with(|| (Arc::clone(set), Arc::new(Ring::new(set))));
    }

    /// Drops pointers that others have dropped, and rings of old sets.
    pub(crate) fn sweep(&self) {
        let mine_alone = |count: usize| count <= 1;
        self.endpoints.borrow_mut().retain(|_, record| !mine_alone(Arc::strong_count(record)));
        self.rings.borrow_mut().retain(|_, (set, _)| !mine_alone(Arc::strong_count(set)));
    }
}

/// A ring and the set it was built from.
type KeptRing = (Arc<EndpointSet>, Arc<Ring>);

/// Looks a record up: first among the worker's own, then among all.
fn record<K: Clone + Eq + std::hash::Hash, V: Default>(
    own: &RefCell<Keyed<K, Arc<V>>>,
    all: &Mutex<Keyed<K, Arc<V>>>,
    key: &K,
) -> Arc<V> {
    if let Some(known) = own.borrow().get(key) {
        return Arc::clone(known);
    }
    let found =
        Arc::clone(all.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default());
    own.borrow_mut().insert(key.clone(), Arc::clone(&found));
    found
}

fn address(set: &EndpointSet) -> usize {
    std::ptr::from_ref(set).addr()
}

/// What a decision may ask.
pub(crate) struct View<'l> {
    learned: &'l Learned,
    breaker: &'l BreakerConfig,
}

impl Live for View<'_> {
    fn endpoint(&self, endpoint: &Endpoint, now: Moment) -> Experience {
        let record = self.learned.endpoint(endpoint);
        Experience {
            admits: record.breaker.admits(self.breaker, now),
            latency: record.latency.estimate(now),
            in_flight: record.in_flight.load(Relaxed),
        }
    }

    fn in_use(&self, backend: &ServicePort) -> InUse {
        let record = self.learned.backend(backend);
        InUse {
            connections: record.connections.load(Relaxed),
            pending: record.pending.load(Relaxed),
            requests: record.requests.load(Relaxed),
        }
    }

    fn turn(&self, set: &EndpointSet) -> u64 {
        self.learned.backend(&set.of).turn.fetch_add(1, Relaxed)
    }

    fn ring(&self, set: &EndpointSet) -> Option<Arc<Ring>> {
        self.learned.rings.borrow().get(&address(set)).map(|(_, ring)| Arc::clone(ring))
    }
}

/// Something that is under way for as long as this lives.
#[derive(Debug)]
pub(crate) struct UnderWay<R>(Arc<R>, fn(&R) -> &AtomicU32);

impl<R> UnderWay<R> {
    fn begin(record: &Arc<R>, count: fn(&R) -> &AtomicU32) -> Self {
        count(record).fetch_add(1, Relaxed);
        Self(Arc::clone(record), count)
    }

    /// Counts one more, unless there are `most` already; 0 is no limit. Looking and counting are one step: of two
    /// workers that see the last place free only one takes it.
    fn begin_within(record: &Arc<R>, count: fn(&R) -> &AtomicU32, most: u32) -> Option<Self> {
        let one_more = |now: u32| now.checked_add(1).filter(|then| most == 0 || *then <= most);
        count(record).fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Self(Arc::clone(record), count))
    }
}

impl<R> Drop for UnderWay<R> {
    fn drop(&mut self) {
        (self.1)(&self.0).fetch_sub(1, Relaxed);
    }
}

impl EndpointRecord {
    /// A request under way to this endpoint.
    pub(crate) fn request(self: &Arc<Self>) -> UnderWay<Self> {
        UnderWay::begin(self, |record| &record.in_flight)
    }
}

impl BackendRecord {
    /// A request under way to this backend; `None`: there are `most` already.
    pub(crate) fn request(self: &Arc<Self>, most: u32) -> Option<UnderWay<Self>> {
        UnderWay::begin_within(self, |record| &record.requests, most)
    }

    /// A request that waits for a connection.
    pub(crate) fn pending(self: &Arc<Self>) -> UnderWay<Self> {
        UnderWay::begin(self, |record| &record.pending)
    }

    /// A connection of its own, from before it is opened; `None`: there are `most` already.
    pub(crate) fn connection(self: &Arc<Self>, most: u32) -> Option<UnderWay<Self>> {
        UnderWay::begin_within(self, |record| &record.connections, most)
    }
}

/// Rings a worker keeps: one per hashed backend that it sends to.
const MAX_RINGS: usize = 256;
