//! How many connections there is room for. Each takes one of the file descriptors that the system lets a process have, and
//! most lead to another; and however many are held, the proxy must be able to answer for itself, ask the control plane and
//! open what it is asked for. So who comes beyond that waits, in the kernel, until another goes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Asks the system for all that it would give, and says how many connections may come in.
pub(crate) fn connections() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MOST).min(MOST).max(current.unwrap_or(0));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    let has = if raised.is_ok() { wanted } else { current.unwrap_or(MOST) };
    room(has)
}

/// Half of what is not set aside: the other half is for where they lead.
fn room(descriptors: u64) -> usize {
    let left = descriptors.min(MOST).saturating_sub(OUR_OWN) / 2;
    usize::try_from(left).unwrap_or(usize::MAX).max(LEAST)
}

/// How many idle connections each worker may keep to where requests go: together most of the room for them. Whoever finds
/// no room takes theirs.
pub(crate) fn idle(connections: usize, workers: usize) -> usize {
    (connections / 8 * 7 / workers.max(1)).max(LEAST)
}

/// Listeners, runtimes, logs, the control plane, telemetry, health checks, who asks about us.
const OUR_OWN: u64 = 64;
/// More than any machine holds connections; the kernel keeps a table of this length.
const MOST: u64 = 1 << 20;
/// Where there is room for nothing it is better to try.
const LEAST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_a_connection_and_for_where_it_leads_beside_our_own() {
        for (descriptors, connections) in
            [(0, 16), (64, 16), (160, 48), (1024, 480), (65_536, 32_736), (u64::MAX, 524_256)]
        {
            assert_eq!(room(descriptors), connections, "{descriptors}");
        }
        assert!(connections() >= LEAST);
        for (connections, workers, each) in [(480, 1, 420), (480, 4, 105), (16, 4, 16), (524_256, 0, 458_724)]
        {
            assert_eq!(idle(connections, workers), each, "{connections} of {workers}");
        }
    }
}
