//! What a request costs on its whole way (client, sidecar, mutual TLS, sidecar, origin), beside the same request through
//! the proxies of others and without any.
//!
//! The steady figure is the CPU time of the proxies per 100 000 requests, as the kernel accounts for it: it does not
//! depend on who else waits for a CPU, which throughput and latency do.

mod settings;
mod machine;
mod process;
mod origin;
mod load;
mod way;
mod scenario;
mod figures;
mod targets;
mod report;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use figures::Results;
use machine::Cpus;
use scenario::turns::{self, Bench};
use settings::Settings;
use way::Peer;

fn main() -> ExitCode {
    // One thread: it and the origin's share a CPU, and the proxies have the other.
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
            eprintln!("mesh benchmark: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let settings = Settings::from_env()?;
    // Before we keep to one CPU ourselves.
    let machine = machine::describe();
    let cpus = Cpus::find();
    cpus.go_to_load();
    machine::open_as_many_files_as_permitted();
    let scratch = tempfile::tempdir().context("a folder for configurations and logs")?;
    let versions = versions(&settings);
    let bench = Bench { settings: &settings, cpus, scratch: scratch.path().to_owned(), versions };

    let report = |name| settings.report.join(name);
    for earlier in ["peers.json", "peers.txt"] {
        // Of a run that fails, nothing is left that could be taken for its outcome. There may be none.
        let _ = fs::remove_file(report(earlier));
    }
    let mut results = Results::default();
    let mut text = heading(&bench, &machine);
    eprintln!("{text}");
    for scenario in &settings.scenarios {
        turns::run(scenario, &bench, &mut results).await?;
        let section = report::section(scenario, &results, &settings.peers);
        println!("\n{section}");
        let _ = write!(text, "\n{section}");
    }
    fs::create_dir_all(&settings.report)
        .with_context(|| format!("cannot make {}", settings.report.display()))?;
    for (name, text) in [("peers.json", format!("{:#}\n", results.to_json())), ("peers.txt", text)] {
        let file = report(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("  {}", file.display());
    }
    Ok(())
}

/// Of each peer that is wanted and has a program.
fn versions(settings: &Settings) -> HashMap<&'static str, Result<String, String>> {
    let programs = [
        (Peer::Envoy, &settings.envoy, "--version"),
        (Peer::Haproxy, &settings.haproxy, "-v"),
        (Peer::Nginx, &settings.nginx, "-v"),
    ];
    let wanted = programs.into_iter().filter(|(peer, _, _)| settings.peers.contains(peer));
    wanted
        .map(|(peer, program, flag)| {
            let version = way::version(program, flag).map_err(|error| format!("{error:#}"));
            (peer.name(), version)
        })
        .collect()
}

/// Who was measured, where, when and how.
fn heading(bench: &Bench<'_>, machine: &str) -> String {
    let mut text = format!(
        "{machine}\n{} runs of {} s in turns; median [best of the runs]; `x` is by Envoy, run by run\n",
        bench.settings.runs,
        bench.settings.each.as_secs_f64()
    );
    for peer in &bench.settings.peers {
        match bench.versions.get(peer.name()) {
            Some(Ok(version)) => drop(writeln!(text, "{} {version}", peer.name())),
            Some(Err(why)) => drop(writeln!(text, "{} is not measured: {why}", peer.name())),
            None => {}
        }
    }
    text
}
