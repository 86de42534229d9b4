//! The ways from client to origin that are compared. Each is an address to talk to and the processes behind it.

pub(crate) mod weft;
pub(crate) mod envoy;
pub(crate) mod haproxy;
pub(crate) mod nginx;
pub(crate) mod floor;
mod certificates;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_rustls::rustls::ClientConfig;

use crate::load::admin;
use crate::machine::Cpus;
use crate::origin::Origin;
use crate::process::Process;

/// Whose proxies stand in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Weft,
    Envoy,
    Haproxy,
    Nginx,
    /// The same libraries as ours, and nothing else: only measured where it is asked for.
    Floor,
    /// Nobody's.
    Direct,
}

impl Peer {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 6] =
        [Self::Weft, Self::Envoy, Self::Haproxy, Self::Nginx, Self::Floor, Self::Direct];

    /// As in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Weft => "weft",
            Self::Envoy => "envoy",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Floor => "floor",
            Self::Direct => "direct",
        }
    }
}

/// What the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    H1,
    H2,
    /// In HTTP/2.
    Grpc,
}

/// Whether a new TLS connection may go on where an earlier one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// It may, or not: connections are few.
    AsItComes,
    Full,
    Resumed,
}

/// What lies between client and origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Between {
    /// One proxy; HTTP/1.1 in plaintext on both of its sides, and so many routes on the host that is asked for.
    One { routes: usize },
    /// The same with one route, and so many endpoints of the Service to choose from.
    Endpoints(u16),
    /// Two proxies and mutual TLS between them; HTTP on the outside.
    Mesh(Http),
    /// The same for HTTP/1.1, with so many rules on who may call, of which the last is about the caller.
    Rules(usize),
    /// The same for HTTP/1.1, with routes that change all the time: see [`Change`].
    Changing,
    /// Two proxies and mutual TLS between them, for bytes.
    Tcp(Handshake),
    /// The second of the two alone: the client speaks mutual TLS itself, and HTTP/1.1 in it.
    Inbound,
}

impl Between {
    /// Whether client and application speak HTTP/2.
    const fn is_http2(self) -> bool {
        matches!(self, Self::Mesh(Http::H2 | Http::Grpc))
    }

    /// The host that a request names.
    pub(crate) const fn host(self) -> &'static str {
        match self {
            Self::One { .. } | Self::Endpoints(_) => "plain.shop",
            _ => "api.shop",
        }
    }

    /// The paths that are asked for: one for each route.
    pub(crate) fn paths(self) -> Vec<String> {
        match self {
            Self::One { routes } => (0..routes).map(|n| format!("/routes/of/one/host/{n:05}")).collect(),
            _ => vec!["/products".to_owned()],
        }
    }

    /// How many connections a proxy has to be able to hold. Some reserve memory for that many.
    const fn connections(self) -> u32 {
        match self {
            Self::One { .. } | Self::Endpoints(_) | Self::Inbound => 24_000,
            _ => 2000,
        }
    }

    /// Where the proxy beside the application, or the only one, sends what it gets.
    const fn target(self, origin: &Origin) -> SocketAddr {
        match self {
            Self::Tcp(_) => origin.bytes,
            _ => origin.http,
        }
    }

    /// All the places it may be sent to: addresses of this host, behind each of which the same origin answers.
    fn targets(self, origin: &Origin) -> Vec<SocketAddr> {
        match self {
            Self::Endpoints(count) => {
                let place = |n| (loopback(n), origin.http.port()).into();
                (0..count).map(place).collect()
            }
            _ => vec![self.target(origin)],
        }
    }

    /// Whether the application answers at every address of loopback.
    pub(crate) const fn is_anywhere(self) -> bool {
        matches!(self, Self::Endpoints(_))
    }
}

/// The `n`th of many addresses of this host, beside the one that everything else uses.
fn loopback(n: u16) -> Ipv4Addr {
    let [high, low] = (n + 0x100).to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// Where things are kept and run while a way is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'s> {
    /// A folder of its own for configuration, state and logs.
    pub(crate) dir: &'s Path,
    /// Who runs where.
    pub(crate) cpus: Cpus,
    /// The application behind the mesh.
    pub(crate) origin: &'s Origin,
    /// Bytes of its answers.
    pub(crate) body: usize,
}

