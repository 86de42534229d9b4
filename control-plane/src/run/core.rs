//! A control plane apart from where it is reached and where its world comes from: custody, the world, who is told what
//! of it, and the gRPC that proxies speak.
//!
//! It binds no port and reads no file. Whoever has it gives it what was read, spawns its tasks, and serves its
//! [`router`](Core::router) on connections that say who is at the other end ([`Caller`](crate::serve::connection::Caller)):
//! over TLS in the program, over a network that does not exist in a simulation.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry as Metrics;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tonic::transport::Server;
use tonic::transport::server::Router;
use weft_certs::clock::Clock;
use weft_manifests::settings::MeshSettings;
use weft_policy::moment::Moment;
use weft_proto::codec::discovery_server::DiscoveryServer;

use super::{named, server};
use crate::aside::Aside;
use crate::attest::review::SharedPodTokens;
use crate::custody::{Custody, trust_of};
use crate::publish::hub::Hub;
use crate::registration::{Patience, Registry};
use crate::report::{Proxies, StreamCounts};
use crate::serve::discovery::{Discovery, Unspoken};
use crate::serve::identity::{IdentityMetrics, IdentityService, Limits};
use crate::source::Reading;
use crate::world::{Reserve, WorldHandle, Writer};

/// How it behaves.
#[derive(Debug)]
pub struct CoreSettings {
    /// What manifests are read with.
    pub mesh: MeshSettings,
    /// The name of this control plane.
    pub replica: Arc<str>,
    /// For how long changes are gathered at most.
    pub settle: Duration,
    /// Compiles everything anew with every change, and says where that differs.
    pub paranoid: bool,
    /// When a stream is asked to reconnect, give or take half.
    pub max_age: Duration,
    /// By which certificates are judged and signed.
    pub clock: Clock,
    /// Where work is done that waits for the disk.
    pub aside: Aside,
    /// Where chance begins.
    pub seed: u64,
}

/// Everything that proxies are served from.
pub struct Core {
    /// Who is who, and what outlives a restart.
    pub custody: Arc<Custody>,
    /// Where the world is told what changes.
    pub world: WorldHandle,
    /// What is published.
    pub hub: Arc<Hub>,
    /// Who has what.
    pub proxies: Arc<Proxies>,
    /// Who announced itself.
    pub registry: Arc<Registry>,
    identity: IdentityService,
    discovery: Discovery,
    started: Instant,
}

impl Core {
    /// Builds it from custody and from what its source has been read to say: what it serves first is the whole of that.
    /// The writer of the world is to be run by [`spawn`](Self::spawn). `stopping` says when streams are to end.
    pub async fn new(
        settings: CoreSettings,
        custody: Arc<Custody>,
        reading: Reading,
        pods: Option<SharedPodTokens>,
        stopping: watch::Receiver<bool>,
        metrics: &mut Metrics,
    ) -> (Self, Writer) {
        let started = Instant::now();
        let registry = Registry::new(Arc::clone(custody.ledger()), Patience::default(), Moment::START);
        let registry = Arc::new(registry);
        let (hub, proxies) = (Arc::new(Hub::default()), Arc::new(Proxies::default()));
        let (mut writer, world) = Writer::new(
            settings.mesh,
            custody.last_revision(),
            reserve(Arc::clone(&custody)),
            Arc::clone(&hub),
            settings.settle,
            settings.paranoid,
        );
        // The first call tells of everybody who was registered before.
        let registered = timeout(Duration::ZERO, registry.changes()).await.unwrap_or_default();
        writer.fill(reading, registered, trust_of(&custody.bundle()));
        let counts = StreamCounts::default();
        counts.register(metrics);
        let issued = IdentityMetrics::default();
        issued.register(metrics);
        let (clock, aside) = (settings.clock, settings.aside);
        let identity =
            IdentityService::new(Arc::clone(&custody), pods, Limits::default(), issued, clock.clone(), aside);
        let discovery = Discovery {
            hub: Arc::clone(&hub),
            proxies: Arc::clone(&proxies),
            world: world.clone(),
            registry: Arc::clone(&registry),
            started,
            clock,
            aside,
            seed: settings.seed,
            custody: Arc::clone(&custody),
            replica: settings.replica,
            max_age: settings.max_age,
            unspoken: Unspoken::default(),
            counts,
            stopping,
        };
        (Self { custody, world, hub, proxies, registry, identity, discovery, started }, writer)
    }

    /// What goes on without being asked: the world is written, and told of registrations and trust; what falls due with
    /// time is done.
    pub fn spawn(&self, writer: Writer, tasks: &mut JoinSet<&'static str>) {
        let (registry, world, custody) = (&self.registry, &self.world, &self.custody);
        tasks.spawn(named("world", writer.run()));
        tasks.spawn(named("registrations", tell_registrations(Arc::clone(registry), world.clone())));
        tasks.spawn(named("trust", tell_trust(Arc::clone(custody), world.clone())));
        tasks.spawn(named(
            "custody",
            keep(self.identity.clone(), Arc::clone(registry), self.started, self.discovery.aside),
        ));
    }

    /// The gRPC of proxies. Its connections have to say who is there.
    pub fn router(&self) -> Router {
        let mut server: Server = server();
        server
            .add_service(
                DiscoveryServer::new(self.discovery.clone()).max_decoding_message_size(MAX_FROM_PROXY),
            )
            .add_service(self.identity.clone().into_server())
    }

    /// The join tokens that are accepted, to make new ones.
    #[must_use]
    pub fn identity(&self) -> &IdentityService {
        &self.identity
    }
}

fn reserve(custody: Arc<Custody>) -> Reserve {
    // Once in a thousand revisions it waits for the disk, and the writer with it: nothing may overtake.
    Box::new(move |from| custody.reserve_revisions(from).map_err(|error| error.to_string()))
}

async fn tell_registrations(registry: Arc<Registry>, world: WorldHandle) {
    loop {
        world.learn(registry.changes().await).await;
    }
}

async fn tell_trust(custody: Arc<Custody>, world: WorldHandle) {
    let mut changes = custody.trust_changes();
    // What was published while the world was being filled.
    changes.mark_changed();
    while changes.changed().await.is_ok() {
        let bundle = Arc::clone(&changes.borrow_and_update());
        world.trust(bundle).await;
    }
}

/// What falls due with time: certificates, tokens, registrations.
async fn keep(identity: IdentityService, registry: Arc<Registry>, started: Instant, aside: Aside) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count: u64 = 0;
    loop {
        ticks.tick().await;
        let (identity, registry) = (identity.clone(), Arc::clone(&registry));
        let also_certificates = count.is_multiple_of(CERTIFICATES_EVERY);
        count = count.wrapping_add(1);
        let work = move || {
            registry.tick(Moment::after_start(started.elapsed()));
            if also_certificates && let Err(error) = identity.tick() {
                tracing::error!(%error, "what was due could not be done; it is tried again in a minute");
            }
        };
        if aside.done(work).await.is_none() {
            tracing::error!("keeping custody panicked; a defect");
        }
    }
}

const TICK: Duration = Duration::from_secs(5);
/// So many ticks are a minute.
const CERTIFICATES_EVERY: u64 = 12;
/// A list of everything that a proxy holds fits: fifty thousand names with their versions.
const MAX_FROM_PROXY: usize = 4 << 20;
