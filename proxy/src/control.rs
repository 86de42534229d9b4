//! The control side of a proxy: it becomes somebody, is told what holds, says how it is, and renews its certificate.
//!
//! All of it runs beside the path of a request, on the runtime of whoever starts it, and opens one connection, through a
//! [`Transport`]. What it learns is in force the moment it is swapped in; nothing here carries a request.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use weft_certs::bundle::TrustStore;
use weft_certs::clock::Clock;
use weft_certs::verify::Peer;
use weft_policy::draw::Draw;
use weft_policy::facts::Destination;
use weft_policy::health::HealthCheck;
use weft_policy::refuse::Refusal;
use weft_policy::snapshot::Snapshot;
use weft_proto::name::WorkloadName;

pub use crate::identity::{Introduction, Transport};

use crate::config::Config;
use crate::discovery::Current;
use crate::discovery::stream::Stream;
use crate::drain::Drain;
use crate::health::AppHealth;
use crate::identity::{EnrollError, Identity, Nobody, control_channel, enroll, keep_renewed};
use crate::learned::Experiences;
use crate::observe::metrics::Metrics;
use crate::start_error::StartError;

/// What it works with.
#[derive(Debug)]
pub struct Means<T> {
    /// How the control plane is reached.
    pub transport: T,
    /// By what certificates are judged and renewed.
    pub clock: Clock,
    /// Where it is counted how it goes, and what is reported of it.
    pub metrics: Metrics,
    /// How the application is.
    pub health: watch::Receiver<AppHealth>,
    /// What it is to be asked.
    pub checks: watch::Sender<Vec<HealthCheck>>,
    /// Whether the proxy is going.
    pub drain: Drain,
}

/// A control side that has an identity. What it goes on doing are tasks of whoever has started it.
#[derive(Clone, Debug)]
pub struct Control {
    pub(crate) identity: Arc<Identity>,
    pub(crate) current: Arc<Current>,
    pub(crate) learned: Arc<Experiences>,
}

impl Control {
    /// Returns when there is an identity: kept from an earlier start, or given for the token. From then on `tasks` keep the
    /// stream and the certificate.
    ///
    /// # Errors
    /// [`StartError`], where asking again cannot mend it.
    pub async fn start<T: Transport>(
        config: &Config,
        means: Means<T>,
        tasks: &mut JoinSet<()>,
        draw: &mut Draw,
    ) -> Result<Self, StartError> {
        let workload = WorkloadName::parse(&config.workload)?;
        let Means { transport, clock, metrics, health, checks, drain } = means;
        let nobody = Nobody::new(clock);
        enroll(config, &nobody, &transport, draw).await?;
        let identity = Arc::new(nobody.into_somebody().ok_or(EnrollError::NoToken)?);
        let (current, discovered) = Current::new(config.discovery_wait);
        let learned = Arc::new(Experiences::default());
        let of_the_moment = Arc::clone(&identity);
        let channel =
            control_channel(&config.control_plane, transport.clone(), move || of_the_moment.introduction())
                .map_err(|source| EnrollError::Address { address: config.control_plane.clone(), source })?;
        let renew = Arc::new(Notify::new());
        let stream = Stream {
            config: config.clone(),
            workload,
            identity: Arc::clone(&identity),
            channel: channel.clone(),
            discovered,
            learned: Arc::clone(&learned),
            connected: metrics.control_plane_connected(),
            metrics,
            health,
            checks,
            renew: Arc::clone(&renew),
            drain,
        };
        tasks.spawn(stream.run(Draw::from_seed(draw.bits())));
        let (config, renewed, draw) = (config.clone(), Arc::clone(&identity), Draw::from_seed(draw.bits()));
        tasks.spawn(async move { keep_renewed(&config, &renewed, channel, transport, renew, draw).await });
        Ok(Self { identity, current: Arc::new(current), learned })
    }

    /// What holds at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.snapshot()
    }

    /// What holds once it says where `destination` is, be it nowhere. The control plane is asked on first use.
    ///
    /// # Errors
    /// `DiscoveryTimeout` when it does not answer in time, `DiscoveryOverload` when too many wait already.
    pub async fn answering(&self, destination: &Destination<'_>) -> Result<Arc<Snapshot>, Refusal> {
        self.current.answering(destination).await
    }

    /// What our own certificate says.
    #[must_use]
    pub fn us(&self) -> Peer {
        self.identity.generation().credentials().us().clone()
    }

    /// Whom we believe.
    #[must_use]
    pub fn trust(&self) -> &Arc<TrustStore> {
        &self.identity.trust
    }
}
