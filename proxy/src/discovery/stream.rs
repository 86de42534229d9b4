//! The config stream: attached for as long as the process lives, resumed where it broke off.
//!
//! Runs on the control runtime. What comes is staged in `weft_proto::held`, swapped in whole, and acknowledged
//! after the swap. A stream that ends is opened again with what is held as the starting point; until then
//! everything held stays in force.

mod report;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use weft_certs::authority::Serial;
use weft_policy::draw::Draw;
use weft_policy::health::HealthCheck;
use weft_policy::identity::TrustDomain;
use weft_policy::snapshot::Alias;
use weft_proto::feature::FEATURES;
use weft_proto::held::{Committed, Held, Kept, Progress};
use weft_proto::name::WorkloadName;
use weft_proto::v1::discovery_client::DiscoveryClient;
use weft_proto::v1::{
    self, ClientFrame, Hello, Interest, Registration, Report, Selector, ServerFrame, Type, client_frame,
    notice, report::Phase, resume, server_frame,
};

use super::{Discovered, kept};
use crate::config::{Config, Register};
use crate::drain::Drain;
use crate::health::AppHealth;
use crate::identity::{ControlChannel, Identity, adopt};
use crate::learned::Experiences;
use crate::observe::metrics::{Level, Metrics};

/// What the stream is given to work with.
pub(crate) struct Stream {
    pub(crate) config: Config,
    pub(crate) workload: WorkloadName,
    pub(crate) identity: Arc<Identity>,
    pub(crate) channel: ControlChannel,
    pub(crate) discovered: Discovered,
    pub(crate) learned: Arc<Experiences>,
    pub(crate) connected: Level,
    pub(crate) metrics: Metrics,
    /// What our own checks of the application say.
    pub(crate) health: watch::Receiver<AppHealth>,
    /// Which checks to make.
    pub(crate) checks: watch::Sender<Vec<HealthCheck>>,
    /// Asks for a new certificate at once.
    pub(crate) renew: Arc<Notify>,
    pub(crate) drain: Drain,
}

