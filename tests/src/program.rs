//! Programs that nobody here wrote, and our own as processes. They end with the value that holds them.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually::eventually;
use crate::panics;

/// Whether a program is installed; where it is not, says on standard output that `test` is skipped.
#[must_use]
pub fn is_there(program: &str, test: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).chain(SYSTEM.map(PathBuf::from)).any(|dir| dir.join(program).is_file())
    });
    if !found {
        println!(
            "skipped: {test}: {program} is not installed (tests/real/install.sh installs it where it can)"
        );
    }
    found
}

/// One of our own programs, from the folder that `PROGRAMS` names, or else the one that this test was built into; where
/// it is not built, says on standard output that `test` is skipped.
#[must_use]
pub fn ours(program: &str, test: &str) -> Option<PathBuf> {
    let beside_me = || Some(std::env::current_exe().ok()?.parent()?.parent()?.to_owned());
    let folder = std::env::var_os("PROGRAMS").map(PathBuf::from).or_else(beside_me)?;
    let found = folder.join(program);
    if !found.is_file() {
        println!("skipped: {test}: {} is not built (make build)", found.display());
        return None;
    }
    Some(found)
}

/// The same of the version before this one, from the folder that `BEFORE` names (`make test-upgrade` builds it there).
#[must_use]
pub fn before(program: &str, test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("BEFORE").map(PathBuf::from);
    let found = folder.map(|folder| folder.join(program)).filter(|program| program.is_file());
    if found.is_none() {
        println!("skipped: {test}: the version before is not built (make test-upgrade)");
    }
    found
}

/// A command with words of one line.
#[must_use]
pub fn command(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).stdin(Stdio::null());
    command
}

/// Runs a line to its end.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn output(line: &str) -> Output {
    command(line).output().unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// A process. Dropping it kills it, and fails the test if it has panicked.
#[derive(Debug)]
pub struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    /// Starts it; what it says goes to a file.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(mut command: Command, said: &Path) -> Self {
        let file = std::fs::File::create(said).expect("a file in a folder of the test's own");
        let both = file.try_clone().expect("an open file");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(both).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, said: said.to_owned() }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it has ended, if it has.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        // Nobody else waits for it, so it is there to be asked about.
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to go, as Kubernetes and systemd do.
    ///
    /// # Panics
    /// If it has gone already.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("a process has a number");
        kill_process(pid, Signal::TERM).expect("it has not been waited for, so its number is still its own");
    }

    /// Returns when it has ended: its exit code, or less than 0 for the signal that ended it.
    pub async fn ended(&mut self) -> i32 {
        eventually("it has ended", async || {
            let status = self.try_wait()?;
            Some(status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)))
        })
        .await
    }

    /// Memory of its own, in KiB: without what is mapped from files.
    ///
    /// # Panics
    /// If it has ended.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.status("RssAnon:").expect("a running process has memory")
    }

    /// The most memory that it has had at one time, in KiB, what is mapped from files included.
    ///
    /// # Panics
    /// If it has ended.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:").expect("a running process has had memory")
    }

    fn status(&self, name: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
    }

    /// Time it has computed for, in hundredths of a second.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        // After the name, in brackets: fields 14 and 15 are user and system time.
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        fields.get(11..=12).unwrap_or_default().iter().map(|field| field.parse::<u64>().unwrap_or(0)).sum()
    }

    /// Its open descriptors.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).map_or(0, Iterator::count)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is as dead as it will be.
        let _ = self.child.kill();
        let _ = self.child.wait();
        panics::none_in(&String::from_utf8_lossy(&std::fs::read(&self.said).unwrap_or_default()));
    }
}

/// nginx, with these lines in its `server`.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn nginx(folder: &Path, listen: &str, server: &str, inside: &str) -> Process {
    let dir = folder.display();
    let config = format!(
        "pid {dir}/nginx.pid; daemon off; master_process off; error_log stderr;
         events {{ worker_connections 64; }}
         http {{ access_log {dir}/nginx.log; client_body_temp_path {dir}; proxy_temp_path {dir};
                fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};
                server {{ listen {listen}; root {dir}/www; client_max_body_size 64m; {server} }} }}"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config).expect("a folder of the test's own");
    std::fs::create_dir_all(folder.join("www")).expect("a folder of the test's own");
    Process::start(
        command(&format!("{inside} nginx -p {dir} -c {}", file.display())),
        &folder.join("nginx.said"),
    )
}

/// Where administrators' programs are, should `PATH` not say so.
const SYSTEM: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
