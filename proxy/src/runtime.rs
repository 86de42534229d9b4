//! Starts a proxy: listeners first, so that a port in use is said at once; then an identity; then the workers.
//!
//! Requests run on worker threads, each a `current_thread` runtime that owns its connections. Everything else
//! (config stream, renewal, admin, telemetry) runs on the runtime that called [`Proxy::start`], so that it
//! cannot delay a request.

mod house;
mod listeners;

use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use weft_certs::tls::HandshakeFailed;
use weft_policy::draw::Draw;

use crate::accept::{Accepted, Room, Way, WorkerDoor, accept};
use crate::clock::Clock;
use crate::config::{AccessLog as LogTo, Config};
use crate::control::{Control, Means};
use crate::dns::{DnsServer, DnsSettings};
use crate::drain::{Door, Drainer};
use crate::health::AppHealth;
use crate::identity::OverTls;
use crate::interception::Interception;
use crate::kubelet::Desk;
use crate::memory::Memory;
use crate::names::MeshNames;
use crate::observe::access_log::AccessLog;
use crate::observe::export::{ExportSettings, Spans};
use crate::observe::metrics::Side;
use crate::original_dst::OwnListeners;
use crate::shared::Shared;
use crate::start_error::StartError;
use crate::telemetry::{self, Observe};
use crate::worker::Worker;
use crate::{admin, descriptors, inbound, outbound};
use house::{check_health, keep_house};
use listeners::Listeners;

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    inbound: Drainer,
    outbound: Drainer,
    /// Cuts off what has not ended by the deadline.
    cut: watch::Sender<bool>,
    grace: Duration,
    /// Dropping these ends them.
    tasks: JoinSet<()>,
    /// Where it listens: inbound, outbound, admin, then the fixed local ports.
    pub addrs: Vec<SocketAddr>,
    /// Where it answers DNS, over UDP and TCP; empty: it does not.
    pub dns: Vec<SocketAddr>,
}

impl Proxy {
    /// Starts a proxy. Returns when it has an identity and accepts connections; [`Proxy::ready`] waits for
    /// policy too.
    ///
    /// # Errors
    /// [`StartError`], written for the operator.
    pub async fn start(mut config: Config) -> Result<Self, StartError> {
        let mut listeners = Listeners::bind(&mut config).await?;
        let addrs = listeners.addrs();
        let redirected_to = [config.inbound, config.outbound].into_iter().chain(config.dns);
        let twins = redirected_to.filter_map(listeners::twin);
        let mut draw = Draw::from_seed(seed());
        let mut tasks = JoinSet::new();
        // From the start: "alive, not ready" is an answer while enrolling.
        let asked = admin::Asked::default();
        tasks.spawn(admin::serve(listeners.admin, Arc::clone(&asked)));
        let desk = Desk { questions: config.probes.clone().into(), proxy: Arc::clone(&asked) };
        listeners.probes.into_iter().for_each(|listener| drop(tasks.spawn(desk.clone().serve(listener))));
        let (inbound, outbound) = (Drainer::new(), Drainer::new());
        let cut = watch::Sender::new(false);
        let observe = Arc::new(observe(&config, &mut tasks)?);
        let metrics = observe.metrics.clone();
        let refused = move |failed: &HandshakeFailed| {
            metrics.tls_refused(Side::ControlPlane, failed.label()).increment();
        };
        let (told, health) = watch::channel(AppHealth::Unknown);
        let (checks, checks_seen) = watch::channel(Vec::new());
        let means = Means {
            transport: OverTls { refused },
            clock: weft_certs::clock::Clock::system(),
            metrics: observe.metrics.clone(),
            health,
            checks,
            drain: inbound.drain(),
        };
        let control = Control::start(&config, means, &mut tasks, &mut draw).await?;
        let interception = match (listeners.self_test.take(), &config.redirected) {
            (Some(listener), Some(rules)) => {
                let (expected, nonce) = (Interception::expected(), Draw::from_seed(draw.bits()));
                let level = observe.metrics.redirected();
                tasks.spawn(expected.clone().find_out(listener, rules.clone(), nonce, level));
                expected
            }
            _ => Interception::not_expected(),
        };
        let shared = Arc::new(Shared {
            own: OwnListeners::new(
                addrs.iter().copied().chain(twins).chain(config.dns),
                [config.inbound.ip()],
            ),
            current: control.current,
            identity: control.identity,
            learned: control.learned,
            observe: Arc::clone(&observe),
            connections: descriptors::connections(),
            memory: Arc::new(Memory::within(config.memory_limit)),
            clock: Clock::start(),
            interception,
            drain: inbound.drain(),
            drain_outbound: outbound.drain(),
            config: config.clone(),
        });

        tasks.spawn(check_health(checks_seen, config.application, told));
        tasks.spawn(keep_house(Arc::clone(&shared)));
        let watching = Arc::clone(&shared);
        tasks.spawn(async move { watching.memory.watch().await });
        asked.get_or_init(|| Arc::clone(&shared));
        let mut dns = Vec::new();
        if let Some(listen) = config.dns {
            let zones = vec![".mesh".to_owned(), ".svc.cluster.local".to_owned()];
            let upstream = Some(config.dns_upstream.clone()).filter(|servers| !servers.is_empty());
            let twin = listeners::twin(listen).filter(|twin| twin.port() != 0);
            let listen = [listen].into_iter().chain(twin).collect();
            let settings = DnsSettings { listen, zones: vec!["mesh".to_owned()], upstream };
            let names = Arc::new(MeshNames::new(Arc::clone(&shared), zones));
            let server = DnsServer::bind(&settings, names).await?;
            dns.extend(server.addrs());
            tasks.spawn(server.run());
        }
        listeners.data.append(&mut listeners.twins);
        start_workers(&shared, listeners.data, &inbound, &outbound, &cut, &mut draw)?;
        Ok(Self { shared, inbound, outbound, cut, grace: config.drain, tasks, addrs, dns })
    }

