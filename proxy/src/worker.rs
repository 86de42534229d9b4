//! One thread that carries requests. It owns its connections, its pools and its dice: nothing on the path of
//! a request is shared but atomics.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use weft_policy::draw::Draw;
use weft_policy::moment::Moment;

use crate::descriptors;
use crate::learned::Learned;
use crate::shared::Shared;
use crate::telemetry::Telemetry;
use crate::upstream::pool::Pool;

/// What a connection needs of the thread it lives on.
pub(crate) struct Worker {
    /// What all workers share.
    pub(crate) shared: Arc<Shared>,
    /// Connections to other sidecars and to applications.
    pub(crate) pool: Rc<Pool>,
    /// What has been learned of endpoints and backends.
    pub(crate) learned: Learned,
    /// Metrics and logs, as handles of this thread.
    pub(crate) telemetry: Telemetry,
    /// Tunnels (upgrades, `CONNECT`) that have outgrown the request they began with each hold a copy.
    pub(crate) tunnels: Rc<()>,
    seed: Cell<u64>,
}

impl Worker {
    /// A worker with its own dice.
    pub(crate) fn new(shared: Arc<Shared>, seed: u64) -> Rc<Self> {
        let most_idle = descriptors::idle(shared.connections, shared.config.workers);
        let learned = Learned::new(Arc::clone(&shared.learned));
        let telemetry = Telemetry::new(Arc::clone(&shared.observe));
        Rc::new(Self {
            pool: Rc::new(Pool::keeping(most_idle)),
            learned,
            telemetry,
            tunnels: Rc::default(),
            seed: Cell::new(seed),
            shared,
        })
    }

    /// The present, as decisions take it.
    pub(crate) fn now(&self) -> Moment {
        self.shared.clock.now()
    }

    /// Dice for one request.
    pub(crate) fn draw(&self) -> Draw {
        let mut dice = Draw::from_seed(self.seed.get());
        let seed = dice.bits();
        self.seed.set(dice.seed());
        Draw::from_seed(seed)
    }

    /// Returns when no tunnel is left. Only asked while draining, so looking now and then will do.
    pub(crate) async fn tunnels_closed(&self) {
        while Rc::strong_count(&self.tunnels) > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until `at`.
    pub(crate) async fn sleep_until(&self, at: Moment) {
        tokio::time::sleep(at.since(self.now())).await;
    }

    /// Runs `task`, but not beyond `deadline`.
    pub(crate) async fn until<T>(
        &self,
        deadline: Option<Moment>,
        task: impl Future<Output = T>,
    ) -> Option<T> {
        match deadline {
            None => Some(task.await),
            Some(deadline) => tokio::time::timeout(deadline.since(self.now()), task).await.ok(),
        }
    }
}
