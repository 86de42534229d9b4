//! A process that is measured: started here, ended here, and what it has cost so far.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::machine::Cpus;

/// A child with a log. Dropping it kills it and waits for its end, so an error leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it on the proxies' CPU, with `env` and nothing of ours that could configure a sidecar.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        args: &[&str],
        env: &[(&str, String)],
        logs: &Path,
        cpus: Cpus,
    ) -> anyhow::Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let again = file.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(program);
        for (variable, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEFT_"))
        {
            command.env_remove(variable);
        }
        command.args(args).envs(env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(file).stderr(again);
        cpus.go_to_proxies();
        let child = command.spawn();
        cpus.go_to_load();
        let child = child.with_context(|| format!("cannot start {name} ({})", program.display()))?;
        Ok(Self { name, child, log })
    }

    /// As it was started.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// CPU time of all its threads since its start, in user and kernel (proc(5), `stat`, fields 14 and 15). Its
    /// grain is a clock tick, usually 10 ms.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = self.proc("stat")?;
        // The second field is the program's name in brackets and may itself hold anything.
        let after = stat.rsplit_once(')').map(|(_, after)| after).unwrap_or_default();
        let ticks: u64 =
            after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        Ok(Duration::from_millis(ticks.saturating_mul(1000) / per_second))
    }

    /// Resident memory, in bytes (proc(5), `VmRSS`).
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let status = self.proc("status")?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.with_context(|| self.obituary())? * 1024)
    }

    /// Whether it is still there.
    ///
    /// # Errors
    /// It has ended; says so with the end of its log.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().with_context(|| format!("cannot look after {}", self.name))? {
            None => Ok(()),
            Some(status) => bail!("{status}: {}", self.obituary()),
        }
    }

    /// The end of its log, for an error that concerns it.
    pub(crate) fn obituary(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
        format!("the last that {} said:\n    {}", self.name, last.join("\n    "))
    }

    fn proc(&self, file: &str) -> anyhow::Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).with_context(|| self.obituary())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; waiting for it is right in either case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Enough for an error and what led to it.
const LAST_LINES: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, logs: &Path) -> Process {
        Process::start("script", Path::new("/bin/sh"), &["-c", script], &[], logs, Cpus::find()).unwrap()
    }

    #[test]
    fn what_is_let_go_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let process = shell("sleep 60", dir.path());
        let proc = format!("/proc/{}", process.child.id());
        assert!(Path::new(&proc).exists() && process.resident().unwrap() > 0);
        drop(process);
        assert!(!Path::new(&proc).exists());
    }

    #[test]
    fn one_that_ends_by_itself_leaves_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = shell("echo no port left >&2; exit 3", dir.path());
        process.child.wait().unwrap();
        let said = process.check().unwrap_err().to_string();
        assert!(said.contains("exit status: 3") && said.contains("no port left"), "{said}");
    }
}
