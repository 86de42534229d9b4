//! The open loop: requests become due at a fixed rate, whatever becomes of those before. A connection that still waits
//! for an answer sends late, and its latency counts from when the request was due: what a slow answer does to those
//! behind it is measured, not left out.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::closed::Asking;
use super::pace::Pace;
use super::{Caller, HANG, Measured, Window, micros};

/// Sends `rate` requests a second over all of `callers`, in turns.
///
/// # Errors
/// The first wrong answer, one that does not come, or a proxy that has ended.
pub(crate) async fn run(
    callers: Vec<impl Caller>,
    rate: u32,
    window: Window,
    cpu: impl Fn() -> anyhow::Result<Duration>,
) -> anyhow::Result<Measured> {
    let began = Instant::now();
    let from = began + window.warm_up;
    let until = from + window.length;
    let mut asking = Asking::default();
    let mut lanes = Vec::new();
    for caller in callers {
        let (lane, due) = mpsc::unbounded_channel();
        lanes.push(lane);
        asking.running.spawn(timeout_at(until + HANG, ask_when_due(caller, due, from)));
    }
    let pace = Pace::new()?;
    let apart = Duration::from_secs(1) / rate.max(1);
    let mut all = (0u32..).map(|n| began + apart * n).zip(lanes.iter().cycle()).peekable();
    let mut before = None;
    while let Some((due, lane)) = all.next_if(|(due, _)| *due < until) {
        pace.until(due).await?;
        if before.is_none() && due >= from {
            before = Some(cpu()?);
        }
        if lane.send(due).is_err() {
            break; // it has failed, and says so below
        }
    }
    let ended = Instant::now();
    let after = cpu()?;
    drop(all);
    drop(lanes);
    let mut latencies = asking.all().await?;
    latencies.sort_unstable();
    let before = before.context("the warm-up never ended")?;
    Ok(Measured { latencies, length: ended - from, cpu: after.saturating_sub(before) })
}

async fn ask_when_due(
    mut caller: impl Caller,
    mut due: mpsc::UnboundedReceiver<Instant>,
    from: Instant,
) -> anyhow::Result<Vec<u32>> {
    let mut latencies = Vec::new();
    while let Some(due) = due.recv().await {
        caller.ask().await?;
        if due >= from {
            latencies.push(micros(due.elapsed()));
        }
    }
    Ok(latencies)
}
