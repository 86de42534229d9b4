//! What all watches hear, gathered into one [`Cluster`] and declared to the world as one reading: a Deployment that
//! rolls says a hundred things a second, and the world wants to know where that led.
//!
//! Nothing is declared before every kind was heard of once: half a list would empty Services.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use weft_manifests::cluster::pod::Pod;
use weft_manifests::cluster::{Cluster, Edition, Id, Item, Name};
use weft_manifests::diagnostic::{Diagnostic, Severity};
use weft_manifests::load::Place;
use weft_policy::object::{Kind, ObjectRef};

use super::kinds::{WATCHED, Watchable};
use super::watch::Heard;
use crate::source::{Placed, Reading};

/// What is known of a cluster, and of each watch.
#[derive(Debug, Default)]
struct Known {
    cluster: Cluster,
    kinds: BTreeMap<Watchable, Progress>,
    /// How many kinds are not heard of at the moment, for `/metrics`.
    failing: Gauge<i64, AtomicI64>,
}

/// How far the watch of a kind is.
#[derive(Debug, Default)]
struct Progress {
    /// Everything of the kind, so that a new list can take away what is no longer in it.
    ids: BTreeSet<Id>,
    state: State,
    was_complete: bool,
}

/// How the watch of a kind stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not heard of yet.
    #[default]
    Waiting,
    /// Followed.
    Followed,
    /// The API server does not have the kind, or only in these versions, which are not read.
    Absent {
        /// `v1alpha2`
        instead: Option<String>,
    },
    /// The API server does not say; what was known stays in force.
    Failing(String),
}

/// What the watches have brought, to be asked by others. Cloning it shares it.
#[derive(Clone, Debug, Default)]
pub struct Gathered(Arc<RwLock<Known>>);

impl Gathered {
    /// A pod, as it was last heard of.
    #[must_use]
    pub fn pod(&self, name: &Name) -> Option<Pod> {
        self.known().cluster.pod(name).cloned()
    }

    /// Whether a pod of a namespace is such a one.
    #[must_use]
    pub fn any_pod(&self, namespace: &str, is_such: impl Fn(&Pod) -> bool) -> bool {
        self.known().cluster.pods_in(namespace).any(is_such)
    }

    /// What people have written and the mesh has something to say of, in which edition: all kinds but Services.
    #[must_use]
    pub fn editions(&self) -> BTreeMap<ObjectRef, Edition> {
        let known = self.known();
        let ours = known.cluster.editions().filter(|(key, _)| key.kind != Kind::Service);
        ours.map(|(key, edition)| (key.clone(), edition.clone())).collect()
    }

    /// How each watch stands.
    #[must_use]
    pub fn states(&self) -> BTreeMap<&'static str, State> {
        let known = self.known();
        let state = |kind: &Watchable| known.kinds.get(kind).map(|progress| progress.state.clone());
        WATCHED.iter().map(|kind| (kind.kind, state(kind).unwrap_or_default())).collect()
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes how many kinds are not heard of part of `/metrics`: what is known of them stays in force, and is old.
    pub fn register(&self, registry: &mut Registry) {
        let help =
            "Kinds of which the API server does not tell now what there is; what was known stays in force";
        registry.register("weft_control_plane_kinds_failing", help, self.known().failing.clone());
    }

    /// Takes note. Says whether anything is different now.
    fn take(&self, kind: Watchable, heard: Heard) -> bool {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_different = known.take(kind, heard);
        let failing = known.kinds.values().filter(|progress| matches!(progress.state, State::Failing(_)));
        let failing = i64::try_from(failing.count()).unwrap_or(i64::MAX);
        known.failing.set(failing);
        is_different
    }

    fn is_complete(&self) -> bool {
        let known = self.known();
        WATCHED.iter().all(|kind| known.kinds.get(kind).is_some_and(|progress| progress.was_complete))
    }

    /// What has not been heard of yet, and why.
    fn missing(&self) -> Vec<String> {
        let states = self.states().into_iter();
        let open = states.filter_map(|(kind, state)| match state {
            State::Waiting => Some(kind.to_owned()),
            State::Failing(why) => Some(format!("{kind} ({why})")),
            State::Followed | State::Absent { .. } => None,
        });
        open.collect()
    }

    /// Everything, as the world wants it.
    pub(super) fn reading(&self) -> Reading {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let derived = known.cluster.derive();
        let place = Place { file: PLACE.into(), line: 0 };
        let objects = derived.objects.into_iter();
        let objects = objects.map(|(key, object)| (key, Placed { object, place: place.clone() })).collect();
        let mut findings = derived.findings;
        findings.extend(known.kinds.iter().filter_map(|(kind, progress)| progress.finding(kind)));
        Reading { objects, findings, broken: derived.broken, ..Reading::default() }
    }
}

