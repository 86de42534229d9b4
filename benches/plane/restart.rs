//! A control plane that is killed under all of its proxies and started again: how long until the last of them has
//! acknowledged, and what that costs.

use std::time::Duration;

use tokio::time::Instant;

use crate::figures::{mebi, median, report};
use crate::fleet::Fleet;
use crate::plane::{Cost, Plane};

/// Runs it so many times, and tells row 19.
///
/// # Errors
/// If they do not come back.
pub(crate) async fn run(plane: &mut Plane, fleet: &mut Fleet, times: usize) -> anyhow::Result<()> {
    let (mut took, mut cpu, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for nth in 1..=times {
        let ours = Cost::of("self")?.cpu;
        let killed = Instant::now();
        let there = plane.restart().await?;
        // Whoever had not noticed by then would look as if it were back.
        while fleet.attached() > 0 && there.elapsed() < Duration::from_millis(500) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut last = there;
        let mut missing = fleet.shape().proxies;
        while missing > 0 {
            last = fleet.settled(LIMIT).await?;
            // One whose stream breaks again was not back.
            missing = fleet.shape().proxies - fleet.attached();
        }
        let cost = plane.cost()?;
        let seconds = last.saturating_duration_since(there).as_secs_f64();
        println!(
            "restart {nth}: it listens after {:.2} s; all {} acknowledged {seconds:.2} s later; control plane: {:.1} \
             CPU-seconds, at most {} MiB, then {} MiB; proxies: {:.1} CPU-seconds",
            (there - killed).as_secs_f64(),
            fleet.shape().proxies,
            cost.cpu.as_secs_f64(),
            mebi(cost.peak),
            mebi(cost.memory),
            (Cost::of("self")?.cpu - ours).as_secs_f64(),
        );
        took.push(seconds);
        cpu.push(cost.cpu.as_secs_f64());
        peaks.push(cost.peak);
        let differences = fleet.differences(LIMIT).await?;
        anyhow::ensure!(differences == 0, "the proxies differ in {differences} things from what was said");
    }
    let peak = peaks.into_iter().max().unwrap_or_default();
    let told = format!(
        "a control plane killed and started again {times} times: {} streams acknowledged within {:.1} s of its listening \
         (median {:.1} s), {:.1} CPU-seconds, at most {} MiB ({} KiB a stream)",
        fleet.shape().proxies,
        took.iter().copied().fold(0.0, f64::max),
        median(&took),
        median(&cpu),
        mebi(peak),
        peak / 1024 / fleet.shape().proxies as u64,
    );
    let pass =
        took.iter().all(|seconds| *seconds < 30.0) && mebi(peak) < 512 && fleet.shape().proxies >= 10_000;
    report(19, &told, pass);
    Ok(())
}

/// Worse than any goal.
const LIMIT: Duration = Duration::from_secs(150);
