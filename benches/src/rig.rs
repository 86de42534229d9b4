//! A control plane and two sidecars, as they are or under callgrind: one beside `web`, which calls, and one beside
//! `api`, behind which an application answers. What is counted and what is drawn is the same.

use std::convert::Infallible;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use http_body_util::{Empty, Full};
use hyper::body::Bytes;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::transport::Endpoint;
use weft_proto::v1;
use weft_proto::v1::admin_client::AdminClient;

/// What the sidecars run under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// As on any machine.
    Nothing,
    /// Callgrind, which counts their instructions and takes fifty times as long.
    Callgrind,
}

/// All of it, up and connected.
#[derive(Debug)]
pub struct Rig {
    /// Where the application beside `web` sends its calls.
    pub entry: SocketAddr,
    dir: PathBuf,
    proxies: Vec<Process>,
    _control_plane: Process,
    _origins: JoinSet<()>,
}

impl Rig {
    /// Starts it; under callgrind that takes some seconds.
    ///
    /// # Errors
    /// What did not start, with its log.
    pub async fn start(programs: &Path, under: Under, body: usize, dir: &Path) -> anyhow::Result<Self> {
        let (manifests, state) = (dir.join("manifests"), dir.join("state"));
        fs::create_dir_all(&manifests).context("a folder for manifests")?;
        let mut origins = JoinSet::new();
        let body = Bytes::from(vec![b'w'; body]);
        let [plain, rpc] = [false, true].map(|http2| origin(&mut origins, http2, body.clone()));
        let mut ports = Ports::new();
        let [grpc, admin] = ports.take()?;
        let web: [SocketAddr; 3] = ports.take()?;
        let api: [SocketAddr; 3] = ports.take()?;
        let mesh = include_str!("rig/mesh.yaml")
            .replace("{{http origin}}", &plain?.port().to_string())
            .replace("{{rpc origin}}", &rpc?.port().to_string())
            .replace("{{web inbound}}", &web[0].port().to_string())
            .replace("{{api inbound}}", &api[0].port().to_string());
        fs::write(manifests.join("mesh.yaml"), mesh).context("the manifests")?;

        let env = [
            ("WEFT_CONFIG_DIR", manifests.display().to_string()),
            ("WEFT_STATE_DIR", state.display().to_string()),
            ("WEFT_LISTEN", grpc.to_string()),
            ("WEFT_ADMIN", admin.to_string()),
            ("WEFT_LOG", "warn".to_owned()),
        ];
        let program = programs.join("weft-control-plane");
        let mut control_plane =
            Process::start("control-plane", Command::new(program).arg("--init"), &env, dir)?;
        control_plane.ready(admin).await?;

        let mut proxies = Vec::new();
        for (name, workload, account, [inbound, outbound, admin]) in
            [("outbound", "shop/web-1", "web", web), ("inbound", "shop/api-1", "api", api)]
        {
            let env = [
                ("WEFT_WORKLOAD", workload.to_owned()),
                ("WEFT_TOKEN", token(state.join("admin.sock"), workload, account).await?),
                ("WEFT_CONTROL_PLANE", grpc.to_string()),
                ("WEFT_INBOUND", inbound.to_string()),
                ("WEFT_OUTBOUND", outbound.to_string()),
                ("WEFT_ADMIN", admin.to_string()),
                ("WEFT_LOG", "warn".to_owned()),
            ];
            let program = programs.join("weft-proxy");
            let mut command = match under {
                Under::Nothing => Command::new(program),
                Under::Callgrind => callgrind(&dir.join(name), &program),
            };
            let mut proxy = Process::start(name, &mut command, &env, dir)?;
            proxy.ready(admin).await?;
            proxies.push(proxy);
        }
        Ok(Self {
            entry: web[1],
            dir: dir.to_owned(),
            proxies,
            _control_plane: control_plane,
            _origins: origins,
        })
    }

    /// The process of one sidecar: `outbound` or `inbound`.
    #[must_use]
    pub fn process(&self, side: &str) -> Option<u32> {
        self.proxies.iter().find(|proxy| proxy.name == side).map(|proxy| proxy.child.id())
    }

    /// What has been carried out up to now does not count.
    ///
    /// # Errors
    /// If callgrind does not hear.
    pub fn zero(&self, side: &str) -> anyhow::Result<()> {
        self.tell(side, "zero").map(drop)
    }

