//! What a process has used so far, as the kernel counts it.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// A process of this machine, by its id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

/// What it has used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// Processor time since its start.
    pub(crate) cpu: Duration,
    /// Memory of its own at the moment, in MiB.
    pub(crate) resident_mib: u64,
}

impl Process {
    pub(crate) fn now(self) -> anyhow::Result<Used> {
        let read = |file: &str| {
            fs::read_to_string(format!("/proc/{}/{file}", self.0)).context("the control plane has ended")
        };
        let stat = read("stat")?;
        // Fields after the name, which may have blanks in it: the 14th and 15th of all are user and system time.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest).context("no name in stat")?;
        let ticks =
            fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        let per_second = rustix::param::clock_ticks_per_second();
        let status = read("status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = resident.trim().trim_end_matches(" kB").parse()?;
        Ok(Used { cpu: Duration::from_millis(ticks * 1000 / per_second), resident_mib: kib / 1024 })
    }
}
