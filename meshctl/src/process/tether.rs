//! A tether between us and a child: `meshctl tether PARENT -- PROGRAM ARGS…` asks the kernel to kill it when its
//! parent ends, however that ends, and then becomes the program.
//!
//! The request (`PR_SET_PDEATHSIG`, prctl(2)) survives `exec`, so it holds for the program and needs no code in
//! it, nor between `fork` and `exec`. Linux only; elsewhere a child is started as it is.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::process::{Signal, getppid};
use tokio::process::Command;

/// The hidden verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Tether {
    /// The process whose end is ours.
    parent: i32,
    /// What to become.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// A command that runs `program` under a tether.
///
/// The kernel counts the end of the *thread* that started the child, which is why meshctl has one thread only.
///
/// # Errors
/// If our own program cannot be found.
pub(crate) fn command(program: &Path) -> anyhow::Result<Command> {
    if cfg!(not(target_os = "linux")) || cfg!(test) {
        return Ok(Command::new(program));
    }
    let own: PathBuf = std::env::current_exe().context("cannot find meshctl's own program")?;
    let mut command = Command::new(own);
    command.arg("tether").arg(std::process::id().to_string()).arg("--").arg(program);
    Ok(command)
}

/// Becomes the program. Returns only with an error.
///
/// # Errors
/// If it cannot.
pub(crate) fn run(tether: &Tether) -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).context("cannot tie the tether")?;
    // It may have ended before the kernel was asked.
    if getppid().map(rustix::process::Pid::as_raw_pid) != Some(tether.parent) {
        bail!("process {} is not our parent any more", tether.parent);
    }
    let Some((program, args)) = tether.command.split_first() else { bail!("nothing to run") };
    Err(std::process::Command::new(program).args(args).exec())
        .with_context(|| format!("cannot start {}", program.to_string_lossy()))
}
