//! What proxies have said of themselves and confirmed: who is attached, which revision each has applied, what it
//! has rejected. Status is answered from here, so it comes from acknowledgements and not from hope.

mod conditions;
mod counts;
mod others;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use weft_policy::identity::SpiffeId;
use weft_proto::v1;

use crate::publish::hub::Hub;
use crate::publish::session::{Remembered, Session};

pub use conditions::{Acknowledged, Judge, PENDING, PROGRAMMED, objects};
pub use counts::{Astray, StreamCounts};
pub use others::{Others, Told};

/// Every proxy that is attached, and those that have left lately.
#[derive(Debug)]
pub struct Proxies {
    state: Mutex<State>,
    /// Counts changes, for those who wait.
    news: watch::Sender<u64>,
}

/// One attached stream's place. Dropping it says that the proxy has gone.
#[derive(Debug)]
pub struct Attendance {
    proxies: Arc<Proxies>,
    number: u64,
}

/// What is known of a proxy.
#[derive(Clone, Debug)]
struct Proxy {
    /// The stream's number in the hub.
    stream: u64,
    status: v1::ProxyStatus,
    /// The revision of the oldest change that it has not confirmed.
    behind_since: Option<u64>,
    /// What it held when its last stream ended; `None`: this one has not said enough to know better.
    remembered: Option<Remembered>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    attached: BTreeMap<u64, Proxy>,
    /// How many streams each attached workload has.
    streams: HashMap<String, usize>,
    /// By workload, and in the order in which they left.
    departed: BTreeMap<String, Proxy>,
    order: VecDeque<String>,
    /// What other replicas say of theirs.
    others: Arc<Others>,
}

impl Default for Proxies {
    fn default() -> Self {
        Self { state: Mutex::default(), news: watch::Sender::new(0) }
    }
}

impl Proxies {
    /// The most departed proxies that are remembered.
    const DEPARTED: usize = 10_000;
    /// The most streams of one workload.
    const STREAMS: usize = 16;

    /// A proxy has attached. Returns what is remembered of what it held. `None` if its workload has as many streams
    /// as one may have: a proxy has one, and two while it reconnects.
    #[must_use]
    pub fn attend(
        self: &Arc<Self>,
        workload: &str,
        identity: &SpiffeId,
        build: &str,
        stream: u64,
    ) -> Option<(Attendance, Remembered)> {
        let status = v1::ProxyStatus {
            workload: workload.to_owned(),
            identity: identity.to_string(),
            build: build.chars().filter(|c| !c.is_control()).take(100).collect(),
            attached: true,
            attached_unix: now_unix(),
            ..v1::ProxyStatus::default()
        };
        let mut state = self.lock();
        if state.streams.get(workload).is_some_and(|streams| *streams >= Self::STREAMS) {
            return None;
        }
        *state.streams.entry(workload.to_owned()).or_default() += 1;
        let number = state.next;
        state.next += 1;
        let same_identity = |proxy: &Proxy| proxy.status.identity == status.identity;
        let left = state.departed.get(workload).filter(|proxy| same_identity(proxy));
        let remembered = left.and_then(|proxy| proxy.remembered.clone());
        // Behind until it has said what it wants and got it.
        let proxy = Proxy { stream, status, behind_since: Some(0), remembered: None };
        state.attached.insert(number, proxy);
        drop(state);
        self.tell();
        Some((Attendance { proxies: Arc::clone(self), number }, remembered.unwrap_or_default()))
    }

    /// Every proxy, by workload; those that have left come after their successors.
    #[must_use]
    pub fn statuses(&self, hub: &Hub) -> Vec<v1::ProxyStatus> {
        // In this order: what is taken from a mailbox is taken down here before it counts as settled there.
        let unsettled = hub.unsettled();
        let mut state = self.lock();
        for proxy in state.attached.values_mut() {
            proxy.status.current = proxy.behind_since.is_none() && !unsettled.contains(&proxy.stream);
        }
        let gone = state.departed.values().filter(|left| !state.is_attached(&left.status.workload));
        let mut statuses: Vec<_> =
            state.attached.values().chain(gone).map(|proxy| proxy.status.clone()).collect();
        drop(state);
        statuses.sort_by(|a, b| {
            (&a.workload, !a.attached, a.attached_unix).cmp(&(&b.workload, !b.attached, b.attached_unix))
        });
        statuses
    }

    /// Whether every attached proxy has confirmed every change up to `revision`, which is published.
    #[must_use]
    pub fn all_have(&self, revision: u64, hub: &Hub) -> bool {
        hub.table().revision >= revision && self.behind_since(hub).is_none_or(|since| since > revision)
    }

