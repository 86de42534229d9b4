//! Going away by one deadline: everybody hears that it has begun, and the last one out ends the wait.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// Tells when draining has begun.
#[derive(Clone, Debug)]
pub struct Drain {
    begun: watch::Receiver<bool>,
}

/// Held by those who must be waited for. As long as one is held, the proxy is not drained.
#[derive(Clone, Debug)]
pub struct WaitedFor {
    /// Never sent on: that all copies are gone is the message.
    _alive: mpsc::Sender<()>,
}

/// Lets somebody in who comes later: holding a door keeps nobody waiting.
#[derive(Clone, Debug)]
pub struct Door(mpsc::WeakSender<()>);

impl Door {
    /// To be waited for from now on; `None` once draining has begun and nobody is waited for any more.
    pub fn enter(&self) -> Option<WaitedFor> {
        Some(WaitedFor { _alive: self.0.upgrade()? })
    }
}

/// The one who says when.
#[derive(Debug)]
pub struct Drainer {
    begin: watch::Sender<bool>,
    alive: mpsc::Sender<()>,
    gone: mpsc::Receiver<()>,
}

impl Drain {
    /// Returns once draining has begun.
    pub async fn begun(&mut self) {
        // The sender outlives every copy by construction; if it does not, the process is ending anyhow.
        let _ = self.begun.wait_for(|begun| *begun).await;
    }

    /// Whether draining has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.begun.borrow()
    }
}

impl Drainer {
    /// Nothing drains yet.
    #[must_use]
    pub fn new() -> Self {
        let (begin, _) = watch::channel(false);
        let (alive, gone) = mpsc::channel(1);
        Self { begin, alive, gone }
    }

    /// For somebody who must know.
    #[must_use]
    pub fn drain(&self) -> Drain {
        Drain { begun: self.begin.subscribe() }
    }

    /// For somebody who lets others in.
    #[must_use]
    pub fn door(&self) -> Door {
        Door(self.alive.downgrade())
    }

    /// For somebody who must be waited for.
    #[must_use]
    pub fn waited_for(&self) -> WaitedFor {
        WaitedFor { _alive: self.alive.clone() }
    }

    /// Tells everybody, and waits until nobody has to be waited for or `grace` is over. Says
    /// whether all had gone.
    pub async fn drain_within(mut self, grace: Duration) -> bool {
        self.begin.send_replace(true);
        drop(self.alive);
        tokio::time::timeout(grace, self.gone.recv()).await.is_ok()
    }
}

impl Default for Drainer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_one_out_ends_the_wait() {
        let drainer = Drainer::new();
        let (mut drain, held) = (drainer.drain(), drainer.waited_for());
        let worker = tokio::spawn(async move {
            drain.begun().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(held);
        });
        let started = tokio::time::Instant::now();
        assert!(drainer.drain_within(Duration::from_secs(30)).await);
        assert_eq!(started.elapsed().as_secs(), 3);
        worker.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_leave_is_left_behind_at_the_deadline() {
        let drainer = Drainer::new();
        let _held = drainer.waited_for();
        assert!(!drainer.drain_within(Duration::from_secs(5)).await);
    }
}
