//! A whole control plane in one process: opened, filled, then served, in this order.
//!
//! Nothing is served before everything has been read. A proxy that reconnects to a control plane which is still
//! reading would otherwise be told that its services are gone.

use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use prometheus_client::registry::Registry as Metrics;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;
use weft_certs::clock::Clock;
use weft_manifests::settings::MeshSettings;
use weft_policy::authorize::MtlsMode;
use weft_proto::v1;

use crate::admin::{self, Admin, SocketError};
use crate::aside::Aside;
use crate::config::{Config, DefaultMtls};
use crate::custody::{Custody, CustodyError};
use crate::keys::KeysError;
use crate::ops::{self, Ops};
use crate::report::Told;
use crate::serve::accept::{HandshakeFailures, accept, connections};
use crate::serve::inspect::Inspect;
use crate::source::directory::DirectoryError;
use crate::source::kubernetes::ClusterError;
use crate::status::Keeper;
use crate::webhook::Turn;

mod admission;
mod core;
mod feed;
mod replicas;

use admission::Admission;
pub use core::{Core, CoreSettings};
use feed::Feed;
use replicas::Replicas;

/// A control plane that is not running.
#[derive(Debug)]
pub struct ControlPlane;

/// A control plane that is. Dropping it stops it at once; [`shutdown`](Self::shutdown) lets it say goodbye.
#[derive(Debug)]
pub struct Running {
    /// Where proxies connect.
    pub grpc_addr: SocketAddr,
    /// Where `/live`, `/ready` and `/metrics` are.
    pub admin_addr: SocketAddr,
    /// The operator's socket.
    pub admin_socket: PathBuf,
    stop: watch::Sender<bool>,
    tasks: JoinSet<&'static str>,
    /// How many of the tasks have something to say when they are stopped.
    goodbyes: usize,
    custody: Weak<Custody>,
}

/// Why a control plane does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The Secret of the mesh's identity.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The config directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The API server.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A port.
    #[error("cannot listen at {addr}: {source}; is another control plane running?")]
    Listen {
        /// Which.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The operator's socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Something that reads files panicked.
    #[error("starting was interrupted; the log says by what")]
    Interrupted,
}

impl ControlPlane {
    /// Opens the state directory, reads the config directory and serves.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let (custody, replicas) = Replicas::open(&config).await?;
        let client = replicas.as_ref().map(|replicas| replicas.client.clone());
        let (feed, reading) = Feed::open(&config, client).await?;
        let grpc = bind(config.listen).await?;
        let admin_http = bind(config.admin).await?;
        let asked = match config.inspect {
            Some(addr) => Some(bind(addr).await?),
            None => None,
        };
        let admission = Admission::bind(&config, &feed).await?;
        let admin_socket = config.state_dir.join("admin.sock");
        let operator = admin::listen(&admin_socket)?;

        let mut metrics = Metrics::default();
        let mut tasks = JoinSet::new();
        let (stop, stopped) = watch::channel(false);
        let kept = Arc::downgrade(&custody);
        let failures = HandshakeFailures::default();
        failures.register(&mut metrics);
        let pods = feed.pod_tokens(&config);
        if let Some(pods) = &pods {
            pods.register(&mut metrics);
            tasks.spawn(named("api server's keys", Arc::clone(pods).keep_keys()));
        }
        let replica: Arc<str> = config.replica.as_str().into();
        let core = CoreSettings {
            mesh: settings(&config),
            replica: Arc::clone(&replica),
            settle: config.settle,
            paranoid: config.paranoid,
            max_age: config.max_age,
            clock: Clock::system(),
            aside: Aside::Threads,
            seed: seed(),
        };
        let core = Core::new(core, Arc::clone(&custody), reading, pods, stopped.clone(), &mut metrics);
        let (core, writer) = core.await;
        let (world, hub) = (core.world.clone(), Arc::clone(&core.hub));
        let (proxies, registry) = (Arc::clone(&core.proxies), Arc::clone(&core.registry));
        let inspect = Inspect {
            world: world.clone(),
            hub: Arc::clone(&hub),
            proxies: Arc::clone(&proxies),
            custody: Arc::clone(&custody),
            replica,
        };
        let admin = Admin {
            files: feed.files(),
            world: world.clone(),
            custody: Arc::clone(&custody),
            registry: Arc::clone(&registry),
            proxies: Arc::clone(&proxies),
        };
        let mut goodbyes = 2;
        if let (Some(replicas), Some(gathered)) = (replicas, feed.gathered()) {
            goodbyes += 1;
            replicas.register(&mut metrics);
            gathered.register(&mut metrics);
            let (say, says) = watch::channel(Arc::new(Told::default().line()));
            let keeper = Keeper {
                world: world.clone(),
                hub: Arc::clone(&hub),
                proxies: Arc::clone(&proxies),
                gathered,
                standing: replicas.standing.clone(),
                turn: admission.as_ref().map_or_else(Turn::always, Admission::turn),
                replica: config.replica.as_str().into(),
                says: say,
            };
            let part = replicas.take_part(keeper, says, Arc::clone(&proxies), stopped.clone());
            tasks.spawn(named("lead", part));
        }
        let ops = Arc::new(Ops::new(
            metrics,
            hub,
            proxies,
            world.clone(),
            Arc::clone(&registry),
            Arc::clone(&custody),
        ));

