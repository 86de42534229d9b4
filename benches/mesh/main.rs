//! What a request costs on its whole way (client, sidecar, mutual TLS, sidecar, origin), beside the same request
//! without a mesh and through two Envoys.
//!
//! All ways are up together and are measured in turns, A B C, B C A, so that a machine that slows down slows all of
//! them. The steady figure is the CPU time of the proxies per 100 000 requests: it does not depend on who else
//! waits for a CPU, which throughput and latency do.

mod settings;
mod machine;
mod process;
mod origin;
mod load;
mod way;
mod figures;
mod report;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use figures::{Sample, Series, Turn};
use load::Load;
use machine::Cpus;
use origin::Origin;
use process::Process;
use report::Target;
use settings::Settings;
use way::{Site, Way};

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
    let origin = Origin::start(settings.body)?;
    let scratch = tempfile::tempdir().context("a folder for configurations and logs")?;
    let (ways, envoy) = ways(&settings, cpus, &origin, scratch.path()).await?;

    let mut all: Vec<Series> = ways
        .iter()
        .map(|way| Series {
            way: way.name,
            proxies: way.proxies.len(),
            idle: way.idle.clone(),
            turns: Vec::new(),
        })
        .collect();
    for run in 0..settings.runs {
        for place in 0..ways.len() {
            // Each run begins with another way: none has always the same neighbour.
            let at = (place + run as usize) % ways.len();
            let (Some(way), Some(series)) = (ways.get(at), all.get_mut(at)) else { continue };
            let turn = turn(way, run, &settings).await.with_context(|| format!("through {}", way.name))?;
            eprintln!("  run {}: {:7} {:>6.0} req/s", run + 1, way.name, turn.loaded.rate);
            series.turns.push(turn);
        }
    }
    let targets = targets(&ways)?;
    drop(ways);
    tell(&settings, &machine, &all, &targets, envoy.as_deref())
}

/// Starts every way that is wanted and possible. Gives the version of Envoy, too.
async fn ways(
    settings: &Settings,
    cpus: Cpus,
    origin: &Origin,
    scratch: &Path,
) -> anyhow::Result<(Vec<Way>, Option<String>)> {
    let folder = |name: &str| {
        let dir = scratch.join(name);
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display())).map(|()| dir)
    };
    let mut ways = Vec::new();
    if settings.wants("direct") {
        ways.push(Way::direct(origin.addr));
    }
    if settings.wants("weft") {
        let dir = folder("weft")?;
        let site = Site { dir: &dir, cpus, origin: origin.addr };
        ways.push(way::weft::start(site, &settings.programs, settings.body).await?);
    }
    let mut version = None;
    if settings.wants("envoy") {
        match settings.envoy.as_deref().map(|program| (program, way::envoy::version(program))) {
            Some((program, Ok(said))) => {
                let dir = folder("envoy")?;
                let site = Site { dir: &dir, cpus, origin: origin.addr };
                ways.push(way::envoy::start(site, program, settings.body).await?);
                version = Some(said);
            }
            Some((_, Err(error))) => eprintln!("  without Envoy, which does not run here: {error:#}"),
            None => eprintln!("  without Envoy, which is not here: name one with ENVOY=PROGRAM"),
        }
    }
    anyhow::ensure!(!ways.is_empty(), "WAYS names none of direct, weft, envoy");
    Ok((ways, version))
}

/// One way, once: under load, then alone.
async fn turn(way: &Way, run: u32, settings: &Settings) -> anyhow::Result<Turn> {
    let loaded = Load {
        entry: way.entry,
        connections: settings.connections,
        warm_up: settings.each / 8,
        length: settings.each,
        body: settings.body,
    };
    let measured = loaded.run(|| way.cpu()).await?;
    let resident = way.resident()?;
    sleep(PAUSE).await;
    let alone = Load { connections: 1, warm_up: settings.each / 20, length: settings.each / 3, ..loaded };
    let alone = alone.run(|| way.cpu()).await?;
    sleep(PAUSE).await;
    Ok(Turn { run, loaded: Sample::from(measured), alone: Sample::from(alone), resident })
}

/// What the mesh promises of its memory.
fn targets(ways: &[Way]) -> anyhow::Result<Vec<Target>> {
    let Some(weft) = ways.iter().find(|way| way.name == "weft") else { return Ok(Vec::new()) };
    let beside: Vec<u64> = weft.beside.iter().map(Process::resident).collect::<anyhow::Result<_>>()?;
    let largest = |sizes: &[u64]| sizes.iter().copied().max().unwrap_or(0);
    Ok(vec![
        Target { what: "an idle proxy", measured: largest(&weft.idle), under: 12 },
        Target { what: "the control plane", measured: largest(&beside), under: 40 },
    ])
}

/// Prints what came out, and writes it down for programs.
fn tell(
    settings: &Settings,
    machine: &Value,
    all: &[Series],
    targets: &[Target],
    envoy: Option<&str>,
) -> anyhow::Result<()> {
    let verdicts = report::verdicts(all);
    println!(
        "\nclient -> sidecar -> mTLS -> sidecar -> origin: {} bytes, {} runs of {} s in turns; medians\n\
         CPU-s are of both proxies per 100 000 requests; Envoy {}; {} CPUs, {}\n",
        settings.body,
        settings.runs,
        settings.each.as_secs_f64(),
        envoy.unwrap_or("not measured"),
        machine["cpus"],
        machine["cpu"].as_str().unwrap_or_default(),
    );
    println!("{}", report::table(all, settings.connections));
    let lines = verdicts.iter().map(report::Verdict::line).chain(targets.iter().map(Target::line));
    for line in lines {
        println!("  {line}");
    }
    for series in all.iter().filter(|series| series.failed() > 0) {
        let why = series.first_failure().unwrap_or_default();
        println!("  FAILED {} requests through {}; the first: {why}", series.failed(), series.way);
    }

    let report = json!({
        "machine": machine,
        "taken_unix": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        "envoy": envoy,
        "runs": settings.runs,
        "seconds_each": settings.each.as_secs_f64(),
        "connections": settings.connections,
        "body_bytes": settings.body,
        "ways": all.iter().map(Series::to_json).collect::<Vec<_>>(),
        "weft_of_envoy": verdicts.iter().map(report::Verdict::to_json).collect::<Vec<_>>(),
        "targets": targets.iter().map(Target::to_json).collect::<Vec<_>>(),
    });
    if let Some(folder) = settings.report.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(&settings.report, format!("{report:#}\n"))
        .with_context(|| format!("cannot write {}", settings.report.display()))?;
    println!("  everything: {}", settings.report.display());
    Ok(())
}

/// Between two measurements: what the one before has left to do is done.
const PAUSE: Duration = Duration::from_millis(200);
