//! Processes with an owner and an end: whoever starts one holds it, and when it is let go, it has ended.
//!
//! `stop` is the polite way: SIGTERM, a time to finish, SIGKILL, and in any case waiting for it. Dropping is the
//! rude one, for errors and panics. A child is put under a tether besides (see [`tether`]): should meshctl
//! itself be killed in a way that leaves it no time, the kernel ends its children.

pub(crate) mod tether;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// What to start.
#[derive(Debug)]
pub(crate) struct Launch {
    /// For messages and the name of the log: `web's sidecar`.
    pub(crate) name: String,
    /// Which program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Added to our environment; every `WEFT_*` of our own is taken out first, so that a setting meant for
    /// one process does not reach another.
    pub(crate) env: Vec<(&'static str, String)>,
    /// Where what it prints goes; `None`: where ours goes.
    pub(crate) log: Option<PathBuf>,
}

/// A process that was started here.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: Option<PathBuf>,
}

impl Process {
    /// Starts it, in a process group of its own: Ctrl-C at the terminal is ours to pass on, in our order.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(launch: Launch) -> anyhow::Result<Self> {
        let Launch { name, program, args, env, log } = launch;
        let mut command = tether::command(&program)?;
        command.args(args).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("WEFT_") {
                command.env_remove(variable);
            }
        }
        command.envs(env);
        if let Some(log) = &log {
            let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
            let again = file.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
            command.stdout(file).stderr(again);
        }
        Self::spawn(name, &mut command, log)
    }

    /// Starts the command of an operator: our terminal, our environment and `env`, our process group, so that it
    /// may read what is typed and gets Ctrl-C as it would without us.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start_in_our_place(
        program: &str,
        args: &[String],
        env: &[(&'static str, String)],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(args).envs(env.iter().map(|(name, value)| (name, value))).kill_on_drop(true);
        Self::spawn(program.to_owned(), &mut command, None)
    }

    fn spawn(name: String, command: &mut Command, log: Option<PathBuf>) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, log })
    }

    /// As it was launched.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its number; `None` once it has ended.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If the system does not say how it ended.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        self.child.wait().await.with_context(|| format!("cannot wait for {}", self.name))
    }

    /// If it has ended, says so, with the end of its log.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().with_context(|| format!("cannot look after {}", self.name))? {
            None => Ok(()),
            Some(status) => Err(self.obituary(status)),
        }
    }

    /// Why it is gone, as far as its log says.
    pub(crate) fn obituary(&self, status: ExitStatus) -> anyhow::Error {
        match self.log.as_deref() {
            None => anyhow::anyhow!("{} ended by itself ({status})", self.name),
            Some(log) => anyhow::anyhow!(
                "{} ended by itself ({status}); the end of {}:\n{}",
                self.name,
                log.display(),
                tail(log)
            ),
        }
    }

    /// Sends a signal, if it is still there.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended since; then there is nobody to tell, and `wait` has not freed its number yet.
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks it to end, waits for `grace`, then ends it.
    pub(crate) async fn stop(&mut self, grace: Duration) {
        self.signal(Signal::TERM);
        if timeout(grace, self.child.wait()).await.is_err() {
            // Kills and waits.
            let _ = self.child.kill().await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // tokio sends the signal; this waits, so that nothing of ours outlives us. A killed process ends soon.
        let _ = self.child.start_kill();
        for _ in 0..100 {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Ok(Some(_)) | Err(_) => break,
            }
        }
    }
}

/// Stops all of them at once.
pub(crate) async fn stop_all(processes: &mut [Process], grace: Duration) {
    for process in processes.iter() {
        process.signal(Signal::TERM);
    }
    // Each one waits the same grace, and they have it together: what is waited for last has had it longest.
    let deadline = tokio::time::Instant::now() + grace;
    for process in processes {
        if tokio::time::timeout_at(deadline, process.child.wait()).await.is_err() {
            let _ = process.child.kill().await;
        }
    }
}

/// Returns when somebody asks us to end: Ctrl-C, SIGTERM, or the terminal is gone. From its first call on, these
/// signals no longer end us by themselves.
///
/// # Errors
/// If the system lets nobody listen.
pub(crate) async fn asked_to_end() -> anyhow::Result<()> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let (mut interrupt, mut terminate, mut hangup) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let len = fs::metadata(log)?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines.iter().skip(from).map(|line| format!("    {line}\n")).collect()
}

const TAIL_BYTES: u64 = 16 << 10;
const TAIL_LINES: usize = 12;

#[cfg(test)]
mod tests;
