//! The control plane that is measured: a process of its own on a state directory that outlives it, and its operator's
//! socket.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};
use weft_proto::v1::CreateTokenRequest;
use weft_proto::v1::admin_client::AdminClient;

use crate::world::Shape;

/// One that runs. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Plane {
    folder: TempDir,
    program: PathBuf,
    child: Child,
}

/// What a process has cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Processor time of all its threads.
    pub(crate) cpu: Duration,
    /// The most memory that it has had, in bytes.
    pub(crate) peak: u64,
    /// What it has now, in bytes.
    pub(crate) memory: u64,
}

impl Plane {
    /// Starts one that holds these services and knows nobody.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn start(shape: Shape) -> anyhow::Result<Self> {
        let folder = TempDir::new().context("no temporary folder")?;
        let config = folder.path().join("config");
        fs::create_dir(&config).context("a folder of our own")?;
        fs::write(config.join("mesh.yaml"), shape.manifests()).context("a folder of our own")?;
        let program = match std::env::var_os("PROGRAMS").map(PathBuf::from) {
            Some(folder) => folder,
            None => std::env::current_exe()?.parent().context("a program is in a folder")?.to_owned(),
        };
        let program = program.join("weft-control-plane");
        let child = spawn(&program, folder.path(), true)?;
        let mut plane = Self { folder, program, child };
        plane.listens().await?;
        Ok(plane)
    }

    /// Kills it, and starts it on what it has left behind. Says when it was there again.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<Instant> {
        self.child.kill().context("it has ended by itself")?;
        self.child.wait().context("it has ended by itself")?;
        self.child = spawn(&self.program, self.folder.path(), false)?;
        self.listens().await
    }

    /// Where proxies find it.
    pub(crate) const fn addr() -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), PORT)
    }

    /// Its operator's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("state/admin.sock")
    }

    /// What it has cost since it was started.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn cost(&self) -> anyhow::Result<Cost> {
        Cost::of(&self.child.id().to_string()).context("the control plane has ended")
    }

    /// How many sockets it has: its own few, and one for each proxy.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn sockets(&self) -> anyhow::Result<usize> {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id()))?;
        let sockets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        Ok(sockets.filter(|link| link.to_string_lossy().starts_with("socket:")).count())
    }

    async fn listens(&mut self) -> anyhow::Result<Instant> {
        let began = Instant::now();
        while began.elapsed() < STARTS {
            if let Some(status) = self.child.try_wait()? {
                let mut said = String::new();
                File::open(self.folder.path().join("said"))?.read_to_string(&mut said)?;
                bail!("the control plane ended with {status}: {said}");
            }
            // Its socket is the last thing that it opens.
            if TcpStream::connect(Self::addr()).await.is_ok()
                && UnixStream::connect(self.socket()).await.is_ok()
            {
                return Ok(Instant::now());
            }
            sleep(Duration::from_millis(2)).await;
        }
        bail!("the control plane does not listen after {STARTS:?}")
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        // One that has ended already is as dead as it will be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Cost {
    /// Of a process, by its number or `self`.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn of(process: &str) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The second field is the program's name in brackets and may itself hold anything.
        let after = stat.rsplit_once(')').map(|(_, after)| after).unwrap_or_default();
        let ticks: u64 =
            after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let cpu = Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1));
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let bytes = |name: &str| {
            let found = status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
            found.and_then(|kib| kib.parse::<u64>().ok()).map(|kib| kib * 1024).context("proc(5) has it")
        };
        Ok(Self { cpu, peak: bytes("VmHWM:")?, memory: bytes("VmRSS:")? })
    }
}

/// What makes join tokens: a control plane's operator, at its socket.
#[derive(Clone, Debug)]
pub(crate) struct Operator(AdminClient<Channel>);

impl Operator {
    /// Connects.
    ///
    /// # Errors
    /// If nobody is there.
    pub(crate) async fn at(socket: &Path) -> anyhow::Result<Self> {
        let path = socket.to_owned();
        let connect = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://operator").connect_with_connector(connect).await?;
        Ok(Self(AdminClient::new(channel)))
    }

    /// A token for one workload, as one service account.
    ///
    /// # Errors
    /// What the control plane says against it.
    pub(crate) async fn token(self, workload: String, service_account: String) -> anyhow::Result<String> {
        let request = CreateTokenRequest { workload, service_account, lifetime_secs: 3600, uses: 1 };
        Ok(self.0.clone().create_token(request).await?.into_inner().token)
    }
}

fn spawn(program: &Path, folder: &Path, init: bool) -> anyhow::Result<Child> {
    let mut command = Command::new(program);
    for (variable, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEFT_")) {
        command.env_remove(variable);
    }
    let said = File::options().create(true).append(true).open(folder.join("said"))?;
    command.arg("--config-dir").arg(folder.join("config")).arg("--state-dir").arg(folder.join("state"));
    command.arg("--listen").arg(Plane::addr().to_string()).args(["--admin", "127.0.0.1:0"]);
    if init {
        command.arg("--init");
    }
    if let Ok(settle) = std::env::var("SETTLE") {
        command.args(["--settle", &settle]);
    }
    command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
    command.spawn().with_context(|| format!("{} cannot be started", program.display()))
}

/// Below those that the system hands out to whoever connects: ten thousand proxies look for ports while it is away.
const PORT: u16 = 15_110;
/// A control plane reads its manifests and journal before it listens.
const STARTS: Duration = Duration::from_secs(60);
