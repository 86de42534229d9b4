//! The one task that changes the world: takes orders one by one, keeps the set, and publishes at its own pace.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use weft_manifests::set::{Change, ResourceKey};
use weft_manifests::settings::MeshSettings;
use weft_policy::object::ObjectRef;
use weft_proto::trust::Trust;

use super::overlay::{Overlay, difference};
use super::{Order, View, WorldHandle};
use crate::compile::table::Id;
use crate::compile::{Compiler, id_of};
use crate::custody::trust_of;
use crate::publish::hub::Hub;
use crate::publish::pace::Pace;
use crate::source::Reading;

/// Sets revisions aside beginning with the given one; the answer is the last that may be used.
pub type Reserve = Box<dyn FnMut(u64) -> Result<u64, String> + Send>;

/// Changes the world.
pub struct Writer {
    view: View,
    shared: Arc<ArcSwap<View>>,
    orders: mpsc::Receiver<Order>,
    hub: Arc<Hub>,
    compiler: Compiler,
    overlay: Overlay,
    reserve: Reserve,
    reserved: u64,
    pace: Pace,
    paranoid: bool,
    /// What is to be compiled.
    touched: BTreeSet<ResourceKey>,
    /// What is compiled, and not published.
    changed: BTreeSet<Id>,
    /// When the oldest unpublished change was seen, microseconds since 1970.
    cause: Option<u64>,
    /// Whether the world has changed since it was shown.
    unseen: bool,
}

impl Writer {
    /// An empty world whose next revision comes after `last`, and the handle to it.
    #[must_use]
    pub fn new(
        settings: MeshSettings,
        last: u64,
        reserve: Reserve,
        hub: Arc<Hub>,
        longest_pause: Duration,
        paranoid: bool,
    ) -> (Self, WorldHandle) {
        let view =
            View { set: weft_manifests::set::ObjectSet::new(settings), revision: last, ..View::default() };
        let shared = Arc::new(ArcSwap::from_pointee(view.clone()));
        let (send, orders) = mpsc::channel(QUEUE);
        let handle = WorldHandle { orders: send, view: Arc::clone(&shared) };
        let writer = Self {
            view,
            shared,
            orders,
            hub,
            compiler: Compiler::default(),
            overlay: Overlay::default(),
            reserve,
            reserved: last,
            pace: Pace::new(longest_pause),
            paranoid,
            touched: BTreeSet::new(),
            changed: BTreeSet::new(),
            cause: None,
            unseen: false,
        };
        (writer, handle)
    }

    /// Fills the world before anybody can see it: a control plane that serves has read everything.
    pub fn fill(&mut self, reading: Reading, learned: Vec<Change>, trust: Trust) {
        self.next_revision();
        self.declare(reading);
        self.learn(learned);
        self.changed.extend(self.compiler.trust(trust));
        self.show();
        // Nobody is there yet whom it could wake, and what cannot be published now is tried with the first change.
        let _woken = self.publish();
    }

    /// Takes orders until no handle is left.
    pub async fn run(mut self) {
        let mut due: Option<Instant> = None;
        loop {
            let publish_at = due;
            tokio::select! {
                biased;
                () = async { sleep_until(publish_at.expect("guarded")).await }, if publish_at.is_some() => {
                    let began = Instant::now();
                    let woken = self.publish();
                    let now = Instant::now();
                    self.pace.published(now, now - began, woken.unwrap_or_default());
                    due = woken.is_none().then(|| now + RETRY);
                }
                order = self.orders.recv() => {
                    let Some(order) = order else { return };
                    let mut urgent = self.obey(order);
                    // Whoever sees the world holds a copy of it, and the next change copies what it changes: of all
                    // that waits, one.
                    for _ in 0..QUEUE {
                        let Ok(order) = self.orders.try_recv() else { break };
                        urgent |= self.obey(order);
                    }
                    self.show();
                    if self.is_dirty() {
                        due = Some(self.pace.changed(Instant::now(), urgent));
                    }
                }
            }
        }
    }