    /// The revision of the oldest change that some attached proxy has not confirmed; `None` if all are current.
    #[must_use]
    pub fn behind_since(&self, hub: &Hub) -> Option<u64> {
        // The hub first; see `statuses`.
        let unsettled = hub.unsettled_since();
        let unconfirmed = self.lock().attached.values().filter_map(|proxy| proxy.behind_since).min();
        unsettled.into_iter().chain(unconfirmed).min()
    }

    /// Whether some stream of this workload is attached.
    #[must_use]
    pub fn is_attached(&self, workload: &str) -> bool {
        self.lock().is_attached(workload)
    }

    /// How many are attached, how many of them are current, and how many have rejected something.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let state = self.lock();
        let count = |test: fn(&Proxy) -> bool| state.attached.values().filter(|proxy| test(proxy)).count();
        (state.attached.len(), count(|p| p.behind_since.is_none()), count(|p| !p.status.rejected.is_empty()))
    }

    /// What the other replicas say of the proxies that are attached to them.
    #[must_use]
    pub fn others(&self) -> Arc<Others> {
        Arc::clone(&self.lock().others)
    }

    /// Takes down what the other replicas say.
    pub fn hear(&self, others: Others) {
        let mut state = self.lock();
        if *state.others != others {
            state.others = Arc::new(others);
            drop(state);
            self.tell();
        }
    }

    /// Every attached proxy's workload with the sequence of the bundle it has, and for each other replica the least of
    /// its own.
    #[must_use]
    pub fn trust_sequences(&self) -> Vec<(String, Option<u64>)> {
        let others = self.others().trust_sequences();
        self.own_trust_sequences().into_iter().chain(others).collect()
    }

    fn own_trust_sequences(&self) -> Vec<(String, Option<u64>)> {
        let state = self.lock();
        let sequence = |proxy: &Proxy| proxy.status.report.as_ref().map(|report| report.trust_sequence);
        state.attached.values().map(|proxy| (proxy.status.workload.clone(), sequence(proxy))).collect()
    }

    /// Follows what changes.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_attached(&self, workload: &str) -> bool {
        self.streams.contains_key(workload)
    }

    fn detached(&mut self, workload: &str) {
        if let Some(streams) = self.streams.get_mut(workload) {
            *streams = streams.saturating_sub(1);
            if *streams == 0 {
                self.streams.remove(workload);
            }
        }
    }
}

impl Attendance {
    /// The most callers in plaintext that one proxy is believed to have.
    const CALLERS: usize = 32;

    /// Takes down how far the proxy has come.
    pub fn note(&self, session: &Session, acknowledged: bool) {
        self.change(|proxy| {
            proxy.status.applied_revision = session.applied();
            proxy.behind_since = session.behind_since();
            proxy.status.rejected = session.rejected();
            proxy.status.resources = u32::try_from(session.holds()).unwrap_or(u32::MAX);
            if acknowledged {
                proxy.status.last_ack_unix = now_unix();
            }
        });
    }

    /// Takes down what the proxy says of itself.
    pub fn report(&self, mut report: v1::Report) {
        report.detail = report.detail.chars().filter(|c| !c.is_control()).take(500).collect();
        report.plaintext.truncate(Self::CALLERS);
        report.plaintext.retain(|caller| caller.address.parse::<IpAddr>().is_ok());
        self.change(|proxy| proxy.status.report = Some(report));
    }

    /// Takes down what the proxy holds, for when it comes back.
    pub fn remember(&self, session: &Session) {
        let remembered = session.remember();
        self.change(|proxy| proxy.remembered = remembered);
    }

    fn change(&self, change: impl FnOnce(&mut Proxy)) {
        if let Some(proxy) = self.proxies.lock().attached.get_mut(&self.number) {
            change(proxy);
        }
        self.proxies.tell();
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let mut state = self.proxies.lock();
        if let Some(mut proxy) = state.attached.remove(&self.number) {
            proxy.status.attached = false;
            proxy.status.current = false;
            let workload = proxy.status.workload.clone();
            state.detached(&workload);
            if proxy.remembered.is_none() {
                proxy.remembered = state.departed.get(&workload).and_then(|left| left.remembered.clone());
            }
            if state.departed.insert(workload.clone(), proxy).is_none() {
                state.order.push_back(workload);
            }
            while state.order.len() > Proxies::DEPARTED {
                let oldest = state.order.pop_front();
                oldest.and_then(|oldest| state.departed.remove(&oldest));
            }
        }
        drop(state);
        self.proxies.tell();
    }
}

pub(crate) fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