    /// Returns once policy for the application has arrived: before that its callers are refused.
    pub async fn ready(&self) {
        self.shared.current.until(|snapshot| snapshot.inbound.is_some()).await;
    }

    /// Returns if something that runs beside the path has panicked: the config stream, the renewal of the certificate,
    /// health checks, DNS. Requests would go on by what was known last, and nobody would ever know more: a proxy like
    /// that is to be drained and started again.
    pub async fn broken(&mut self) {
        panicked(&mut self.tasks).await;
    }

    /// Ends by one deadline. First nothing new comes in, while the application may still call others to finish what
    /// it has begun; when that is done, its own calls end too. Says whether all of it finished.
    pub async fn drain(mut self) -> bool {
        let begun = tokio::time::Instant::now();
        let inbound = self.inbound.drain_within(self.grace).await;
        let rest = self.grace.saturating_sub(begun.elapsed());
        let all = inbound & self.outbound.drain_within(rest).await;
        self.cut.send_replace(true);
        self.tasks.shutdown().await;
        all
    }
}

/// Returns when one of these has panicked. One that ends in another way had come to its end.
async fn panicked(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err_and(|error| error.is_panic()) {
            return;
        }
    }
    std::future::pending().await
}

/// Starts the worker threads; the first also accepts.
fn start_workers(
    shared: &Arc<Shared>,
    listeners: Vec<(StdListener, Way)>,
    inbound: &Drainer,
    outbound: &Drainer,
    cut: &watch::Sender<bool>,
    draw: &mut Draw,
) -> Result<(), StartError> {
    let mut doors = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..shared.config.workers {
        let (connections, taken) = mpsc::unbounded_channel();
        doors.push(WorkerDoor { connections, open: Arc::new(AtomicUsize::new(0)) });
        ends.push(taken);
    }
    let mut acceptor = Some(Acceptor { listeners, doors });
    for (number, taken) in ends.into_iter().enumerate() {
        let (shared, seed, acceptor) = (Arc::clone(shared), draw.bits(), acceptor.take());
        let (door, waited_for) = (inbound.door(), outbound.waited_for());
        let mut cut = cut.subscribe();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| StartError::Thread { source })?;
        let work = move || {
            LocalSet::new().block_on(&runtime, async move {
                tokio::select! {
                    () = work(shared, seed, taken, acceptor, door) => {}
                    // Whether the sender says so or is gone: the process has no more use for this worker.
                    _ = cut.wait_for(|cut| *cut) => {}
                }
            });
            drop(waited_for);
        };
        std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(work)
            .map_err(|source| StartError::Thread { source })?;
    }
    Ok(())
}

/// What the accepting worker is given: where connections come in, and to whom they go.
struct Acceptor {
    listeners: Vec<(StdListener, Way)>,
    doors: Vec<WorkerDoor>,
}

