//! One posing proxy: the config stream of the real one, with what is told decoded, staged, committed and acknowledged by the
//! same `Held`, and nothing behind it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;
use weft_certs::rotation::Identity;
use weft_certs::tls::Hop;
use weft_certs::verify::Expect;
use weft_policy::draw::Draw;
use weft_policy::endpoint::Health;
use weft_policy::identity::{SpiffeId, TrustDomain};
use weft_policy::object::ServicePort;
use weft_proto::feature::FEATURES;
use weft_proto::held::{Held, Progress};
use weft_proto::name::{Key, WorkloadName};
use weft_proto::v1::discovery_client::DiscoveryClient;
use weft_proto::v1::{
    self, ClientFrame, Hello, Interest, Report, Selector, ServerFrame, Type, client_frame, notice, report,
    resume, server_frame,
};

use crate::enrol::Channels;
use crate::world::{self, Shape};

/// What somebody does to one of them.
#[derive(Debug)]
pub(crate) enum Order {
    /// Its application is well, or not.
    Report(bool),
    /// Says in how many things it differs from what everybody has said.
    Compare(oneshot::Sender<usize>),
}

/// What has happened to one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// Which.
    pub(crate) proxy: usize,
    /// When.
    pub(crate) at: Instant,
    /// What.
    pub(crate) what: What,
}

/// What may happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// It has acknowledged the answer to all that it asks for.
    Settled,
    /// Its stream has ended.
    Lost,
    /// It holds new endpoints of what everybody calls: those that are well, one bit for each.
    Saw(u64),
}

/// What all of them share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// How large the mesh is.
    pub(crate) shape: Shape,
    /// Who wants to know what happens.
    pub(crate) events: mpsc::UnboundedSender<Event>,
    /// Whether each one's application is well, as it has said.
    pub(crate) well: Vec<AtomicBool>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Proxy {
    number: usize,
    workload: WorkloadName,
    trust_domain: TrustDomain,
    identity: Arc<Identity>,
    channel: Channel,
    shared: Arc<Shared>,
    orders: mpsc::UnboundedReceiver<Order>,
}

impl Proxy {
    /// One that is somebody. `asks_for_life`: as real ones do, unless it is to be stopped.
    pub(crate) fn new(
        channels: Channels,
        (identity, trust_domain): (Identity, TrustDomain),
        asks_for_life: bool,
        shared: Arc<Shared>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        let number = channels.proxy;
        let identity = Arc::new(identity);
        let introduce = {
            let identity = Arc::clone(&identity);
            let expect = Expect::Exactly(SpiffeId::control_plane(&trust_domain));
            move || {
                let generation = identity.current().expect("it has enrolled");
                generation.client(&expect, Hop::ControlPlane)
            }
        };
        let channel = channels.lazily(introduce, asks_for_life);
        let workload = WorkloadName::parse(&world::workload(number)).expect("our own names are names");
        Self { number, workload, trust_domain, identity, channel, shared, orders }
    }

    /// Attaches, and attaches again after the same pauses as the real one, until nobody gives orders any more.
    pub(crate) async fn run(mut self) {
        let mut draw = Draw::from_seed(self.number as u64);
        let mut held = Held::new(self.workload.clone());
        let mut failures = 0u32;
        while !self.orders.is_closed() {
            let begun = Instant::now();
            failures = match self.attach(&mut held).await {
                Ok(()) => 0,
                Err(_) if begun.elapsed() >= LONGEST_WAIT => 1,
                Err(_) => failures.saturating_add(1),
            };
            self.tell(What::Lost);
            held.abandon();
            let ceiling = FIRST_WAIT.saturating_mul(1 << failures.min(12)).min(LONGEST_WAIT);
            tokio::time::sleep(ceiling.mul_f64(draw.unit())).await;
        }
    }

