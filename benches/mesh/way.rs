//! The ways from client to origin that are compared. Each is an address to talk to and the processes behind it.

pub(crate) mod weft;
pub(crate) mod envoy;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use crate::load::{self, await_answer};
use crate::machine::Cpus;
use crate::process::Process;

/// Where things are kept and run while a way is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'s> {
    /// A folder of its own for configuration, state and logs.
    pub(crate) dir: &'s Path,
    /// Who runs where.
    pub(crate) cpus: Cpus,
    /// The application behind the mesh.
    pub(crate) origin: SocketAddr,
}

/// One way, up and carrying requests.
#[derive(Debug)]
pub(crate) struct Way {
    /// As in the table: `weft`.
    pub(crate) name: &'static str,
    /// Whom the client talks to.
    pub(crate) entry: SocketAddr,
    /// The processes that requests pass through: what they consume is what is measured.
    pub(crate) proxies: Vec<Process>,
    /// Others that belong to it.
    pub(crate) beside: Vec<Process>,
    /// Memory of each proxy before its first request, in bytes.
    pub(crate) idle: Vec<u64>,
}

impl Way {
    /// No proxy at all.
    pub(crate) const fn direct(origin: SocketAddr) -> Self {
        Self { name: "direct", entry: origin, proxies: Vec::new(), beside: Vec::new(), idle: Vec::new() }
    }

    /// A way whose processes say that they are ready: lets them rest, notes their memory, and has one request
    /// carried through all of them.
    ///
    /// # Errors
    /// If that request fails, with the ends of their logs.
    async fn proven(mut self, body: usize) -> anyhow::Result<Self> {
        sleep(REST).await;
        self.idle = self.proxies.iter().map(Process::resident).collect::<anyhow::Result<_>>()?;
        let answered = await_answer(self.entry, body, PATIENCE).await;
        answered.with_context(|| {
            let logs: Vec<_> = self.proxies.iter().chain(&self.beside).map(Process::obituary).collect();
            format!("{} carries no request\n{}", self.name, logs.join("\n"))
        })?;
        Ok(self)
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
}

/// Waits until `GET path` at an admin listener says 200.
///
/// # Errors
/// If it does not within a time, or the process ends before.
async fn ready(process: &mut Process, admin: SocketAddr, path: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        process.check()?;
        let said = match load::get(admin, path).await {
            Ok((status, _)) if status.is_success() => return Ok(()),
            Ok((_, why)) => why,
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= deadline {
            anyhow::bail!("{} is not ready: {}\n{}", process.name(), said.trim(), process.obituary());
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// After a start, until memory is called idle.
const REST: Duration = Duration::from_secs(1);
