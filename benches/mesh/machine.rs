//! What the machine gives: CPUs to run on, ports to listen on, and its name for the report.
//!
//! All proxies share one CPU, the client and the origin another. A proxy then never waits for the load that is
//! measured with it, and every way through the mesh is given the same: one CPU, however many processes it needs.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

use anyhow::Context;

/// Which CPU is whose; `None`: there are not two, and the scheduler decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpus(
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nothing to pin with"))]
    Option<[usize; 2]>,
);

impl Cpus {
    /// The first two that we may use.
    pub(crate) fn find() -> Self {
        #[cfg(target_os = "linux")]
        {
            use rustix::thread::{CpuSet, sched_getaffinity};
            let ours = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
            let mut allowed = (0..CpuSet::MAX_CPU).filter(|cpu| ours.is_set(*cpu));
            Self(allowed.next().zip(allowed.next()).map(|(proxies, load)| [proxies, load]))
        }
        #[cfg(not(target_os = "linux"))]
        Self(None)
    }

    /// This thread, and whatever it starts from now on, goes where proxies run.
    pub(crate) fn go_to_proxies(self) {
        self.go(|[proxies, _]| proxies);
    }

    /// This thread, and whatever it starts from now on, goes where client and origin run.
    pub(crate) fn go_to_load(self) {
        self.go(|[_, load]| load);
    }

    #[cfg(target_os = "linux")]
    fn go(self, to: impl FnOnce([usize; 2]) -> usize) {
        if let Self(Some(cpus)) = self {
            let mut only = rustix::thread::CpuSet::new();
            only.set(to(cpus));
            // A CPU that has been taken away since is no reason not to measure.
            let _ = rustix::thread::sched_setaffinity(None, &only);
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn go(self, _: impl FnOnce([usize; 2]) -> usize) {}
}

/// `N` loopback addresses that nobody listens on. They are held together until all are found, so they differ;
/// somebody else may take one before it is used, and then starting says so.
///
/// # Errors
/// If the system has no ports left.
pub(crate) fn free_addrs<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    let mut held = Vec::with_capacity(N);
    let mut found = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for addr in &mut found {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
        *addr = listener.local_addr().context("no free port on loopback")?;
        held.push(listener);
    }
    Ok(found)
}

/// Ten thousand connections are as many files, of ours and of the proxies that we start.
pub(crate) fn open_as_many_files_as_permitted() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let permitted = getrlimit(Resource::Nofile);
    let most = Rlimit { current: permitted.maximum, maximum: permitted.maximum };
    // Where that is not permitted after all, whoever runs out of files says so.
    let _ = setrlimit(Resource::Nofile, most);
}

/// How many files a process may have.
pub(crate) fn files() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}

/// For the report: figures of different machines, or days, are not to be compared.
pub(crate) fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo").lines().find_map(|line| {
        line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned())
    });
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let date = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output();
    let date = date.map_or_else(|_| Vec::new(), |said| said.stdout);
    let date = String::from_utf8_lossy(&date).trim().to_owned();
    format!(
        "{date}, {cpus} CPUs ({}), kernel {}",
        model.unwrap_or_else(|| "unknown".to_owned()),
        kernel.trim()
    )
}