    async fn attach(&mut self, held: &mut Held) -> anyhow::Result<()> {
        let (say, sent) = mpsc::channel(64);
        let frame = |kind| ClientFrame { kind: Some(kind) };
        say.send(frame(client_frame::Kind::Hello(self.hello(held)))).await?;
        let mut client = DiscoveryClient::new(self.channel.clone()).max_decoding_message_size(64 << 20);
        let mut incoming = client.attach(ReceiverStream::new(sent)).await?.into_inner();
        let Some(ServerFrame { kind: Some(server_frame::Kind::Welcome(welcome)) }) =
            incoming.message().await?
        else {
            anyhow::bail!("no welcome");
        };
        held.welcome(&welcome)?;
        let wanted =
            welcome.resume.iter().filter(|one| one.verdict == i32::from(resume::Verdict::NeedDetail));
        let detail =
            wanted.filter_map(|one| Type::try_from(one.r#type).ok()).map(|kind| held.detail(kind)).collect();
        let add = self.asks();
        say.send(frame(client_frame::Kind::Interest(Interest { add, drop: Vec::new(), detail }))).await?;
        say.send(frame(client_frame::Kind::Report(self.report()))).await?;
        self.follow(&mut incoming, &say, held).await
    }

    async fn follow(
        &mut self,
        incoming: &mut Streaming<ServerFrame>,
        say: &mpsc::Sender<ClientFrame>,
        held: &mut Held,
    ) -> anyhow::Result<()> {
        let frame = |kind| ClientFrame { kind: Some(kind) };
        let mut unanswered: BTreeSet<String> = self.asks().into_iter().map(|asked| asked.name).collect();
        let mut settled = false;
        let mut beat = tokio::time::interval_at(Instant::now() + REPORT, REPORT);
        loop {
            tokio::select! {
                biased;
                said = incoming.message() => match said?.and_then(|said| said.kind) {
                    Some(server_frame::Kind::Update(update)) => {
                        if held.stage(update)? != Progress::Complete {
                            continue;
                        }
                        let Some(committed) = held.commit() else { continue };
                        for synced in &committed.synced {
                            unanswered.remove(&synced.name);
                        }
                        say.send(frame(client_frame::Kind::Ack(committed.ack))).await?;
                        if !committed.resync.is_empty() {
                            let resync = v1::Resync { names: committed.resync };
                            say.send(frame(client_frame::Kind::Resync(resync))).await?;
                        }
                        if committed.changed.contains(&Key::Endpoints(shared_port())) {
                            self.tell(What::Saw(well_in(held)));
                        }
                        if unanswered.is_empty() && !settled {
                            settled = true;
                            drop(held.sweep());
                            self.tell(What::Settled);
                        }
                    }
                    Some(server_frame::Kind::Notice(said)) if said.kind == i32::from(notice::Kind::GoAway) => {
                        return Ok(());
                    }
                    Some(_) => {}
                    None => return Ok(()),
                },
                order = self.orders.recv() => match order {
                    Some(Order::Report(well)) => {
                        self.is_well().store(well, Ordering::SeqCst);
                        say.send(frame(client_frame::Kind::Report(self.report()))).await?;
                    }
                    Some(Order::Compare(answer)) => {
                        // Who has asked may have stopped waiting.
                        let _gone = answer.send(self.differences(held));
                    }
                    None => return Ok(()),
                },
                _ = beat.tick() => {
                    let all = unanswered.is_empty().then(|| v1::Holding { types: held.retained() });
                    let report = Report { holding: all, ..self.report() };
                    say.send(frame(client_frame::Kind::Report(report))).await?;
                }
            }
        }
    }

    fn hello(&self, held: &Held) -> Hello {
        Hello {
            workload: self.workload.to_string(),
            build: env!("CARGO_PKG_VERSION").into(),
            protocol_minor: 1,
            features: FEATURES.to_vec(),
            retained: held.retained(),
            seen: held.seen().cloned(),
            registration: Some(self.shared.shape.registration(self.number)),
        }
    }

    fn asks(&self) -> Vec<Selector> {
        let own = |kind: Type, name: String| Selector { r#type: kind.into(), name, with_deps: false };
        let own =
            [own(Type::Trust, self.trust_domain.to_string()), own(Type::Inbound, self.workload.to_string())];
        own.into_iter().chain(self.shared.shape.asks(self.number)).collect()
    }

    fn report(&self) -> Report {
        let application =
            if self.is_well().load(Ordering::SeqCst) { v1::Health::Healthy } else { v1::Health::Unhealthy };
        let not_after = self.identity.current().map(|generation| generation.credentials().us().not_after);
        Report {
            phase: report::Phase::Serving.into(),
            application: application.into(),
            cert_not_after_unix: not_after
                .and_then(|end| end.duration_since(UNIX_EPOCH).ok())
                .map_or(0, |since| since.as_secs()),
            trust_sequence: 1,
            ..Report::default()
        }
    }

    /// In how many endpoints of what it calls this proxy differs from what their own proxies have said last.
    fn differences(&self, held: &Held) -> usize {
        let shape = self.shared.shape;
        let of = |service: String, replicas: Vec<usize>| {
            let set =
                held.snapshot().endpoints.get(&ServicePort::new(world::NAMESPACE, &service, world::PORT));
            let holds: BTreeSet<_> = set
                .iter()
                .flat_map(|set| set.endpoints())
                .filter_map(|one| Some((world::proxy_of(&one.name)?, one.health == Health::Healthy)))
                .collect();
            let is_well =
                |one: &usize| self.shared.well.get(*one).is_some_and(|well| well.load(Ordering::SeqCst));
            let said: BTreeSet<_> = replicas.into_iter().map(|one| (one, is_well(&one))).collect();
            holds.symmetric_difference(&said).count()
        };
        let called = shape.calls(self.number).into_iter();
        let called = called.map(|service| of(world::app(service), shape.replicas(service).collect()));
        called.sum::<usize>() + of(world::SHARED.to_owned(), (0..shape.shared()).collect())
    }

    fn is_well(&self) -> &AtomicBool {
        self.shared.well.get(self.number).expect("as many as there are proxies")
    }

    fn tell(&self, what: What) {
        // Nobody wants to know at the end.
        let _gone = self.shared.events.send(Event { proxy: self.number, at: Instant::now(), what });
    }
}

fn shared_port() -> ServicePort {
    ServicePort::new(world::NAMESPACE, world::SHARED, world::PORT)
}

/// Who of those that everybody calls is well, as one proxy has been told.
fn well_in(held: &Held) -> u64 {
    let set = held.snapshot().endpoints.get(&shared_port());
    let well = set.iter().flat_map(|set| set.endpoints()).filter(|one| one.health == Health::Healthy);
    let bit = |name: &str| Some(1u64 << world::proxy_of(name).filter(|number| *number < 64)?);
    well.filter_map(|one| bit(&one.name)).fold(0, |all, one| all | one)
}

// As in the real one (proxy/src/discovery/stream.rs).
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const REPORT: Duration = Duration::from_secs(30);
