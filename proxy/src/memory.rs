//! How much room there is in the memory that the system lets us have. A process that takes more than its limit is killed with
//! every request of everybody; so before that new requests are refused, then new connections wait and heads that are not
//! complete are given up, and what is under way goes on.
//!
//! The limit is that of the container (cgroups), or what `WEFT_MEMORY_LIMIT` says; what counts towards it, [`account`]
//! says. To ask the system takes some ten microseconds, too long for every request and too seldom if a clock says when:
//! within ten milliseconds peers can send more than there is room for. So those who take something in say how much
//! ([`Memory::take`]), and the next look is due when that could matter.

mod account;

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use account::Account;

/// How full it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Fill {
    /// There is room.
    Easy,
    /// New requests are refused.
    Tight,
    /// New connections wait, too, and unfinished heads are given up.
    Full,
}

/// The memory of this process, as it was a moment ago.
#[derive(Debug)]
pub(crate) struct Memory {
    /// In bytes, and what counts towards it; `None`: nobody has said.
    limit: Option<(u64, Account)>,
    fill: AtomicU8,
    /// Bytes taken in since the last look.
    unseen: AtomicU64,
    /// How many of them lead to the next.
    step: AtomicU64,
}

impl Memory {
    /// Without a limit.
    #[cfg(test)]
    pub(crate) fn unlimited() -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self { limit: None, ..Self::within(Some(1)) })
    }

    /// Within the limit that was set, or else that of the container.
    pub(crate) fn within(limit: Option<u64>) -> Self {
        let set = limit.map(|limit| (limit, Account::Process));
        let limit = set.or_else(|| Account::of_the_container(Path::new(CGROUPS)));
        if let Some((limit, account)) = &limit {
            tracing::info!(
                limit,
                of = account.name(),
                "new requests are refused when 85 % of this memory is used"
            );
        }
        Self {
            limit,
            fill: AtomicU8::new(Fill::Easy as u8),
            unseen: AtomicU64::new(0),
            step: AtomicU64::new(LEAST_STEP),
        }
    }

    /// How full it is.
    fn fill(&self) -> Fill {
        match self.fill.load(Ordering::Relaxed) {
            0 => Fill::Easy,
            1 => Fill::Tight,
            _ => Fill::Full,
        }
    }

    /// Somebody holds so many bytes more. Says how full it is now.
    pub(crate) fn take(&self, bytes: usize) -> Fill {
        if let Some((limit, account)) = &self.limit {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            let unseen = self.unseen.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
            if unseen >= self.step.load(Ordering::Relaxed) {
                self.look(*limit, account);
            }
        }
        self.fill()
    }

    /// Looks for as long as the process lives: memory is taken, and given back, by others than those who say so.
    pub(crate) async fn watch(&self) {
        let Some((limit, account)) = &self.limit else { return };
        loop {
            self.look(*limit, account);
            if self.fill() != Fill::Easy {
                give_back();
            }
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Asks the system. Where it does not answer, as when there is no descriptor left, it is asked again at the next look.
    fn look(&self, limit: u64, account: &Account) {
        self.unseen.store(0, Ordering::Relaxed);
        let Some(used) = account.used(limit) else { return };
        self.step.store(step(used, limit), Ordering::Relaxed);
        let (before, now) = (self.fill(), judge(used, limit, self.fill()));
        if now != before {
            self.fill.store(now as u8, Ordering::Relaxed);
            tracing::warn!(used, limit, ?before, ?now, "memory");
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

/// Bytes that may be taken in before the next look: an eighth of what is left. Who holds a byte may have taken three of the
/// system's, as buffers grow by doubling.
fn step(used: u64, limit: u64) -> u64 {
    (limit.saturating_sub(used) / 8).clamp(LEAST_STEP, LARGEST_STEP)
}

/// Has the allocator give back what has been free for a second. It looks for that only when it gets a whole page of its own
/// back, as a large block is; and where everybody is refused that would not happen.
fn give_back() {
    drop(black_box(Vec::<u8>::with_capacity(LARGE_BLOCK)));
}

/// What a connection may come to hold without anybody saying so: buffers of the parser, of TLS, of a relay.
pub(crate) const A_CONNECTION: usize = 32 << 10;
/// The same of a request: its head, the frame of a body that waits for the far end.
pub(crate) const A_REQUEST: usize = 16 << 10;

const CGROUPS: &str = "/sys/fs/cgroup";
const LEAST_STEP: u64 = 128 << 10;
const LARGEST_STEP: u64 = 16 << 20;
/// A look takes some 10 µs of a processor: 0.01 % of one.
const BEAT: Duration = Duration::from_millis(100);
/// More than the allocator puts several of into one page.
const LARGE_BLOCK: usize = 1 << 20;

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
    }

    #[test]
    fn the_fuller_it_is_the_sooner_is_the_next_look() {
        let mib = |mib: u64| mib << 20;
        for (used, limit, bytes) in [
            (0, mib(64), mib(8)),
            (mib(32), mib(64), mib(4)),
            (mib(56), mib(64), mib(1)),
            (mib(64), mib(64), LEAST_STEP),
            (mib(99), mib(64), LEAST_STEP),
            (0, u64::MAX, LARGEST_STEP),
        ] {
            assert_eq!(step(used, limit), bytes, "{used} of {limit}");
        }
    }

    #[test]
    fn what_is_taken_leads_to_a_look_and_where_there_is_no_limit_to_none() {
        let ours = Account::Process.used(0).unwrap();
        let full = Memory::within(Some(ours / 2));
        assert_eq!(full.take(LEAST_STEP as usize - 1), Fill::Easy, "nobody has looked");
        assert_eq!(full.take(1), Fill::Full);
        assert_eq!(Memory::unlimited().take(usize::MAX), Fill::Easy);
    }
}
