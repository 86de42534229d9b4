//! Proxies that stop: they neither read nor write nor go. What everybody else notices of them, and what is held for them.

use std::time::Duration;

use tokio::time::sleep;

use crate::figures::{mebi, median, millis, percentile, report};
use crate::fleet::Fleet;
use crate::plane::Plane;

/// With `count` of them stopped and without, in turns, and tells row 22.
///
/// # Errors
/// If a change does not reach the others.
pub(crate) async fn run(
    plane: &Plane,
    fleet: &mut Fleet,
    count: usize,
    turns: usize,
    changes: usize,
) -> anyhow::Result<()> {
    let (mut ratios, mut quiet, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    let (mut grew, mut cut) = (0, 0);
    for turn in 0..turns {
        // Whichever comes second finds a machine that others have begun to use, or have left.
        let mut p99 = [Duration::ZERO; 2];
        for stopped in if turn % 2 == 0 { [false, true] } else { [true, false] } {
            fleet.settled(PATIENCE).await?;
            let before = plane.cost()?.memory;
            if stopped {
                fleet.stop(count);
            }
            let all = changed(fleet, count, changes).await?;
            if stopped {
                grew = grew.max(plane.cost()?.memory.saturating_sub(before));
                fleet.go_on(count);
                sleep(Duration::from_millis(200)).await;
                cut += fleet.shape().proxies - fleet.attached();
            }
            let [without, with] = &mut p99;
            *(if stopped { with } else { without }) = percentile(&all, 99);
        }
        let [without, with] = p99;
        println!("turn {}: p99 {} without, {} with {count} stopped", turn + 1, millis(without), millis(with));
        quiet.push(without.as_secs_f64());
        beside.push(with.as_secs_f64());
        ratios.push(with.as_secs_f64() / without.as_secs_f64().max(1e-6));
    }
    fleet.settled(PATIENCE).await?;
    // Longer than they may be kept: then they have to be gone.
    let streams = fleet.shape().proxies;
    let there = plane.sockets()?;
    fleet.stop(count);
    let gone = gone_after(plane, there.saturating_sub(count)).await?;
    fleet.go_on(count);
    fleet.settled(PATIENCE).await?;
    let differences = fleet.differences(PATIENCE).await?;
    let ratio = median(&ratios);
    let told = format!(
        "{count} of {streams} stopped: the others' p99 {:.1} ms, {:.1} ms without them; turn by turn {:+.1} % (median of \
         {turns}); at most {} MiB more held meanwhile; cut after {:.0} s, and right again when they go on",
        median(&beside) * 1e3,
        median(&quiet) * 1e3,
        (ratio - 1.0) * 100.0,
        mebi(grew),
        gone.as_secs_f64(),
    );
    println!("{cut} were cut within a turn; {differences} differences at the end");
    report(22, &told, ratio < 1.1 && gone <= Duration::from_secs(60) && differences == 0 && streams >= 1000);
    Ok(())
}

/// How long each of those that read took to hold each of so many changes.
async fn changed(fleet: &mut Fleet, stopped: usize, changes: usize) -> anyhow::Result<Vec<Duration>> {
    let mut all = Vec::new();
    for nth in 0..changes {
        // Ill and well again: every turn ends as it began.
        all.extend(fleet.change(nth / 2 % fleet.shape().shared(), nth % 2 == 1, stopped).await?);
        sleep(Duration::from_millis(110)).await;
    }
    Ok(all)
}

/// How long the control plane keeps those that do not read: until it has no more than `left` sockets.
async fn gone_after(plane: &Plane, left: usize) -> anyhow::Result<Duration> {
    let began = tokio::time::Instant::now();
    while plane.sockets()? > left && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(100)).await;
    }
    Ok(began.elapsed())
}

/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(90);