        let (grpc_addr, admin_addr) = (addr_of(&grpc, config.listen), addr_of(&admin_http, config.admin));
        core.spawn(writer, &mut tasks);
        tasks.spawn(named("source", feed.follow(world)));
        tasks.spawn(named("ops", ops::serve(admin_http, Arc::clone(&ops))));
        if let Some(admission) = admission {
            admission.serve(&custody, &mut tasks);
        }
        let (accepted, incoming) = connections();
        tasks.spawn(named("accept", accept(grpc, move || custody.server_config(), failures, accepted)));
        let proxies_server = core.router();
        let until = until(stopped.clone());
        tasks.spawn(named("grpc", async move {
            report_end(proxies_server.serve_with_incoming_shutdown(incoming, until).await);
        }));
        if let Some(listener) = asked {
            // Reading only: orders go through the socket, which has an owner.
            let questions = server()
                .add_service(
                    v1::inspect_server::InspectServer::new(inspect.clone())
                        .max_encoding_message_size(usize::MAX),
                )
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), self::until(stopped.clone()));
            tasks.spawn(named("questions", async move { report_end(questions.await) }));
        }
        let operator_server = server()
            .add_service(
                v1::admin_server::AdminServer::new(admin).max_decoding_message_size(MAX_FROM_OPERATOR),
            )
            .add_service(
                v1::inspect_server::InspectServer::new(inspect).max_encoding_message_size(usize::MAX),
            );
        let until = self::until(stopped);
        tasks.spawn(named("operator", async move {
            let incoming = UnixListenerStream::new(operator);
            report_end(operator_server.serve_with_incoming_shutdown(incoming, until).await);
        }));
        ops.set_ready(true);
        tracing::info!(%grpc_addr, %admin_addr, socket = %admin_socket.display(), "serving");
        Ok(Running { grpc_addr, admin_addr, admin_socket, stop, tasks, goodbyes, custody: kept })
    }
}

impl Running {
    /// Stops: no new connections, streams end, then everything else. The state directory is free afterwards.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let goodbyes = async {
            let mut left = self.goodbyes;
            while left > 0 {
                match self.tasks.join_next().await {
                    Some(Ok("grpc" | "operator" | "lead")) => left -= 1,
                    Some(_) => {}
                    None => return,
                }
            }
        };
        if timeout(GOODBYES, goodbyes).await.is_err() {
            tracing::warn!("some connections did not end in time, and are cut");
        }
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        // Work that waits for the disk cannot be stopped, and holds the lock on the directory until it is done.
        while self.custody.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // What is left behind would look like a control plane.
        let _gone = std::fs::remove_file(&self.admin_socket);
    }

    /// Waits until a part of it has ended, which none does by itself. Gives its name.
    pub async fn failed(&mut self) -> &'static str {
        match self.tasks.join_next().await {
            Some(Ok(name)) => name,
            Some(Err(error)) => {
                tracing::error!(%error, "a part of the control plane panicked");
                "a part that panicked"
            }
            None => "everything",
        }
    }
}

/// Shared by both servers. Streams are long and quiet: keepalives find the dead ones.
fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .max_concurrent_streams(16)
        .initial_stream_window_size(1 << 20)
}

/// Chance enough to spread the ends of streams; nothing secret hangs on it.
fn seed() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

fn settings(config: &Config) -> MeshSettings {
    MeshSettings {
        trust_domain: config.trust_domain.clone(),
        root_namespace: config.namespace.as_str().into(),
        default_mtls: match config.default_mtls {
            DefaultMtls::Strict => MtlsMode::Strict,
            DefaultMtls::Permissive => MtlsMode::Permissive,
        },
        ..MeshSettings::default()
    }
}

async fn bind(addr: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(addr).await.map_err(|source| StartError::Listen { addr, source })
}

fn addr_of(listener: &TcpListener, wanted: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(wanted)
}

async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    let _gone = stopped.wait_for(|stopped| *stopped).await;
}

fn report_end(result: Result<(), tonic::transport::Error>) {
    if let Err(error) = result {
        tracing::error!(%error, "gRPC ended");
    }
}

/// For streams and calls that are under way at the end.
const GOODBYES: Duration = Duration::from_secs(3);
/// A whole mesh in one `apply` fits.
const MAX_FROM_OPERATOR: usize = 64 << 20;

#[cfg(test)]
mod tests;