    /// Does what it is told. Says whether security may have become tighter.
    fn obey(&mut self, order: Order) -> bool {
        match order {
            Order::Declared(reading, reply) => {
                let urgent = reading.is_some_and(|reading| self.declare(*reading));
                self.show();
                // Who asked may have gone away.
                let _gone = reply.send(self.view.revision);
                urgent
            }
            Order::Learned(changes) => self.learn(changes),
            Order::Past(seen) => {
                let is_behind = self.view.revision < seen;
                if is_behind {
                    self.view.revision = seen;
                    self.next_revision();
                }
                is_behind
            }
            Order::Trust(bundle) => {
                let changed = self.compiler.trust(trust_of(&bundle));
                if changed.is_some() {
                    self.next_revision();
                }
                self.changed.extend(changed);
                true
            }
        }
    }

    fn declare(&mut self, reading: Reading) -> bool {
        let reading = reading.keeping(&self.view.declared);
        let changes: Vec<_> = difference(&self.view.declared, &reading.objects, &self.overlay).collect();
        for finding in reading.findings.iter().filter(|finding| !self.view.findings.contains(finding)) {
            tracing::warn!(%finding, "a manifest");
        }
        let objects: Vec<_> = changes.iter().filter_map(about).collect();
        self.view.declared = Arc::new(reading.objects);
        self.view.findings = Arc::new(reading.findings);
        let urgent = self.apply(changes);
        let since = Arc::make_mut(&mut self.view.since);
        since.extend(objects.into_iter().map(|object| (object, self.view.revision)));
        since.retain(|object, _| self.view.declared.contains_key(object));
        self.unseen = true;
        urgent
    }

    fn learn(&mut self, changes: Vec<Change>) -> bool {
        let declared = Arc::clone(&self.view.declared);
        let visible =
            changes.into_iter().filter_map(|change| self.overlay.learn(change, &declared)).collect();
        self.apply(visible)
    }

    fn apply(&mut self, changes: Vec<Change>) -> bool {
        let touched: BTreeSet<ResourceKey> =
            changes.into_iter().flat_map(|change| self.view.set.apply(change)).collect();
        // Of one that is new nobody holds anything that could be too wide.
        let is_held = |key: &ResourceKey| self.compiler.table().holds(&id_of(key));
        let urgent = touched.iter().any(|key| matches!(key, ResourceKey::Inbound(_)) && is_held(key));
        if !touched.is_empty() {
            self.touched.extend(touched);
            self.next_revision();
        }
        urgent
    }

    fn next_revision(&mut self) {
        self.view.revision += 1;
        self.cause.get_or_insert_with(unix_micros);
        self.unseen = true;
    }

    /// Has everybody see the world as it is, if they have not.
    fn show(&mut self) {
        if std::mem::take(&mut self.unseen) {
            self.shared.store(Arc::new(self.view.clone()));
        }
    }

    fn is_dirty(&self) -> bool {
        self.cause.is_some()
    }

    /// Compiles and publishes what has changed. Says how many streams that woke; `None` if it cannot be done now.
    fn publish(&mut self) -> Option<usize> {
        if self.view.revision > self.reserved {
            match (self.reserve)(self.view.revision) {
                Ok(until) => self.reserved = until,
                Err(problem) => {
                    // A proxy that has seen a revision which a restart does not know of would refuse the next.
                    tracing::error!(%problem, "no revision could be set aside; nothing is published until it can be");
                    return None;
                }
            }
        }
        let touched = std::mem::take(&mut self.touched);
        self.changed.extend(self.compiler.follow(&self.view.set, &touched));
        if self.paranoid {
            let defects = self.compiler.defects(&self.view.set);
            if !defects.is_empty() {
                tracing::error!(
                    ?defects,
                    ?touched,
                    "a defect: compiling what was touched left these out of date"
                );
            }
        }
        let changed = std::mem::take(&mut self.changed);
        let cause = self.cause.take().unwrap_or_else(unix_micros);
        let woken = self.hub.publish(self.compiler.table_at(self.view.revision, cause), &changed);
        tracing::debug!(revision = self.view.revision, changed = changed.len(), woken, "published");
        Some(woken)
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("revision", &self.view.revision).finish_non_exhaustive()
    }
}

fn about(change: &Change) -> Option<ObjectRef> {
    match change {
        Change::Upsert(object) => Some(object.key()),
        Change::Delete(_) | Change::Health { .. } => None,
    }
}

fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Orders that may wait; whoever brings more waits too.
const QUEUE: usize = 256;
/// After a failure to set revisions aside.
const RETRY: Duration = Duration::from_secs(1);
