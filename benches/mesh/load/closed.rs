//! The closed loop: each caller asks, waits for the whole answer, and asks again.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{Instant, error::Elapsed, sleep_until, timeout_at};

use super::{Caller, HANG, Measured, Window, micros};

/// Has them ask. `cpu` tells what the proxies have consumed up to now.
///
/// # Errors
/// The first wrong answer, one that does not come, or a proxy that has ended.
pub(crate) async fn run(
    callers: Vec<impl Caller>,
    window: Window,
    cpu: impl Fn() -> anyhow::Result<Duration>,
) -> anyhow::Result<Measured> {
    let from = Instant::now() + window.warm_up;
    let until = from + window.length;
    let mut asking = Asking::default();
    for caller in callers {
        asking.running.spawn(timeout_at(until + HANG, keep_asking(caller, from, until)));
    }
    asking.on_until(from).await?;
    let (before, began) = (cpu()?, Instant::now());
    asking.on_until(until).await?;
    let (after, ended) = (cpu()?, Instant::now());
    let mut latencies = asking.all().await?;
    latencies.sort_unstable();
    Ok(Measured { latencies, length: ended - began, cpu: after.saturating_sub(before) })
}

async fn keep_asking(mut caller: impl Caller, from: Instant, until: Instant) -> anyhow::Result<Vec<u32>> {
    let mut latencies = Vec::new();
    loop {
        let sent = Instant::now();
        if sent >= until {
            return Ok(latencies);
        }
        caller.ask().await?;
        let answered = Instant::now();
        if answered >= from && answered < until {
            latencies.push(micros(answered - sent));
        }
    }
}

/// The callers that are at it, and what those that are done have measured.
#[derive(Default)]
pub(super) struct Asking {
    pub(super) running: JoinSet<Result<anyhow::Result<Vec<u32>>, Elapsed>>,
    latencies: Vec<u32>,
}

impl Asking {
    /// Lets them go on until `then`.
    pub(super) async fn on_until(&mut self, then: Instant) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = sleep_until(then) => return Ok(()),
                Some(joined) = self.running.join_next() => {
                    let done = joined.context("a caller panicked")?.context(NO_ANSWER)??;
                    self.latencies.extend(done);
                }
            }
        }
    }

    /// Waits for all that are left.
    pub(super) async fn all(mut self) -> anyhow::Result<Vec<u32>> {
        while let Some(joined) = self.running.join_next().await {
            self.latencies.extend(joined.context("a caller panicked")?.context(NO_ANSWER)??);
        }
        Ok(self.latencies)
    }
}

const NO_ANSWER: &str = "a request was never answered";
