//! A control plane on directories of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tokio::net::UnixStream;
use weft_control_plane::config::Config;
use weft_control_plane::{ControlPlane, Running};
use weft_proto::v1;

use crate::call;
use crate::eventually::eventually;
use crate::operator::Operator;
use crate::panics;
use crate::port;
use crate::program::Process;
use crate::sidecar::Beside;

/// A mesh: a control plane, and the directory in which everything of it lies. Sidecars are started
/// [beside](Self::beside) it and hold no reference: they outlive an outage.
#[derive(Debug)]
pub struct Mesh {
    root: TempDir,
    config: Config,
    running: Option<Running>,
    /// One of another version, in its place.
    other: Option<Process>,
    operator: Option<Operator>,
}

impl Mesh {
    /// Starts a control plane that holds these manifests.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(manifests: &str) -> Self {
        Self::start_with(manifests, |_| {}).await
    }

    /// As [`start`](Self::start), with settings of its own.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_with(manifests: &str, adjust: impl FnOnce(&mut Config)) -> Self {
        panics::watch();
        let root = TempDir::new().expect("a temporary directory");
        let (files, state) = (root.path().join("config"), root.path().join("state"));
        std::fs::create_dir(&files).expect("an empty directory");
        std::fs::write(files.join("mesh.yaml"), manifests).expect("an empty directory");
        let listen = port::of_its_own();
        let mut config = Config { paranoid: true, listen, ..Config::on_free_ports(&files, &state) };
        adjust(&mut config);
        let mut mesh = Self { root, config, running: None, other: None, operator: None };
        mesh.resume().await;
        mesh
    }

    /// Stops the control plane. Everything else goes on.
    pub async fn stop(&mut self) {
        self.operator = None;
        if let Some(running) = self.running.take() {
            running.shutdown().await;
        }
        if let Some(mut other) = self.other.take() {
            other.terminate();
            other.ended().await;
        }
    }

    /// Starts another program's control plane where this one was before.
    ///
    /// # Panics
    /// If it does not start, or this one runs.
    pub async fn resume_as(&mut self, program: &Path) {
        assert!(self.running.is_none(), "there is one already");
        let Config { config_dir, state_dir, listen, .. } = &self.config;
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("WEFT_CONFIG_DIR", config_dir)
            .env("WEFT_STATE_DIR", state_dir)
            .env("WEFT_LISTEN", listen.to_string())
            .env("WEFT_ADMIN", port::of_its_own().to_string());
        let socket = state_dir.join("admin.sock");
        self.other = Some(Process::start(command, &self.root.path().join("control-plane.said")));
        eventually("its operator is heard", async || UnixStream::connect(&socket).await.ok()).await;
        self.operator = Some(Operator::at(&socket).await);
    }

    /// Starts the control plane where it was before, on the same port and the same directories.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn resume(&mut self) {
        let running = ControlPlane::start(self.config.clone()).await;
        let running = running.unwrap_or_else(|error| panic!("the control plane does not start: {error}"));
        self.config.listen = running.grpc_addr;
        self.operator = Some(Operator::at(&running.admin_socket).await);
        self.running = Some(running);
    }

    /// Its operator.
    ///
    /// # Panics
    /// While the control plane is stopped.
    #[must_use]
    pub fn operator(&self) -> &Operator {
        self.operator.as_ref().expect("the control plane runs")
    }

    /// Where proxies find it, now or later.
    #[must_use]
    pub const fn grpc_addr(&self) -> SocketAddr {
        self.config.listen
    }

    /// What the control plane's metrics say.
    ///
    /// # Panics
    /// While it is stopped.
    pub async fn metrics(&self) -> String {
        let addr = self.running.as_ref().expect("the control plane runs").admin_addr;
        let reply = call::to(addr, call::get(&format!("http://{addr}/metrics"))).await;
        String::from_utf8(reply.body.to_vec()).expect("metrics are text")
    }

    /// Where its manifests lie.
    #[must_use]
    pub fn files(&self) -> &Path {
        &self.config.config_dir
    }

    /// A directory for whatever a test keeps.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.root.path()
    }

    /// The beginning of a sidecar for the workload `namespace/name`.
    #[must_use]
    pub fn beside(&self, workload: &str) -> Beside<'_> {
        Beside::of(self, workload)
    }

    /// Writes one file and returns when every proxy has it.
    pub async fn apply(&self, name: &str, text: &str) -> v1::StatusReply {
        self.operator().apply_and_wait(name, text).await
    }

    /// A token for one start of a workload, as this service account.
    ///
    /// # Panics
    /// If the control plane refuses to make one.
    pub async fn token(&self, workload: &str, account: &str) -> String {
        let request = v1::CreateTokenRequest {
            workload: workload.to_owned(),
            service_account: account.to_owned(),
            uses: 1,
            lifetime_secs: 600,
        };
        self.operator().token(request).await.expect("a token can be made").token
    }

    /// Waits until a service's port has so many healthy endpoints, and every proxy knows them.
    pub async fn serves(&self, service: &str, port: u16, endpoints: usize) {
        let operator = self.operator();
        let what = format!("{service}:{port} has {endpoints} healthy endpoints");
        eventually(what, async || (operator.healthy(service, port).await.len() == endpoints).then_some(()))
            .await;
        self.settled().await;
    }

    /// Waits until nothing is on its way to any proxy.
    pub async fn settled(&self) {
        let operator = self.operator();
        let settled = async || {
            let status = operator.status(0).await;
            status.proxies.iter().all(|proxy| proxy.current || !proxy.attached).then_some(())
        };
        eventually("every proxy is current", settled).await;
    }
}

impl Drop for Mesh {
    /// Whatever else a test claims: nothing of the mesh has panicked.
    fn drop(&mut self) {
        panics::none();
    }
}
