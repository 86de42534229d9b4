//! A sidecar as a process of its own, as it is shipped: it can be told to go, killed, limited and measured.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::timeout;

use crate::call;
use crate::eventually::eventually;
use crate::port;
use crate::program::{self, Process};
use crate::sidecar::Beside;

/// A running one. Dropping it kills it.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    /// Where its peers reach it.
    pub inbound: SocketAddr,
    /// Where its application's own calls go.
    pub outbound: SocketAddr,
    /// Its admin listener.
    pub admin: SocketAddr,
}

impl Machine {
    /// Starts one, behind these words of a command line (`prlimit --nofile=64`); `None` where the program is not built. It
    /// is not waited for.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start(beside: Beside<'_>, behind: &str, test: &str) -> Option<Self> {
        Some(Self::of(&program::ours("weft-proxy", test)?, beside, behind).await)
    }

    /// The same of a program of whatever version.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn of(program: &Path, beside: Beside<'_>, behind: &str) -> Self {
        let [inbound, outbound, admin] = [(); 3].map(|()| port::of_its_own());
        let beside =
            beside.set("WEFT_INBOUND", &inbound).set("WEFT_OUTBOUND", &outbound).set("WEFT_ADMIN", &admin);
        let said = beside.scratch().join(format!("{inbound}.said"));
        let mut command = match behind {
            "" => Command::new(program),
            words => {
                let mut command = program::command(words);
                command.arg(program);
                command
            }
        };
        let path = std::env::var("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).envs(beside.settings().await);
        Self { process: Process::start(command, &said), inbound, outbound, admin }
    }

    /// Whether it is ready now.
    pub async fn is_ready(&self) -> bool {
        let ask = async {
            let stream = tokio::net::TcpStream::connect(self.admin).await.ok()?;
            let mut client = call::Client::on(stream, call::Form::Origin).await;
            let response = client.try_send(call::get(&format!("http://{}/ready", self.admin))).await.ok()?;
            Some(response.status() == 200)
        };
        // One that cannot take the question is not ready either.
        timeout(ANSWERS, ask).await.ok().flatten().unwrap_or(false)
    }

    /// Returns when it is ready.
    pub async fn ready(&self) {
        eventually("it is ready", async || self.is_ready().await.then_some(())).await;
    }

    /// Asks it to go, as Kubernetes and systemd do.
    ///
    /// # Panics
    /// If it has gone already.
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// Returns when it has ended: its exit code, or less than 0 for the signal that ended it.
    pub async fn ended(&mut self) -> i32 {
        self.process.ended().await
    }

    /// The process.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }
}

/// On a busy machine, too, somebody who is there says something within this.
const ANSWERS: Duration = Duration::from_secs(5);