impl Stream {
    /// Attaches, and attaches again, until the process ends.
    pub(crate) async fn run(mut self, mut draw: Draw) {
        // Ends with this stream.
        let mut aside = JoinSet::new();
        let (mut held, mut roots) = self.begin(&mut aside);
        let mut failures = 0u32;
        loop {
            let begun = Instant::now();
            match self.attach(&mut held, &mut roots).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    // A stream that has lasted was none: how often one is lost in a long life says nothing of the next.
                    failures = if begun.elapsed() < LONGEST_WAIT { failures.saturating_add(1) } else { 1 };
                    tracing::warn!(%error, failures, "the control plane is away; what is known stays in force");
                }
            }
            self.connected.set(0);
            held.abandon();
            let ceiling = FIRST_WAIT.saturating_mul(1 << failures.min(12)).min(LONGEST_WAIT);
            tokio::time::sleep(ceiling.mul_f64(draw.unit())).await;
        }
    }

    /// What an earlier start has kept, or nothing. It is in force once the control plane has had its time to say something
    /// newer: as long as it is there, nobody is let in by what was allowed yesterday.
    fn begin(&self, aside: &mut JoinSet<()>) -> (Held, Roots) {
        let us = self.identity.generation();
        let kept = self
            .config
            .state_dir
            .as_deref()
            .and_then(|dir| kept::load(dir, us.credentials(), &self.workload));
        let Some(Kept { held, asked }) = kept else {
            return (Held::new(self.workload.clone()), Roots::default());
        };
        self.believe(&held);
        self.checks.send_replace(held.health_checks().to_vec());
        let (snapshot, resources) = (Arc::new(held.snapshot().clone()), held.len());
        let falling_back = self.discovered.fall_back_to(snapshot, NEWER_FIRST);
        aside.spawn(async move {
            if falling_back.await {
                tracing::warn!(
                    resources,
                    "the control plane is away; what an earlier start has kept is in force"
                );
            }
        });
        (held, Roots { asked: asked.into_iter().collect() })
    }

    /// Keeps what is held for another start, if it or our certificate is new since `kept`.
    async fn keep(&self, held: &Held, roots: &Roots, kept: &mut Option<(u64, Serial)>) {
        let us = self.identity.generation();
        let now = (self.discovered.swaps(), us.credentials().us().serial.clone());
        let Some(dir) = self.config.state_dir.clone().filter(|_| kept.as_ref() != Some(&now)) else { return };
        *kept = Some(now);
        let Some(told) = held.to_bytes(roots.asked.iter()) else { return };
        let writing = move || kept::store(&dir, us.credentials(), &told);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(writing).await {
            tracing::warn!(%error, "could not keep what the control plane has said for the next start");
        }
    }

    /// One stream, from hello to its end.
    async fn attach(&mut self, held: &mut Held, roots: &mut Roots) -> Result<(), String> {
        let (frames, sent) = mpsc::channel(FRAMES);
        let say = Say(frames);
        say.frame(client_frame::Kind::Hello(self.hello(held))).await?;
        let mut client = DiscoveryClient::new(self.channel.clone()).max_decoding_message_size(MAX_FRAME);
        let attached = client.attach(ReceiverStream::new(sent)).await;
        let mut incoming = attached.map_err(|status| describe(&status))?.into_inner();
        let Some(ServerFrame { kind: Some(server_frame::Kind::Welcome(welcome)) }) =
            next(&mut incoming).await?
        else {
            return Err("the control plane did not begin with a welcome".into());
        };
        held.welcome(&welcome).map_err(|error| error.to_string())?;
        let wanted =
            welcome.resume.iter().filter(|one| one.verdict == i32::from(resume::Verdict::NeedDetail));
        let detail =
            wanted.filter_map(|one| Type::try_from(one.r#type).ok()).map(|kind| held.detail(kind)).collect();
        let add = self.own().into_iter().chain(roots.asked.iter().map(Selector::from)).collect();
        say.frame(client_frame::Kind::Interest(Interest { add, drop: Vec::new(), detail })).await?;
        let report = self.report();
        let phase = report.phase();
        say.frame(client_frame::Kind::Report(report)).await?;
        self.connected.set(1);
        tracing::info!(replica = %welcome.replica, "attached to the control plane");
        self.follow(&mut incoming, &say, held, roots, phase).await
    }

    async fn follow(
        &mut self,
        incoming: &mut Streaming<ServerFrame>,
        say: &Say,
        held: &mut Held,
        roots: &mut Roots,
        mut reported: Phase,
    ) -> Result<(), String> {
        let mut unanswered: BTreeSet<String> = self
            .own()
            .iter()
            .map(|own| own.name.clone())
            .chain(roots.asked.iter().map(ToString::to_string))
            .collect();
        let mut beat = tokio::time::interval(REPORT);
        let mut keeping = tokio::time::interval(KEEP);
        keeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut kept = None;
        let mut going = false;
        // Something has come since we last said how we are.
        let mut told = true;
        loop {
            // In this order if several have come: that we are going matters to whoever calls, then what we are told. It does
            // not come without end: the control plane waits for what has been acknowledged.
            tokio::select! {
                biased;
                () = self.drain.begun(), if !going => {
                    going = true;
                    say.frame(client_frame::Kind::Report(self.report())).await?;
                }
                frame = next(incoming) => match frame?.and_then(|frame| frame.kind) {
                    Some(server_frame::Kind::Update(update)) => {
                        told = true;
                        let progress = held.stage(update).map_err(|error| error.to_string())?;
                        if progress == Progress::Complete && let Some(committed) = held.commit() {
                            for synced in &committed.synced {
                                unanswered.remove(&synced.name);
                            }
                            self.put_in_force(committed, held, say).await?;
                            // Callers wait to hear that we may be called.
                            let phase = self.phase();
                            if std::mem::replace(&mut reported, phase) != phase {
                                say.frame(client_frame::Kind::Report(self.report())).await?;
                            }
                            if unanswered.is_empty() && let Some(swept) = held.sweep() {
                                self.discovered.swap(Arc::new(swept));
                            }
                        }
                    }
                    Some(server_frame::Kind::Notice(notice)) => match notice::Kind::try_from(notice.kind) {
                        Ok(notice::Kind::GoAway) => return Ok(()),
                        Ok(notice::Kind::RenewNow) => self.renew.notify_one(),
                        _ => tracing::info!(text = %notice.text, "the control plane says"),
                    },
                    Some(server_frame::Kind::Welcome(_)) => {}
                    None => return Ok(()),
                },
                Ok(()) = self.health.changed() => say.frame(client_frame::Kind::Report(self.report())).await?,
                Some(alias) = self.discovered.asks.recv() => {
                    if let Some(drop) = roots.ask(&alias, held) {
                        let add = vec![Selector::from(&alias)];
                        say.frame(client_frame::Kind::Interest(Interest { add, drop, detail: Vec::new() })).await?;
                    }
                }
                _ = keeping.tick(), if unanswered.is_empty() => self.keep(held, roots, &mut kept).await,
                _ = beat.tick() => {
                    // Everything that is asked is answered, if only by a word: an answer was lost.
                    if !std::mem::take(&mut told) && !unanswered.is_empty() {
                        return Err("the control plane has left unanswered what it was asked".into());
                    }
                    // What is still being told is nobody's to compare.
                    let all = unanswered.is_empty().then(|| v1::Holding { types: held.retained() });
                    let report = Report { holding: all, ..self.report() };
                    say.frame(client_frame::Kind::Report(report)).await?;
                }
            }
        }
    }

    /// Trust first, so that whoever the new snapshot leads to can be believed; then the snapshot; then the word
    /// that it is in force.
    async fn put_in_force(&self, committed: Committed, held: &Held, say: &Say) -> Result<(), String> {
        let began = Instant::now();
        let Committed { snapshot, mut ack, resync, changed, not_understood, .. } = committed;
        self.believe(held);
        for rejected in &not_understood {
            tracing::error!(%rejected, "a policy is not understood: it denies all it applies to");
        }
        for rejected in &ack.rejected {
            let (name, field, why) = (&rejected.name, &rejected.path, &rejected.detail);
            tracing::error!(%name, %field, %why, "rejected a resource; its last good version stays in force");
        }
        self.checks.send_if_modified(|checks| {
            let differs = checks.as_slice() != held.health_checks();
            if differs {
                *checks = held.health_checks().to_vec();
            }
            differs
        });
        if changed.iter().any(|key| key.kind() == Type::Endpoints) {
            let places = snapshot.endpoints.values().flat_map(|set| set.endpoints());
            let places: BTreeSet<_> = places.map(|one| (one.addr, one.target_port)).collect();
            // Pods that are called by their own addresses are at every port.
            self.learned.retain(|place| places.contains(place) || snapshot.vips.contains_key(&place.0.ip()));
        }
        self.discovered.swap(Arc::new(snapshot));
        ack.apply_micros = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
        say.frame(client_frame::Kind::Ack(ack)).await?;
        // A rotation of the root waits until every proxy has said that it trusts the next one.
        if changed.iter().any(|key| key.kind() == Type::Trust) {
            say.frame(client_frame::Kind::Report(self.report())).await?;
        }
        if !resync.is_empty() {
            say.frame(client_frame::Kind::Resync(v1::Resync { names: resync })).await?;
        }
        Ok(())
    }

    /// Puts the trust that is held in force.
    fn believe(&self, held: &Held) {
        let domain: Option<TrustDomain> = self.identity.us().trust_domain().parse().ok();
        if let Some(trust) = domain.and_then(|domain| held.trust(&domain).cloned()) {
            match adopt(&self.identity.trust, &trust) {
                Ok(()) => self.identity.trust_has_changed(trust.sequence),
                Err(error) => tracing::warn!(%error, "a trust bundle was not put in force"),
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
            registration: self.config.register.as_ref().map(|register| self.registration(register)),
        }
    }

    fn registration(&self, register: &Register) -> Registration {
        let port = |(name, number): &(String, u16)| v1::RegisteredPort {
            name: name.clone(),
            number: u32::from(*number),
            protocol: v1::AppProtocol::Detect.into(),
        };
        let label = |(key, value): &(String, String)| v1::Label { key: key.clone(), value: value.clone() };
        Registration {
            address: register.address.to_string(),
            inbound_port: u32::from(self.config.inbound.port()),
            ports: register.ports.iter().map(port).collect(),
            labels: register.labels.iter().map(label).collect(),
            zone: String::new(),
            weight: 1,
        }
    }

    /// What every proxy asks for, whatever its application calls.
    fn own(&self) -> [Selector; 2] {
        let trust_domain = self.identity.us().trust_domain().to_owned();
        [
            Selector { r#type: Type::Trust.into(), name: trust_domain, with_deps: false },
            Selector { r#type: Type::Inbound.into(), name: self.workload.to_string(), with_deps: false },
        ]
    }
}

/// What the application has called so far.
#[derive(Debug, Default)]
struct Roots {
    asked: BTreeSet<Alias>,
}

impl Roots {
    /// Notes a new question, and says which to drop for it. `None`: it is asked already, or there are too many:
    /// names that lead nowhere are a client's to make up, so they make room first.
    fn ask(&mut self, alias: &Alias, held: &mut Held) -> Option<Vec<Selector>> {
        if self.asked.contains(alias) {
            return None;
        }
        let mut dropped = Vec::new();
        if self.asked.len() >= MAX_ROOTS {
            let absent =
                self.asked.iter().find(|asked| held.snapshot().absent.contains_key(*asked)).cloned()?;
            self.asked.remove(&absent);
            held.forget(&absent);
            dropped.push(Selector::from(&absent));
        }
        self.asked.insert(alias.clone());
        Some(dropped)
    }
}

/// Our side of the stream.
struct Say(mpsc::Sender<ClientFrame>);

impl Say {
    async fn frame(&self, kind: client_frame::Kind) -> Result<(), String> {
        let frame = ClientFrame { kind: Some(kind) };
        self.0.send(frame).await.map_err(|_| "the control plane closed the stream".to_owned())
    }
}

async fn next(incoming: &mut Streaming<ServerFrame>) -> Result<Option<ServerFrame>, String> {
    incoming.message().await.map_err(|status| describe(&status))
}

fn describe(status: &tonic::Status) -> String {
    crate::identity::reason(status)
}

/// Frames of ours that may wait.
const FRAMES: usize = 64;
/// The largest frame: a full set of many thousand endpoints.
const MAX_FRAME: usize = 64 << 20;
/// Destinations held at once.
const MAX_ROOTS: usize = 2000;
/// How often the control plane hears how we are.
const REPORT: Duration = Duration::from_secs(30);
/// How soon something new is kept for the next start: not at each of a hundred changes a second.
const KEEP: Duration = Duration::from_secs(1);
/// How long what was kept waits for something newer.
const NEWER_FIRST: Duration = Duration::from_millis(300);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
