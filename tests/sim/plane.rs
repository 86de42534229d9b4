//! A simulated host with a control plane on it: the real one, but for its ports and the files that operators write.
//!
//! Its state directory is a real one, which outlives a crash, and may be put back to what it was before.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use weft_certs::rotation::LiveProxy;
use weft_control_plane::aside::Aside;
use weft_control_plane::custody::{Custody, Denial, Init, RotationStep};
use weft_control_plane::source::Reading;
use weft_control_plane::{Core, CoreSettings};
use weft_manifests::settings::MeshSettings;
use weft_policy::authorize::MtlsMode;
use weft_policy::identity::TrustDomain;

use crate::clocks::HostClock;
use crate::manifests::Declared;
use crate::wire;

/// What an operator orders.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// The files have changed.
    Read,
    /// A step of a root rotation, if it may be taken.
    Rotate(RotationStep),
    Deny(Denial),
    Allow(Denial),
    /// The control plane is to end as it does at SIGTERM.
    Stop,
}

/// One control plane, running or not. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Plane {
    pub(crate) dir: PathBuf,
    pub(crate) clock: HostClock,
    pub(crate) declared: Arc<Mutex<Declared>>,
    pub(crate) max_age: Duration,
    seed: u64,
    now: Arc<Mutex<Now>>,
}

#[derive(Default)]
struct Now {
    core: Option<Arc<Core>>,
    orders: Option<mpsc::UnboundedSender<Order>>,
    refused: Vec<String>,
}

impl Plane {
    pub(crate) fn new(
        dir: PathBuf,
        clock: HostClock,
        declared: Declared,
        max_age: Duration,
        seed: u64,
    ) -> Self {
        let declared = Arc::new(Mutex::new(declared));
        Self { dir, clock, declared, max_age, seed, now: Arc::default() }
    }

    /// What it serves from; `None` while it is down.
    pub(crate) fn core(&self) -> Option<Arc<Core>> {
        self.now().core.clone()
    }

    /// Has been cut off.
    pub(crate) fn has_crashed(&self) {
        let mut now = self.now();
        now.core = None;
        now.orders = None;
    }

    /// Tells it, if it is there.
    pub(crate) fn order(&self, order: Order) {
        if let Some(orders) = &self.now().orders {
            let _gone = orders.send(order);
        }
    }

    /// Changes what is declared, and has it read.
    pub(crate) fn declare(&self, change: impl FnOnce(&mut Declared)) {
        change(&mut self.declared.lock().unwrap_or_else(PoisonError::into_inner));
        self.order(Order::Read);
    }

    /// What it has refused to do since the last time.
    pub(crate) fn refused(&self) -> Vec<String> {
        std::mem::take(&mut self.now().refused)
    }

    /// What is declared.
    pub(crate) fn declared(&self) -> Declared {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reading(&self) -> Reading {
        self.declared().reading()
    }

    /// Lives until it is cut off or stopped.
    pub(crate) async fn live(self) -> turmoil::Result {
        self.has_crashed();
        let domain: TrustDomain = DOMAIN.parse()?;
        let custody = Arc::new(Custody::open(&self.dir, Init::No, &domain, self.clock.now())?);
        let (stop, stopped) = watch::channel(false);
        let settings = CoreSettings {
            mesh: MeshSettings {
                trust_domain: domain,
                default_mtls: MtlsMode::Strict,
                ..MeshSettings::default()
            },
            replica: "simulated".into(),
            settle: Duration::from_millis(200),
            paranoid: false,
            max_age: self.max_age,
            clock: self.clock.clock(),
            aside: Aside::Here,
            seed: self.seed,
        };
        let reading = self.reading();
        let mut metrics = Registry::default();
        let (core, writer) =
            Core::new(settings, Arc::clone(&custody), reading, None, stopped.clone(), &mut metrics).await;
        let mut tasks = JoinSet::new();
        core.spawn(writer, &mut tasks);
        let (accepted, connections) = mpsc::channel(64);
        let accepting = wire::accept(custody, self.clock.clock(), accepted);
        tasks.spawn(async move {
            accepting.await.expect("the port is free");
            "accept"
        });
        let router = core.router();
        tasks.spawn(async move {
            let mut stopped = stopped;
            let until = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
            let served = router.serve_with_incoming_shutdown(ReceiverStream::new(connections), until).await;
            served.expect("a stream of connections does not fail");
            "grpc"
        });
        let core = Arc::new(core);
        let (send, orders) = mpsc::unbounded_channel();
        {
            let mut now = self.now();
            now.core = Some(Arc::clone(&core));
            now.orders = Some(send);
        }
        let mut orders = UnboundedReceiverStream::new(orders);
        loop {
            tokio::select! {
                biased;
                order = orders.next() => match order {
                    Some(Order::Stop) | None => {
                        stop.send_replace(true);
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        return Ok(());
                    }
                    Some(order) => self.obey(&core, order).await,
                },
                Some(ended) = tasks.join_next() => return Err(format!("a part of the control plane ended: {ended:?}").into()),
            }
        }
    }

    async fn obey(&self, core: &Core, order: Order) {
        let now = self.clock.now();
        let done = match order {
            Order::Read => {
                core.world.declare(self.reading()).await;
                Ok(())
            }
            Order::Rotate(step) => {
                let sequences = core.proxies.trust_sequences();
                let live: Vec<_> = sequences
                    .iter()
                    .map(|(name, sequence)| LiveProxy { name, acknowledged: *sequence })
                    .collect();
                core.custody.rotate(step, &live, now).map(drop)
            }
            Order::Deny(denial) => core.custody.deny(&denial, now).map(drop),
            Order::Allow(denial) => core.custody.allow(&denial, now).map(drop),
            Order::Stop => Ok(()),
        };
        if let Err(refused) = done {
            self.now().refused.push(refused.to_string());
        }
    }

    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of every simulated mesh.
pub(crate) const DOMAIN: &str = "sim.mesh";