/// A file that a peer follows, and what is written into it, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) file: PathBuf,
    /// Gives every answer the header [`GENERATION`], with the number in the place of `{{generation}}`.
    pub(crate) template: String,
}

/// By it an answer shows which configuration it went through.
pub(crate) const GENERATION: &str = "x-generation";

impl Change {
    /// Puts the `n`th configuration in the place of the one before.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn write(&self, n: u32) -> anyhow::Result<()> {
        let new = self.file.with_extension("new");
        let written = fs::write(&new, self.template.replace("{{generation}}", &n.to_string()));
        let moved = written.and_then(|()| fs::rename(&new, &self.file));
        moved.with_context(|| format!("cannot write {}", self.file.display()))
    }
}

/// One way, up and carrying requests.
#[derive(Debug)]
pub(crate) struct Way {
    /// Whom the client talks to.
    pub(crate) entry: SocketAddr,
    /// The processes that requests pass through: what they consume is what is measured.
    pub(crate) proxies: Vec<Process>,
    /// Others that belong to it.
    pub(crate) beside: Vec<Process>,
    /// Who the client is, where it speaks mutual TLS itself.
    pub(crate) client: Option<Arc<ClientConfig>>,
    /// Whether its proxies resume sessions with each other, where they are to.
    pub(crate) resumes: bool,
    /// How its configuration is changed, where it is to be.
    pub(crate) change: Option<Change>,
}

impl Way {
    /// No proxy at all.
    pub(crate) const fn direct(between: Between, origin: &Origin) -> Self {
        let entry = between.target(origin);
        Self { entry, proxies: Vec::new(), beside: Vec::new(), client: None, resumes: false, change: None }
    }

    /// What all its proxies have consumed up to now.
    ///
    /// # Errors
    /// If one has ended.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        self.proxies.iter().map(Process::cpu).sum()
    }

    /// Memory of each proxy now, in bytes.
    ///
    /// # Errors
    /// If one has ended.
    pub(crate) fn resident(&self) -> anyhow::Result<Vec<u64>> {
        self.proxies.iter().map(Process::resident).collect()
    }

    /// The ends of all logs, for an error that concerns it.
    pub(crate) fn obituary(&self) -> String {
        let logs: Vec<_> = self.proxies.iter().chain(&self.beside).map(Process::obituary).collect();
        logs.join("\n")
    }
}

/// What a program says of its version: the first number with dots in it.
///
/// # Errors
/// If it does not run here.
pub(crate) fn version(program: &Path, flag: &str) -> anyhow::Result<String> {
    let output = Command::new(program).arg(flag).output();
    let output = output.with_context(|| format!("{} is not here", program.display()))?;
    ensure!(output.status.success(), "{} does not run here", program.display());
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let words = said.split(|c: char| c.is_whitespace() || c == '/');
    let mut versions =
        words.filter(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()));
    Ok(versions.next().context("it does not say its version")?.to_owned())
}

/// Waits until `GET path` at an admin listener says 200.
///
/// # Errors
/// If it does not within a time, or the process ends before.
async fn ready(process: &mut Process, at: SocketAddr, path: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        process.check()?;
        let said = match admin::get(at, path).await {
            Ok((status, _)) if status.is_success() => return Ok(()),
            Ok((_, why)) => why,
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= deadline {
            anyhow::bail!("{} is not ready: {}\n{}", process.name(), said.trim(), process.obituary());
        }
        sleep(SHORTLY).await;
    }
}

/// Waits until somebody accepts at `addr`.
///
/// # Errors
/// If nobody does within a time, or the process ends before.
async fn listening(process: &mut Process, addr: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(addr).await.is_err() {
        process.check()?;
        ensure!(Instant::now() < deadline, "{} does not listen; {}", process.name(), process.obituary());
        sleep(SHORTLY).await;
    }
    Ok(())
}

/// How long a start may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const SHORTLY: Duration = Duration::from_millis(20);
