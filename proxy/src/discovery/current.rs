//! The newest snapshot, as the path of a request reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use weft_policy::facts::Destination;
use weft_policy::refuse::Refusal;
use weft_policy::snapshot::{Alias, Snapshot};

/// The request path's end of discovery.
#[derive(Debug)]
pub(crate) struct Current {
    snapshot: Arc<ArcSwap<Snapshot>>,
    asks: mpsc::Sender<Alias>,
    /// Changes with every swap.
    swapped: watch::Receiver<u64>,
    waiting: AtomicUsize,
    wait: Duration,
}

/// The stream's end of discovery.
#[derive(Debug)]
pub(crate) struct Discovered {
    snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) asks: mpsc::Receiver<Alias>,
    swapped: watch::Sender<u64>,
}

impl Current {
    /// Both ends. A request waits for at most `wait`.
    pub(crate) fn new(wait: Duration) -> (Self, Discovered) {
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
        let (ask, asks) = mpsc::channel(MAX_WAITING);
        let (swap, swapped) = watch::channel(0);
        let current =
            Self { snapshot: Arc::clone(&snapshot), asks: ask, swapped, waiting: AtomicUsize::new(0), wait };
        (current, Discovered { snapshot, asks, swapped: swap })
    }

    /// The newest snapshot. One per request: everything about it is decided from the same one.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The newest snapshot that answers for `destination`, be it that there is no such service. Asks the
    /// control plane on first use.
    ///
    /// # Errors
    /// `DiscoveryTimeout` when it does not answer in time, `DiscoveryOverload` when too many wait already.
    pub(crate) async fn answering(&self, destination: &Destination<'_>) -> Result<Arc<Snapshot>, Refusal> {
        let snapshot = self.snapshot();
        if snapshot.service_at(destination).is_some() {
            return Ok(snapshot);
        }
        let alias = Alias::of(destination);
        if snapshot.absent.contains_key(&alias) {
            return Ok(snapshot);
        }
        let _waiting = Waiting::begin(&self.waiting)?;
        tokio::time::timeout(self.wait, Box::pin(self.ask(destination, alias)))
            .await
            .map_err(|_| Refusal::DiscoveryTimeout)?
    }

    async fn ask(&self, destination: &Destination<'_>, alias: Alias) -> Result<Arc<Snapshot>, Refusal> {
        let mut swapped = self.swapped.clone();
        swapped.mark_unchanged();
        self.asks.send(alias.clone()).await.map_err(|_| Refusal::Draining)?;
        loop {
            let snapshot = self.snapshot();
            if snapshot.service_at(destination).is_some() || snapshot.absent.contains_key(&alias) {
                return Ok(snapshot);
            }
            swapped.changed().await.map_err(|_| Refusal::Draining)?;
        }
    }

    /// Returns when the snapshot satisfies `enough`.
    pub(crate) async fn until(&self, enough: impl Fn(&Snapshot) -> bool) {
        let mut swapped = self.swapped.clone();
        loop {
            swapped.mark_unchanged();
            if enough(&self.snapshot()) {
                return;
            }
            if swapped.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Discovered {
    /// Makes `snapshot` the newest.
    pub(super) fn swap(&self, snapshot: Arc<Snapshot>) {
        self.swapped.send_modify(|count| {
            self.snapshot.store(snapshot);
            *count += 1;
        });
    }

    /// Whether it is known who may call the application.
    pub(super) fn has_inbound(&self) -> bool {
        self.snapshot.load().inbound.is_some()
    }

    /// Which one is the newest: so many have been so far.
    pub(super) fn swaps(&self) -> u64 {
        *self.swapped.borrow()
    }

    /// Makes `snapshot` the newest after `wait`, unless there is one by then. Says whether it did.
    pub(super) fn fall_back_to(
        &self,
        snapshot: Arc<Snapshot>,
        wait: Duration,
    ) -> impl Future<Output = bool> + use<> {
        let (place, swapped) = (Arc::clone(&self.snapshot), self.swapped.clone());
        async move {
            tokio::time::sleep(wait).await;
            swapped.send_if_modified(|count| {
                let is_first = *count == 0;
                if is_first {
                    place.store(snapshot);
                    *count = 1;
                }
                is_first
            })
        }
    }
}

/// One request that waits for the control plane.
struct Waiting<'c>(&'c AtomicUsize);

impl<'c> Waiting<'c> {
    fn begin(count: &'c AtomicUsize) -> Result<Self, Refusal> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            return Err(Refusal::DiscoveryOverload);
        }
        Ok(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Requests that may wait at once: each holds a connection's memory and nothing more.
const MAX_WAITING: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use weft_policy::snapshot::Absent;

    const NOWHERE: Destination<'_> = Destination::Name { host: "nowhere", port: 80 };

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_the_answer_and_not_longer() {
        let (current, mut discovered) = Current::new(Duration::from_secs(2));
        assert_eq!(current.answering(&NOWHERE).await.unwrap_err(), Refusal::DiscoveryTimeout);
        assert_eq!(discovered.asks.recv().await, Some(Alias::host("nowhere")));

        let answer = async {
            let alias = discovered.asks.recv().await.unwrap();
            let mut snapshot = Snapshot::default();
            snapshot.absent.insert(alias, Absent::NotFound);
            discovered.swap(Arc::new(snapshot));
        };
        let (got, ()) = tokio::join!(current.answering(&NOWHERE), answer);
        assert_eq!(got.unwrap().absent.len(), 1);
        // Known now: nobody is asked again.
        assert!(current.answering(&NOWHERE).await.is_ok());
        assert!(discovered.asks.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_kept_is_fallen_back_to_only_where_nothing_newer_has_come() {
        let known = |revision| Arc::new(Snapshot { revision, ..Snapshot::default() });
        for told in [false, true] {
            let (current, discovered) = Current::new(Duration::from_secs(2));
            let wait = Duration::from_millis(300);
            let falling_back = discovered.fall_back_to(known(1), wait);
            if told {
                discovered.swap(known(2));
            }
            assert_eq!(falling_back.await, !told);
            assert_eq!((current.snapshot().revision, discovered.swaps()), (if told { 2 } else { 1 }, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_wait() {
        let count = AtomicUsize::new(MAX_WAITING);
        assert_eq!(Waiting::begin(&count).err(), Some(Refusal::DiscoveryOverload));
        assert_eq!(count.load(Ordering::Relaxed), MAX_WAITING);
    }
}
