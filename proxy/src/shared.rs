//! What all workers share: what the control plane has said, who we are, what has been learned.
//!
//! Each part is read without a lock and swapped whole.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weft_policy::identity::SpiffeId;
use weft_policy::refuse::Refusal;
use weft_policy::snapshot::InboundPort;

use crate::clock::Clock;
use crate::config::Config;
use crate::discovery::Current;
use crate::drain::Drain;
use crate::identity::Identity;
use crate::interception::Interception;
use crate::learned::Experiences;
use crate::memory::Memory;
use crate::original_dst::{OriginalDst, OwnListeners};
use crate::telemetry::Observe;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Settings.
    pub(crate) config: Config,
    /// The newest snapshot, and the way to ask for more.
    pub(crate) current: Arc<Current>,
    /// Our certificate and whom we trust.
    pub(crate) identity: Arc<Identity>,
    /// Breakers, latencies, budgets: per proxy, so shared.
    pub(crate) learned: Arc<Experiences>,
    /// Metrics, access log, spans.
    pub(crate) observe: Arc<Observe>,
    /// Whether the application's connections come here.
    pub(crate) interception: Interception,
    /// Where we listen, so that we never call ourselves.
    pub(crate) own: OwnListeners,
    /// How many connections there is room for.
    pub(crate) connections: usize,
    /// How much room there is in memory.
    pub(crate) memory: Arc<Memory>,
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

    /// Where the application listens for this call: for a port that the workload has declared where that says, or on
    /// the application's address. What listens on this host's loopback and is not declared is not for the mesh: a
    /// redirected connection goes where it was going, and reaches what it would have reached without us.
    ///
    /// # Errors
    /// `UnknownPort` where only the peer says that there is such a port. `Loop` where the proxy itself listens there,
    /// its admin listener above all.
    pub(crate) fn application(&self, dialled: Dialled) -> Result<SocketAddr, Refusal> {
        let snapshot = self.current.snapshot();
        let declared = snapshot.inbound.as_ref().map_or(&[][..], |inbound| &inbound.ports);
        let application = dialled.application(declared, self.config.application)?;
        OriginalDst::named(application, &self.own).map(OriginalDst::addr).map_err(|_| Refusal::Loop)
    }
}

/// Which of the application's ports a call is for, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialled {
    /// The kernel, which has redirected the connection here.
    Redirected(OriginalDst),
    /// The workload, which has declared no other.
    Only(u16),
    /// The peer, in a hop to the proxy's own port.
    Asked(u16),
}

impl Dialled {
    /// The application's port.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Redirected(dst) => dst.addr().port(),
            Self::Only(port) | Self::Asked(port) => port,
        }
    }

    fn application(self, declared: &[InboundPort], address: IpAddr) -> Result<SocketAddr, Refusal> {
        let port = self.port();
        match (declared.iter().find(|declared| declared.number == port), self) {
            (Some(declared), _) => Ok(declared.address.unwrap_or_else(|| (address, port).into())),
            (None, Self::Redirected(dst)) => Ok(dst.addr()),
            (None, Self::Only(_) | Self::Asked(_)) => Err(Refusal::UnknownPort),
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_policy::authorize::{MtlsMode, PortPolicy};
    use weft_policy::protocol::AppProtocol;

    use super::*;

    #[test]
    fn only_declared_ports_lead_to_loopback() {
        let policy = PortPolicy {
            mtls: MtlsMode::Strict,
            mtls_origin: None,
            trust_domain: "weft.local".parse().unwrap(),
            policies: Vec::new(),
        };
        let port = |number, address: Option<&str>| InboundPort {
            number,
            protocol: AppProtocol::Detect,
            address: address.map(|address| address.parse().unwrap()),
            policy: policy.clone(),
        };
        let declared = [port(80, None), port(81, Some("127.0.0.9:8081"))];
        let redirected = |to: &str| {
            Dialled::Redirected(OriginalDst::named(to.parse().unwrap(), &OwnListeners::default()).unwrap())
        };
        for (dialled, want) in [
            (Dialled::Only(80), Ok("127.0.0.1:80")),
            (Dialled::Asked(80), Ok("127.0.0.1:80")),
            (Dialled::Asked(81), Ok("127.0.0.9:8081")),
            (Dialled::Asked(15020), Err(Refusal::UnknownPort)),
            (redirected("10.1.0.7:80"), Ok("127.0.0.1:80")),
            (redirected("10.1.0.7:81"), Ok("127.0.0.9:8081")),
            // A debugger on 127.0.0.1:9229 is not for the mesh; one on all addresses was reached before there was one.
            (redirected("10.1.0.7:9229"), Ok("10.1.0.7:9229")),
            (redirected("[fd00::7]:9229"), Ok("[fd00::7]:9229")),
        ] {
            let found = dialled.application(&declared, [127, 0, 0, 1].into());
            assert_eq!(found, want.map(|addr| addr.parse().unwrap()), "{dialled:?}");
        }
    }
}
