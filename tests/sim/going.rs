//! Going away by one deadline, with the proxy's own drainer: whoever is under way is waited for, and so is whoever was let in
//! while others were waited for; the last one out ends the wait, or the deadline does.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use weft_policy::draw::Draw;
use weft_proxy::drain::Drainer;

use crate::trace::Trace;

/// Requests of random lengths, and a drain in the middle of them.
pub(crate) fn run(seed: u64) -> Result<Trace, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(drain(Draw::from_seed(seed)))
}

async fn drain(mut draw: Draw) -> Result<Trace, String> {
    let mut trace = Trace::default();
    // Times are even and draining begins at an odd one, so that nothing happens at the same moment.
    let mut even = |below: u64| Duration::from_millis(2 * draw.below(below));
    let (grace, begins) = (Duration::from_millis(501) + even(2000), Duration::from_millis(1) + even(1500));
    let mut requests: Vec<_> = (0..40).map(|_| (even(3000), Duration::from_millis(2) + even(700))).collect();
    requests.sort();
    let drainer = Drainer::new();
    let start = Instant::now();
    let mut tasks = Vec::new();
    for (from, lasts) in &requests {
        let (door, from, lasts) = (drainer.door(), *from, *lasts);
        tasks.push(tokio::spawn(async move {
            sleep(from).await;
            let entered = door.enter();
            if entered.is_some() {
                sleep(lasts).await;
            }
            entered.is_some()
        }));
    }
    sleep(begins).await;
    let all_gone = drainer.drain_within(grace).await;
    let took = start.elapsed().saturating_sub(begins);
    trace.note(begins, || format!("{all_gone} after {} ms of {}", took.as_millis(), grace.as_millis()));
    let empty = requests.iter().fold(
        begins,
        |empty, (from, lasts)| {
            if *from < empty { empty.max(*from + *lasts) } else { empty }
        },
    );
    let expected = (empty - begins).min(grace);
    if all_gone != (empty - begins < grace) || took != expected {
        return Err(format!("{all_gone} after {took:?}, and should be after {expected:?}"));
    }
    for ((from, _), task) in requests.iter().zip(tasks) {
        let entered = task.await.map_err(|error| error.to_string())?;
        if all_gone && entered != (*from < empty) {
            return Err(format!("at {from:?} somebody comes in: {entered}; everybody was out at {empty:?}"));
        }
    }
    Ok(trace)
}
