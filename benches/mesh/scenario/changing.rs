//! A configuration that changes 100 times a second while requests go through it. The last one must be in force when they
//! have ended: a peer that does not follow is not the cheaper for it.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::load::{Measured, admin};
use crate::way::{GENERATION, Way};

/// Writes while `load` runs.
///
/// # Errors
/// The load's, or the last change is not seen within a time.
pub(super) async fn meanwhile(
    way: &Way,
    host: &str,
    load: impl Future<Output = anyhow::Result<Measured>>,
) -> anyhow::Result<Measured> {
    let change = way.change.as_ref().context("it has no configuration that changes")?;
    let mut often = interval(APART);
    often.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut last = 0;
    tokio::pin!(load);
    let measured = loop {
        tokio::select! {
            measured = &mut load => break measured?,
            _ = often.tick() => {
                last += 1;
                change.write(last)?;
            }
        }
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = admin::header(way.entry, host, "/products", GENERATION).await?;
        if seen.as_deref() == Some(&*last.to_string()) {
            return Ok(measured);
        }
        ensure!(Instant::now() < deadline, "change {last} is not in force, but {seen:?}");
        sleep(APART).await;
    }
}

const APART: Duration = Duration::from_millis(10);
/// From the last change to its effect.
const PATIENCE: Duration = Duration::from_secs(10);
