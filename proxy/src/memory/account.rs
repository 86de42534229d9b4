//! Whose memory counts towards a limit. A container is charged for what its process has mapped, and for what the kernel
//! holds for it besides: buffers of sockets above all, which a flood fills first. So where the limit is the container's, its
//! own count is read; a limit that somebody has set is for this process alone, which may have neighbours.

use std::fs;
use std::path::{Path, PathBuf};

/// Who is charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// This process, for memory of its own: what is mapped from files can be taken back at any time.
    Process,
    /// The container, for everything.
    Container(Container),
}

/// The files in which version 2 of cgroups, or version 1, counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    charged: PathBuf,
    stat: PathBuf,
    /// The lines of `stat` that say what would be given back before anybody is killed: pages of files.
    pages_of_files: [&'static str; 2],
}

impl Account {
    /// The container that `cgroups` is about, and what it may take; `None`: all there is.
    pub(super) fn of_the_container(cgroups: &Path) -> Option<(u64, Self)> {
        let (limit, container) = VERSIONS.iter().find_map(|(folder, limit, charged, pages_of_files)| {
            let at = cgroups.join(folder);
            let (charged, stat) = (at.join(charged), at.join("memory.stat"));
            Some((number(&at.join(limit))?, Container { charged, stat, pages_of_files: *pages_of_files }))
        })?;
        // Version 1 says no limit by a number that no machine has.
        (limit < NO_MACHINE_HAS).then_some((limit, Self::Container(container)))
    }

    /// For the log.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Container(_) => "container",
        }
    }

    /// Bytes that count now; `None` where the system does not say, as when there is no descriptor left.
    pub(super) fn used(&self, limit: u64) -> Option<u64> {
        match self {
            Self::Process => of_the_process(),
            // A container whose count is not there may still have a limit.
            Self::Container(container) => container.used(limit).or_else(of_the_process),
        }
    }
}

impl Container {
    fn used(&self, limit: u64) -> Option<u64> {
        let charged = number(&self.charged)?;
        // Far from the limit it does not matter of what, and the kernel adds up `stat` anew for everybody who reads it.
        if charged < limit / 4 * 3 {
            return Some(charged);
        }
        let stat = fs::read_to_string(&self.stat).ok()?;
        let of_files = stat.lines().filter_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            self.pages_of_files.contains(&name).then(|| bytes.trim().parse::<u64>().ok())?
        });
        Some(charged.saturating_sub(of_files.sum()))
    }
}

fn of_the_process() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Of version 2 of cgroups, and of version 1: the folder, the limit, what is charged, and what of that is pages of files.
const VERSIONS: [(&str, &str, &str, [&str; 2]); 2] = [
    ("", "memory.max", "memory.current", ["inactive_file", "active_file"]),
    (
        "memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ["total_inactive_file", "total_active_file"],
    ),
];
const NO_MACHINE_HAS: u64 = 1 << 50;

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder as the kernel would show it.
    fn cgroups(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        dir
    }

    #[test]
    fn a_container_is_charged_for_all_but_pages_of_files_by_either_version_of_cgroups() {
        let two = "anon 500\nfile 400\nsock 60\ninactive_file 100\nactive_file 200\nshmem 100\n";
        let one = "cache 300\ninactive_file 1\ntotal_inactive_file 100\ntotal_active_file 200\n";
        for files in [
            [("memory.max", "1000\n"), ("memory.current", "960\n"), ("memory.stat", two)],
            [
                ("memory/memory.limit_in_bytes", "1000\n"),
                ("memory/memory.usage_in_bytes", "960\n"),
                ("memory/memory.stat", one),
            ],
        ] {
            let dir = cgroups(&files);
            let (limit, account) = Account::of_the_container(dir.path()).unwrap();
            assert_eq!((limit, account.used(limit)), (1000, Some(660)), "{files:?}");
            assert_eq!(account.used(10_000), Some(960), "far from its limit nobody asks of what");
        }
    }

    #[test]
    fn a_container_without_a_limit_or_without_a_count_is_no_account() {
        for files in [
            &[("memory.max", "max\n"), ("memory.current", "960\n")][..],
            &[("memory/memory.limit_in_bytes", "9223372036854771712\n")],
            &[],
        ] {
            assert_eq!(Account::of_the_container(cgroups(files).path()), None, "{files:?}");
        }
        let dir = cgroups(&[("memory.max", "1000\n")]);
        let (limit, account) = Account::of_the_container(dir.path()).unwrap();
        assert!(account.used(limit).unwrap() > 1 << 16, "then what the process has counts");
    }
}