    /// Has what counts written down, and starts again from zero.
    ///
    /// # Errors
    /// If callgrind does not hear.
    pub fn dump(&self, side: &str) -> anyhow::Result<PathBuf> {
        let written = || -> anyhow::Result<Vec<PathBuf>> {
            let all = fs::read_dir(&self.dir)?
                .map(|entry| Ok(entry?.path()))
                .collect::<anyhow::Result<Vec<_>>>()?;
            let ours = |path: &PathBuf| {
                path.file_name().is_some_and(|name| {
                    name.to_string_lossy().strip_prefix(side).is_some_and(|rest| {
                        rest.strip_prefix('.')
                            .is_some_and(|part| part.bytes().all(|digit| digit.is_ascii_digit()))
                    })
                })
            };
            Ok(all.into_iter().filter(ours).collect())
        };
        let before = written()?;
        self.tell(side, "dump")?;
        let new = written()?.into_iter().find(|path| !before.contains(path));
        new.with_context(|| format!("callgrind wrote nothing for {side}"))
    }

    fn tell(&self, side: &str, word: &str) -> anyhow::Result<()> {
        let proxy =
            self.proxies.iter().find(|proxy| proxy.name == side).with_context(|| format!("no {side}"))?;
        let pid = format!("--pid={}", proxy.child.id());
        let said = Command::new("vgdb").args([pid.as_str(), word]).output().context("cannot start vgdb")?;
        ensure!(
            said.status.success(),
            "{side} does not hear \"{word}\": {}\n{}",
            String::from_utf8_lossy(&said.stderr).trim(),
            proxy.obituary()
        );
        Ok(())
    }
}

fn callgrind(out: &Path, program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--dump-instr=yes", "--compress-pos=no", "--collect-systime=usec"]);
    command.arg(format!("--callgrind-out-file={}", out.display())).arg(program);
    // Callgrind counts each byte of a `rep movsb` as an instruction, which on a CPU it is far from being. Without it,
    // large copies are counted by the vector, as small ones are.
    let by_vectors =
        "glibc.cpu.x86_rep_movsb_threshold=0x7fffffff:glibc.cpu.x86_rep_stosb_threshold=0x7fffffff";
    command.env("GLIBC_TUNABLES", by_vectors);
    command
}

/// A child with a log. Dropping it ends it.
#[derive(Debug)]
struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(
        name: &'static str,
        command: &mut Command,
        env: &[(&str, String)],
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let again = file.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
        for (variable, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEFT_"))
        {
            command.env_remove(variable);
        }
        command.envs(env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(file).stderr(again);
        let program = command.get_program().to_owned();
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name, child, log })
    }

    async fn ready(&mut self, admin: SocketAddr) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{status}: {}", self.obituary());
            }
            if let Ok(true) = is_ready(admin).await {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not ready: {}", self.obituary());
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn obituary(&self) -> String {
        format!("the log of {}:\n{}", self.name, fs::read_to_string(&self.log).unwrap_or_default())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn is_ready(admin: SocketAddr) -> anyhow::Result<bool> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(TcpStream::connect(admin).await?)).await?;
    let mut moving = JoinSet::new();
    moving.spawn(async move { drop(connection.await) });
    let request = Request::get("/ready").header(header::HOST, "localhost").body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?.status().is_success())
}

/// Answers every request with `body`.
fn origin(into: &mut JoinSet<()>, http2: bool, body: Bytes) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for the origin")?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    into.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let body = body.clone();
            let answer = service_fn(move |_| {
                let response = Response::new(Full::new(body.clone()));
                async move { Ok::<_, Infallible>(response) }
            });
            open.spawn(async move {
                let io = TokioIo::new(stream);
                if http2 {
                    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(io, answer).await;
                } else {
                    let _ = http1::Builder::new().serve_connection(io, answer).await;
                }
            });
        }
    });
    Ok(addr)
}

/// Ports below those that the system gives away by itself.
struct Ports(std::ops::Range<u16>);

impl Ports {
    fn new() -> Self {
        let offset = u16::try_from(std::process::id() % 500).unwrap_or(0) * 20;
        Self(20_000 + offset..31_000)
    }

    fn take<const N: usize>(&mut self) -> anyhow::Result<[SocketAddr; N]> {
        let mut found = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
        for addr in &mut found {
            let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
            addr.set_port(self.0.by_ref().find(free).context("no free port on loopback")?);
        }
        Ok(found)
    }
}

/// A join token from the operator's socket.
async fn token(socket: PathBuf, workload: &str, account: &str) -> anyhow::Result<String> {
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    // The address is never used: the connector knows where to go.
    let channel = Endpoint::from_static("http://admin.sock").connect_with_connector(connector).await;
    let request = v1::CreateTokenRequest {
        workload: workload.to_owned(),
        service_account: account.to_owned(),
        lifetime_secs: 600,
        uses: 1,
    };
    let reply = AdminClient::new(channel.context("the operator's socket")?).create_token(request).await;
    Ok(reply.with_context(|| format!("a token for {workload}"))?.into_inner().token)
}

/// How long a start under callgrind may take.
const PATIENCE: Duration = Duration::from_secs(120);
