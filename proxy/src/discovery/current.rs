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
        self.snapshot.store(snapshot);
        self.swapped.send_modify(|count| *count += 1);
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
    async fn only_so_many_wait() {
        let count = AtomicUsize::new(MAX_WAITING);
        assert_eq!(Waiting::begin(&count).err(), Some(Refusal::DiscoveryOverload));
        assert_eq!(count.load(Ordering::Relaxed), MAX_WAITING);
    }
}
