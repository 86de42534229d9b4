//! What every stream of [`Discovery`] works with.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use weft_certs::clock::Clock;

use super::unspoken::Unspoken;
use crate::aside::Aside;
use crate::custody::Custody;
use crate::publish::hub::Hub;
use crate::registration::Registry;
use crate::report::{Proxies, StreamCounts};
use crate::world::WorldHandle;

/// The service. Cloning it shares everything.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// Where tables come from.
    pub hub: Arc<Hub>,
    /// Where it is taken down how far each proxy has come.
    pub proxies: Arc<Proxies>,
    /// What is, and whom to tell of health.
    pub world: WorldHandle,
    /// Who announces itself.
    pub registry: Arc<Registry>,
    /// From when moments are counted.
    pub started: Instant,
    /// By what certificates are judged.
    pub clock: Clock,
    /// Where work is done that waits for the disk.
    pub aside: Aside,
    /// Where chance begins: the streams of two replicas end at different times.
    pub seed: u64,
    /// By whose roots peers are judged, when they have to be judged again, and who signs.
    pub custody: Arc<Custody>,
    /// The name of this control plane.
    pub replica: Arc<str>,
    /// When a stream is asked to reconnect, give or take half.
    pub max_age: Duration,
    /// Streams that have not said Hello.
    pub unspoken: Unspoken,
    /// What is counted.
    pub counts: StreamCounts,
    /// True when the control plane is ending.
    pub stopping: watch::Receiver<bool>,
}