impl Known {
    /// Takes note. Says whether anything is different now.
    fn take(&mut self, kind: Watchable, heard: Heard) -> bool {
        let Self { cluster, kinds, .. } = self;
        let progress = kinds.entry(kind).or_default();
        match heard {
            Heard::All(items) => {
                let now: BTreeSet<Id> = items.iter().map(Item::id).collect();
                progress.ids.difference(&now).for_each(|id| cluster.take(id));
                progress.ids = now;
                items.into_iter().for_each(|item| cluster.put(item));
                progress.is(State::Followed, kind);
            }
            Heard::Put(item) => {
                progress.ids.insert(item.id());
                cluster.put(item);
                progress.is(State::Followed, kind);
            }
            Heard::Gone(id) => {
                progress.ids.remove(&id);
                cluster.take(&id);
                progress.is(State::Followed, kind);
            }
            Heard::Absent { sure } => {
                if sure {
                    std::mem::take(&mut progress.ids).iter().for_each(|id| cluster.take(id));
                }
                progress.is(State::Absent { instead: None }, kind);
            }
            Heard::Elsewhere(versions) => {
                // Its objects are there and cannot be read. Without what they have said so far, or at a start without our
                // own, a mesh would let in whom a policy keeps out.
                let may_go_without = !progress.was_complete && !kind.is_ours();
                let state = if may_go_without {
                    State::Absent { instead: Some(versions) }
                } else {
                    State::Failing(kind.in_another_version(&versions))
                };
                return progress.is(state, kind);
            }
            Heard::Trouble(why) => return progress.is(State::Failing(why), kind),
            // Of a kind that was never heard of, that says nothing.
            Heard::Well => return progress.was_complete && progress.is(State::Followed, kind),
        }
        true
    }
}

impl Progress {
    /// Takes note of a state, and says it where it is news. Whether it is.
    fn is(&mut self, state: State, kind: Watchable) -> bool {
        self.was_complete |= matches!(state, State::Followed | State::Absent { .. });
        if self.state == state {
            return false;
        }
        match (&self.state, &state) {
            (_, State::Failing(why)) => tracing::warn!(
                %kind, %why, "the API server does not tell what there is; what is known stays in force, and it is asked again"
            ),
            (_, State::Absent { instead: None }) => {
                tracing::info!(%kind, "the API server does not have this kind; it is looked for again")
            }
            (_, State::Absent { instead: Some(versions) }) => {
                tracing::warn!(%kind, %versions, "the API server has this kind in no version that is read; the mesh goes without")
            }
            (State::Failing(_) | State::Absent { .. }, _) => tracing::info!(%kind, "followed again"),
            _ => tracing::debug!(%kind, "followed"),
        }
        self.state = state;
        true
    }

    /// What an operator who asks for the mesh's findings is told.
    fn finding(&self, kind: &Watchable) -> Option<Diagnostic> {
        let (message, help) = match &self.state {
            State::Absent { instead: Some(versions) } => (
                format!("{}; the mesh goes without", kind.in_another_version(versions)),
                kind.origin.unwrap_or("check the version of the API server"),
            ),
            State::Absent { instead: None } => (
                format!("the API server does not have the kind {kind}; the mesh goes without"),
                kind.origin.unwrap_or("check the version of the API server"),
            ),
            State::Failing(why) => (
                format!("what there is of the kind {kind} is not heard of now: {why}"),
                "what is known stays in force; check the API server, and the rights of the control plane's account",
            ),
            State::Waiting | State::Followed => return None,
        };
        let mut found = Diagnostic::new(Severity::Warning, message, help);
        found.file = Some(PLACE.to_owned());
        Some(found)
    }
}

/// Gathers what is heard until there is something to declare: at first, everything; then, whatever has changed.
#[derive(Debug)]
pub(super) struct Gatherer {
    heard: mpsc::Receiver<(Watchable, Heard)>,
    gathered: Gathered,
}

impl Gatherer {
    pub(super) fn new(heard: mpsc::Receiver<(Watchable, Heard)>) -> Self {
        Self { heard, gathered: Gathered::default() }
    }

    pub(super) fn gathered(&self) -> Gathered {
        self.gathered.clone()
    }

    /// Everything, once all kinds were heard of. `None` if the watches have ended.
    pub(super) async fn first(&mut self) -> Option<Reading> {
        let mut said = Instant::now();
        while !self.gathered.is_complete() {
            tokio::select! {
                heard = self.heard.recv() => {
                    let (kind, heard) = heard?;
                    self.gathered.take(kind, heard);
                }
                () = sleep_until(said + SAY_AGAIN) => {
                    said = Instant::now();
                    tracing::warn!(missing = ?self.gathered.missing(), "waiting for the API server");
                }
            }
        }
        Some(self.gathered.reading())
    }

    /// The next reading that may be different. `None` if the watches have ended.
    pub(super) async fn next(&mut self) -> Option<Reading> {
        loop {
            let (kind, heard) = self.heard.recv().await?;
            let mut changed = self.gathered.take(kind, heard);
            // What belongs together comes together.
            let latest = Instant::now() + LONGEST;
            let mut quiet = Instant::now() + QUIET;
            loop {
                tokio::select! {
                    biased;
                    () = sleep_until(quiet.min(latest)) => break,
                    heard = self.heard.recv() => {
                        let Some((kind, heard)) = heard else { break };
                        changed |= self.gathered.take(kind, heard);
                        quiet = Instant::now() + QUIET;
                    }
                }
            }
            if changed {
                return Some(self.gathered.reading());
            }
        }
    }
}

/// Where objects of an API server are said to stand.
const PLACE: &str = "kubernetes";
const QUIET: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(100);
const SAY_AGAIN: Duration = Duration::from_secs(10);
