//! How a change of one endpoint spreads: to everybody, alone and beside a thousand others a second; and that in the end
//! everybody holds what is so.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use weft_policy::draw::Draw;

use crate::figures::{millis, percentile, report};
use crate::fleet::Fleet;
use crate::plane::{Cost, Plane};

/// Makes so many changes one after another, then `each_second` for so long, and tells row 20.
///
/// # Errors
/// If a change does not arrive.
pub(crate) async fn run(
    plane: &Plane,
    fleet: &mut Fleet,
    changes: usize,
    each_second: u32,
    long: Duration,
) -> anyhow::Result<()> {
    let calm = last_ones(fleet, changes, Duration::from_millis(120), |_| true).await?;
    println!(
        "one change at a time, {} of them: the last of {} proxies has it after {} (p50), {} (p99), {} (most)",
        calm.len(),
        fleet.shape().proxies,
        millis(percentile(&calm, 50)),
        millis(percentile(&calm, 99)),
        millis(percentile(&calm, 100)),
    );
    let (before, ours, began) = (plane.cost()?, Cost::of("self")?, Instant::now());
    let churn = tokio::spawn(churn(fleet.shape().shared(), fleet.reporters(), each_second, long));
    let busy = last_ones(fleet, usize::MAX, Duration::from_millis(100), |_| !churn.is_finished()).await?;
    let made = churn.await?;
    let spent = began.elapsed().as_secs_f64();
    let (after, load) = (plane.cost()?, Cost::of("self")?);
    let (cores, load) =
        ((after.cpu - before.cpu).as_secs_f64() / spent, (load.cpu - ours.cpu).as_secs_f64() / spent);
    let lost = fleet.differences(Duration::from_secs(30)).await?;
    let (p50, p99) = (percentile(&busy, 50), percentile(&busy, 99));
    println!(
        "{made} changes in {spent:.0} s ({:.0} a second), beside them {} to everybody: the last of them has it after {} \
         (p50), {} (p99), {} (most); control plane: {cores:.2} cores, {} MiB; proxies: {load:.2} cores; {lost} differences \
         at the end",
        made as f64 / spent,
        busy.len(),
        millis(p50),
        millis(p99),
        millis(percentile(&busy, 100)),
        after.memory >> 20,
    );
    let told = format!(
        "{} changes: the last of {} proxies has it after {} at p50, {} at p99; beside {:.0} changes a second for {:.0} s \
         after {} at p50, {} at p99 ({} changes), {cores:.2} cores; {lost} endpoints differ at the end",
        calm.len(),
        fleet.shape().proxies,
        millis(percentile(&calm, 50)),
        millis(percentile(&calm, 99)),
        made as f64 / spent,
        spent,
        millis(p50),
        millis(p99),
        busy.len(),
    );
    let second = Duration::from_secs(1);
    let kept_up = made as f64 >= 0.98 * f64::from(each_second) * long.as_secs_f64();
    let pass = percentile(&calm, 99) < second && p99 < second && lost == 0 && kept_up && long >= TEN_MINUTES;
    report(20, &told, pass && fleet.shape().proxies >= 1000);
    Ok(())
}

/// How long the last proxy took to hold each of so many changes of what everybody calls, while `goes_on`.
pub(crate) async fn last_ones(
    fleet: &mut Fleet,
    changes: usize,
    apart: Duration,
    goes_on: impl Fn(usize) -> bool,
) -> anyhow::Result<Vec<Duration>> {
    let mut last = Vec::new();
    let mut well = vec![true; fleet.shape().shared()];
    while last.len() < changes && goes_on(last.len()) {
        let whose = last.len() % well.len();
        let Some(is_well) = well.get_mut(whose) else { break };
        *is_well = !*is_well;
        let took = fleet.change(whose, *is_well, 0).await?;
        last.extend(took.into_iter().max());
        // Not in step with whatever the control plane does regularly.
        sleep(apart + Duration::from_millis(last.len() as u64 * 7 % 30)).await;
    }
    Ok(last)
}

/// Has workloads fall ill and get well again, but for the first `spared`. Says how many did.
pub(crate) async fn churn(
    spared: usize,
    reporters: Vec<impl Fn(bool) + Send + 'static>,
    each_second: u32,
    long: Duration,
) -> u64 {
    let mut draw = Draw::from_seed(20);
    let mut well = vec![true; reporters.len()];
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut made, began) = (0u64, Instant::now());
    while began.elapsed() < long {
        ticks.tick().await;
        let due = (began.elapsed().min(long).as_secs_f64() * f64::from(each_second)) as u64;
        while made < due {
            let others = well.len().saturating_sub(spared).max(1) as u64;
            let whose = spared + usize::try_from(draw.below(others)).unwrap_or_default();
            if let (Some(is_well), Some(report)) = (well.get_mut(whose), reporters.get(whose)) {
                *is_well = !*is_well;
                report(*is_well);
            }
            made += 1;
        }
    }
    made
}

/// For how long it has to keep up.
const TEN_MINUTES: Duration = Duration::from_secs(600);
/// Ten changes at a stroke where there are a thousand a second.
const TICK: Duration = Duration::from_millis(10);
