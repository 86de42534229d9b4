//! How much room there is in the memory that the system lets us have. A process that takes more than its limit is killed with
//! every request of everybody; so before that new requests are refused, then new connections wait, and what is under way
//! goes on.
//!
//! The limit is that of the container (cgroups), or what `WEFT_MEMORY_LIMIT` says. What is counted is memory of our own:
//! what is mapped from files can be taken back at any time.

use std::fs;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// How full it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Fill {
    /// There is room.
    Easy,
    /// New requests are refused.
    Tight,
    /// New connections wait, too.
    Full,
}

/// The memory of this process, as it was a moment ago.
#[derive(Debug)]
pub(crate) struct Memory {
    /// In bytes; `None`: nobody has said.
    limit: Option<u64>,
    fill: AtomicU8,
}

impl Memory {
    /// Within the limit that was set, or else that of the container.
    pub(crate) fn within(limit: Option<u64>) -> Self {
        let limit = limit.or_else(of_the_container);
        if let Some(limit) = limit {
            tracing::info!(limit, "new requests are refused when 85 % of this memory is used");
        }
        Self { limit, fill: AtomicU8::new(Fill::Easy as u8) }
    }

    /// How full it is.
    pub(crate) fn fill(&self) -> Fill {
        match self.fill.load(Ordering::Relaxed) {
            0 => Fill::Easy,
            1 => Fill::Tight,
            _ => Fill::Full,
        }
    }

    /// Looks for as long as the process lives, the more often the less room there is.
    pub(crate) async fn watch(&self) {
        let Some(limit) = self.limit else { return };
        loop {
            let Some(used) = used() else { return };
            let (before, now) = (self.fill(), judge(used, limit, self.fill()));
            if now != before {
                self.fill.store(now as u8, Ordering::Relaxed);
                tracing::warn!(used, limit, ?before, ?now, "memory");
            }
            tokio::time::sleep(if used < limit / 2 { SELDOM } else { OFTEN }).await;
        }
    }
}

/// What `used` of `limit` means. Who has begun to refuse goes on until there is room again, and not for one request.
fn judge(used: u64, limit: u64, before: Fill) -> Fill {
    let percent = u64::try_from(u128::from(used) * 100 / u128::from(limit.max(1))).unwrap_or(u64::MAX);
    match percent {
        95.. => Fill::Full,
        90.. if before == Fill::Full => Fill::Full,
        85.. => Fill::Tight,
        80.. if before >= Fill::Tight => Fill::Tight,
        _ => Fill::Easy,
    }
}

/// What the container may take, by version 2 of cgroups or by version 1; `None`: all there is.
fn of_the_container() -> Option<u64> {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = files.iter().find_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())?;
    // Version 1 says no limit by a number that no machine has.
    (limit < NO_MACHINE_HAS).then_some(limit)
}

/// Memory of our own, in bytes.
fn used() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
}

const NO_MACHINE_HAS: u64 = 1 << 50;
/// A look takes some 10 µs of a processor: 0.01 % and 0.1 % of one.
const SELDOM: Duration = Duration::from_millis(100);
/// Ten thousand connections a second, each with a head of 60 KiB, are six megabytes in this time.
const OFTEN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_refused_from_85_percent_connections_from_95_and_both_come_back_5_below() {
        use Fill::{Easy, Full, Tight};
        for (used, before, now) in [
            (0, Easy, Easy),
            (84, Easy, Easy),
            (85, Easy, Tight),
            (94, Easy, Tight),
            (95, Easy, Full),
            (1000, Easy, Full),
            (94, Full, Full),
            (90, Full, Full),
            (89, Full, Tight),
            (80, Tight, Tight),
            (80, Full, Tight),
            (79, Full, Easy),
            (79, Tight, Easy),
        ] {
            assert_eq!(judge(used << 20, 100 << 20, before), now, "{used} after {before:?}");
        }
        assert_eq!(judge(u64::MAX, u64::MAX, Easy), Full);
        assert_eq!(judge(1, 0, Easy), Full);
        assert!(used().unwrap() > 1 << 16);
    }
}
