//! What all workers share: what the control plane has said, who we are, what has been learned.
//!
//! Each part is read without a lock and swapped whole.

use std::net::SocketAddr;
use std::sync::Arc;

use weft_policy::identity::SpiffeId;

use crate::clock::Clock;
use crate::config::Config;
use crate::discovery::Current;
use crate::drain::Drain;
use crate::identity::Identity;
use crate::learned::Experiences;
use crate::original_dst::OwnListeners;
use crate::telemetry::Observe;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Settings.
    pub(crate) config: Config,
    /// The newest snapshot, and the way to ask for more.
    pub(crate) current: Current,
    /// Our certificate and whom we trust.
    pub(crate) identity: Arc<Identity>,
    /// Breakers, latencies, budgets: per proxy, so shared.
    pub(crate) learned: Arc<Experiences>,
    /// Metrics, access log, spans.
    pub(crate) observe: Arc<Observe>,
    /// Where we listen, so that we never call ourselves.
    pub(crate) own: OwnListeners,
    /// The one clock.
    pub(crate) clock: Clock,
    /// The end has begun: nothing new comes in to the application.
    pub(crate) drain: Drain,
    /// The application's own calls end too, once what had come in is done.
    pub(crate) drain_outbound: Drain,
}

impl Shared {
    /// Who we are.
    pub(crate) fn us(&self) -> SpiffeId {
        self.identity.us()
    }

    /// Where the application listens on `port`.
    pub(crate) fn application(&self, port: u16) -> SocketAddr {
        let snapshot = self.current.snapshot();
        let declared = snapshot
            .inbound
            .as_ref()
            .and_then(|inbound| inbound.ports.iter().find(|declared| declared.number == port)?.address);
        declared.unwrap_or_else(|| (self.config.application, port).into())
    }
}
