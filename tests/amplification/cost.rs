//! What a number of connections cost that all send the same.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::ALLOCATED;

/// Of [`CONNECTIONS`] connections together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Bytes allocated and not given back while they stood open, at the most.
    pub(crate) held: usize,
    /// On the processor, of the proxy's worker.
    pub(crate) nanos: u64,
}

/// Sends `bytes` on many connections, and looks until the worker has nothing more to do.
pub(crate) async fn of(to: SocketAddr, bytes: &[u8]) -> Cost {
    let (allocated, worked) = (allocated(), worked());
    let mut open = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(to).await.expect("the proxy listens");
        // One that the proxy has closed already has cost what it costs.
        let _ = tokio::time::timeout(PATIENCE, stream.write_all(bytes)).await;
        open.push(stream);
    }
    let held = settled(allocated).await;
    let cost = Cost { held, nanos: crate::cost::worked().saturating_sub(worked) };
    drop(open);
    let _rest = settled(allocated).await;
    cost
}

/// Looks until the worker has slept for a while: one that waits for a busy machine stands still as well, and has not
/// done its work. Returns the most that was allocated beyond `before`.
async fn settled(before: usize) -> usize {
    let (mut most, mut still, mut last) = (0, 0, worked());
    for _ in 0..LOOKS {
        tokio::time::sleep(Duration::from_millis(4)).await;
        most = most.max(allocated().saturating_sub(before));
        let now = worked();
        still = if !at_work() && now.saturating_sub(last) < IDLE_NANOS { still + 1 } else { 0 };
        last = now;
        if still == 4 {
            break;
        }
    }
    most
}

/// Bytes that are allocated in this process.
fn allocated() -> usize {
    let stats = ALLOCATED.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// What the kernel says in this file of each thread that is called as a proxy's workers are.
fn of_workers(file: &'static str) -> impl Iterator<Item = String> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let workers = tasks
        .map(|task| task.path())
        .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("worker-")));
    workers.filter_map(move |task| fs::read_to_string(task.join(file)).ok())
}

/// What they have spent on the processor.
fn worked() -> u64 {
    of_workers("schedstat").filter_map(|line| line.split(' ').next()?.parse::<u64>().ok()).sum()
}

/// Whether one of them runs, or would if there were a processor for it.
fn at_work() -> bool {
    of_workers("stat").any(|line| line.rsplit(") ").next().is_some_and(|rest| rest.starts_with('R')))
}

const CONNECTIONS: usize = 16;
/// A proxy that does not read is one that holds nothing.
const PATIENCE: Duration = Duration::from_millis(500);
const LOOKS: usize = 250;
/// Less than this in 4 ms is housekeeping.
const IDLE_NANOS: u64 = 100_000;
