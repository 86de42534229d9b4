//! What all workers share: what the control plane has said, who we are, what has been learned.
//!
//! Each part is read without a lock and swapped whole.

use std::net::SocketAddr;
use std::sync::Arc;

use weft_policy::identity::SpiffeId;
use weft_policy::refuse::Refusal;

use crate::clock::Clock;
use crate::config::Config;
use crate::discovery::Current;
use crate::drain::Drain;
use crate::identity::Identity;
use crate::learned::Experiences;
use crate::original_dst::{OriginalDst, OwnListeners};
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
    ///
    /// # Errors
    /// `UnknownPort` where only the peer says that there is such a port: whatever else listens on this host's loopback
    /// is not for the mesh. `Loop` where the proxy itself listens there, its admin listener above all.
    pub(crate) fn application(&self, port: u16, said_by: PortSaidBy) -> Result<SocketAddr, Refusal> {
        let snapshot = self.current.snapshot();
        let mut ports = snapshot.inbound.iter().flat_map(|inbound| &inbound.ports);
        let declared = ports.find(|declared| declared.number == port);
        if declared.is_none() && said_by == PortSaidBy::Peer {
            return Err(Refusal::UnknownPort);
        }
        let address = declared.and_then(|declared| declared.address);
        let application = address.unwrap_or_else(|| (self.config.application, port).into());
        OriginalDst::named(application, &self.own).map(OriginalDst::addr).map_err(|_| Refusal::Loop)
    }
}

/// Who says which of the application's ports a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortSaidBy {
    /// The kernel, which knows where the connection was going, or the workload, which has no other.
    Fact,
    /// The peer, in a hop to the proxy's own port.
    Peer,
}