/// One worker's life: take connections until draining has begun and the last one has ended.
async fn work(
    shared: Arc<Shared>,
    seed: u64,
    mut taken: mpsc::UnboundedReceiver<Accepted>,
    acceptor: Option<Acceptor>,
    door: Door,
) {
    let (drain, drain_outbound) = (shared.drain.clone(), shared.drain_outbound.clone());
    let worker = Worker::new(Arc::clone(&shared), seed);
    if let Some(Acceptor { listeners, doors }) = acceptor {
        for (listener, way) in listeners {
            match TcpListener::from_std(listener) {
                Ok(listener) => {
                    let drain = if matches!(way, Way::Inbound) { &drain } else { &drain_outbound };
                    tokio::task::spawn_local(accept(
                        listener,
                        way,
                        doors.clone(),
                        Room { shared: Arc::clone(&shared) },
                        drain.clone(),
                    ));
                }
                Err(error) => tracing::error!(%error, "a listener was lost while it was handed over"),
            }
        }
    }
    tokio::task::spawn_local(tidy(Rc::clone(&worker)));
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = taken.recv() => match accepted {
                Some(accepted) => {
                    open.spawn_local(connection(Rc::clone(&worker), accepted, door.clone()));
                }
                // All acceptors have gone: draining has begun.
                None => break,
            },
            Some(_) = open.join_next() => {}
        }
    }
    while open.join_next().await.is_some() {}
    worker.tunnels_closed().await;
}

async fn connection(worker: Rc<Worker>, accepted: Accepted, door: Door) {
    let Accepted { stream, peer, way, held: _held } = accepted;
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    match way {
        Way::Inbound => {
            let _waited_for = door.enter();
            inbound::connection::serve(worker, stream, peer).await;
        }
        Way::Outbound => outbound::connection::serve(worker, stream, peer, None).await,
        Way::Fixed(target) => outbound::connection::serve(worker, stream, peer, Some(target)).await,
    }
}

/// Closes what is not used any more, and what is not trusted any more.
async fn tidy(worker: Rc<Worker>) {
    let mut trust = worker.shared.identity.trust_changes();
    let mut beat = tokio::time::interval(TIDY);
    loop {
        tokio::select! {
            _ = beat.tick() => {
                worker.pool.sweep();
                worker.learned.sweep();
            }
            Ok(()) = trust.changed() => worker.pool.distrust(),
        }
    }
}

fn observe(config: &Config, tasks: &mut JoinSet<()>) -> Result<Observe, StartError> {
    let metrics = telemetry::metrics();
    let access_log = match &config.access_log {
        LogTo::Off => AccessLog::off(),
        to => {
            let (log, writer) = AccessLog::bounded(LOG_LINES, metrics.dropped("access_log"));
            let out: Box<dyn std::io::Write + Send> = match to {
                LogTo::File(path) => {
                    Box::new(std::fs::OpenOptions::new().create(true).append(true).open(path).map_err(
                        |source| StartError::AccessLog { path: path.display().to_string(), source },
                    )?)
                }
                LogTo::Stdout | LogTo::Off => Box::new(std::io::stdout()),
            };
            std::thread::Builder::new()
                .name("access-log".into())
                .spawn(move || {
                    if let Err(error) = writer.run(out) {
                        tracing::error!(%error, "the access log has ended");
                    }
                })
                .map_err(|source| StartError::Thread { source })?;
            log
        }
    };
    let spans = match &config.otlp {
        None => Spans::off(),
        Some(endpoint) => {
            let settings = ExportSettings {
                endpoint: endpoint.clone(),
                service: config.workload.clone(),
                resource: Vec::new(),
                capacity: LOG_LINES,
            };
            let (spans, export) = Spans::to_collector(&settings, metrics.dropped("spans"))
                .map_err(|error| StartError::Otlp(error.to_string()))?;
            tasks.spawn(export.run());
            spans
        }
    };
    Ok(Observe { metrics, access_log, spans })
}

/// Randomness enough to spread load and jitter; nothing secret hangs on it.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

/// Lines and spans that may wait to be written.
const LOG_LINES: usize = 4096;
const TIDY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_that_panics_is_noticed_and_one_that_ends_is_not_missed() {
        let mut tasks = JoinSet::new();
        tasks.spawn(async {});
        tasks.spawn(std::future::pending()).abort();
        let quiet = tokio::time::timeout(Duration::from_secs(3600), panicked(&mut tasks)).await;
        assert!(quiet.is_err(), "all came to their ends");
        tasks.spawn(async { panic!("a part of the proxy") });
        panicked(&mut tasks).await;
    }
}
