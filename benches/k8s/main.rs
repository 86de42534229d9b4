//! The mesh on a real API server, measured: what injection costs a pod, how long a pod takes to be ready, what a control
//! plane needs for a thousand Services, and how long a change takes from its write to a call that sees it.
//!
//! `run` brings the cluster and the mesh and calls this twice: as `measure` on the machine, and as `watch` in a pod of the
//! mesh, which calls all the time and says when an answer is another than before. Both read the same clock.

mod api;
mod changes;
mod cost;
mod figures;
mod pods;
mod scale;
mod watch;

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;

use api::Api;
use changes::Watched;
use cost::Process;
use figures::{Table, spread};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["watch", url] => watch::run(url).await,
        ["measure"] => measure().await,
        _ => bail!("k8s-benchmark measure | watch URL; benches/k8s/run says what else it takes"),
    }
}

/// What `run` tells us.
fn said(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set; benches/k8s/run sets it"))
}

async fn measure() -> anyhow::Result<()> {
    let mut api = Api::new(&said("API")?)?;
    let (meshed, plain, out) = (said("MESHED")?, said("PLAIN")?, said("OUT")?);
    let control_plane = Process(said("CONTROL_PLANE")?.parse()?);
    let mut table = Table::default();

    let (without, with) = pods::admission(&mut api, &plain, &meshed).await?;
    table.row("a pod is admitted (dry run), without the mesh", spread(&without, "ms"));
    table.row("a pod is admitted (dry run), injected", spread(&with, "ms"));
    let (without, with) = pods::starts(&mut api, &plain, &meshed).await?;
    table.row("a pod from its creation to ready, without the mesh", spread(&without, "ms"));
    table.row("a pod from its creation to ready, injected", spread(&with, "ms"));

    let mut watched = Watched::start(&said("WATCH")?, &meshed).await?;
    let quiet = watched.changes(&mut api, CHANGES).await?;
    table.row("a route from its write to a call that sees it", spread(&quiet, "ms"));
    let gone = watched.deleted(&mut api).await?;
    table.row("a route from its deletion to a call without it", spread(&gone, "ms"));

    let before = control_plane.now()?;
    table.row("control plane at rest, before", json!({"resident_mib": before.resident_mib}));
    scale::fill(&api, &meshed).await?;
    tokio::time::sleep(SETTLED).await;
    let filled = control_plane.now()?;
    table.row(
        "1000 Services, 5000 endpoints: control plane",
        json!({"resident_mib": filled.resident_mib, "cpu_seconds_to_take_them": filled.cpu.as_secs_f64() - before.cpu.as_secs_f64()}),
    );
    tokio::time::sleep(SETTLED).await;
    let idle = control_plane.now()?;
    table.row("the same, idle", json!({"cpu_percent": percent(idle.cpu - filled.cpu, SETTLED)}));

    let load = scale::change(&api, &meshed)?;
    let busy = watched.changes(&mut api, CHANGES).await?;
    let (written, lasted) = load.end().await?;
    let after = control_plane.now()?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand writes")]
    let rate = written as f64 / lasted.as_secs_f64();
    table.row(
        "endpoints change meanwhile: control plane",
        json!({"changes_per_second": rate, "cpu_percent": percent(after.cpu - idle.cpu, lasted), "resident_mib": after.resident_mib}),
    );
    table.row("a route from its write to a call that sees it, meanwhile", spread(&busy, "ms"));
    table.print();
    table.write(&out, &said("ABOUT").unwrap_or_default())
}

fn percent(cpu: Duration, of: Duration) -> f64 {
    cpu.as_secs_f64() / of.as_secs_f64() * 100.0
}

/// Changes of the route that are timed, one after the other.
const CHANGES: usize = 100;
/// After a thousand Services were made.
const SETTLED: Duration = Duration::from_secs(10);
