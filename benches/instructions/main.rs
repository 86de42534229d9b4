//! What a request costs in instructions: a figure that comes out the same on a busy machine and on a quiet one.
//!
//! The sidecars run under callgrind, carry a number of requests that is known exactly, and are asked for what they
//! have carried out in between. What the kernel does is not in it; how often it is asked is.

mod settings;
mod split;
mod report;

use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use weft_benches::callgrind::Dump;
use weft_benches::calls::Calls;
use weft_benches::rig::{Rig, Under};

use settings::Settings;
use split::Split;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            let (mut terminate, mut interrupt) =
                (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            tokio::select! {
                done = run() => done,
                // What has been started ends with what holds it.
                _ = terminate.recv() => anyhow::bail!("interrupted"),
                _ = interrupt.recv() => anyhow::bail!("interrupted"),
            }
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let settings = Settings::from_env()?;
    let scratch = tempfile::tempdir().context("a folder for configurations and dumps")?;
    let rig = Rig::start(&settings.programs, Under::Callgrind, settings.body, scratch.path()).await?;
    let mut all = Vec::new();
    for scenario in settings.scenarios() {
        let calls = Calls {
            entry: rig.entry,
            host: scenario.host,
            http2: scenario.http2,
            connections: settings.connections,
            streams: if scenario.http2 { settings.streams } else { 1 },
            body: settings.body,
        };
        // Connections stay: what is counted is what a request costs on one that is there.
        let mut open = calls.open().await.with_context(|| format!("{}: connecting", scenario.name))?;
        open.make(settings.warm_up).await.with_context(|| format!("{}: warming up", scenario.name))?;
        for side in scenario.sides {
            rig.zero(side)?;
        }
        let sent = open.make(settings.requests).await.with_context(|| scenario.name)?;
        for side in scenario.sides {
            let path = rig.dump(side)?;
            let dump = Dump::read(&path)?;
            let split = Split::new(&dump, &settings.programs.join("weft-proxy"), sent)?;
            eprintln!("  {:<8} {:<9} {:>9.0} instructions a request", scenario.name, side, split.total);
            all.push(report::Row { scenario: scenario.name, side, split });
        }
    }
    drop(rig);
    report::tell(&settings, &all)
}
