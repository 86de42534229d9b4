//! Where the time of the mesh path goes: both sidecars under load, sampled by perf in user space and kernel, drawn as a
//! flame graph and told as a table.
//!
//! A sample belongs to the function that was running. What the compiler inlined into it is not told apart; for that
//! there is `make instructions`.

mod samples;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, ensure};
use weft_benches::calls::Calls;
use weft_benches::rig::{Rig, Under};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("profile: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let programs: PathBuf = said("PROGRAMS").unwrap_or_else(|| "target/profiling".to_owned()).into();
    let folder: PathBuf = said("FOLDER").unwrap_or_else(|| "target/profile".to_owned()).into();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let seconds = said("SECONDS_EACH").unwrap_or_else(|| "5".to_owned());
    let scratch = tempfile::tempdir().context("a folder for configurations and samples")?;
    let rig = Rig::start(&programs, Under::Nothing, BODY, scratch.path()).await?;
    for (name, host, http2, connections, streams) in
        [("mesh-h1", "api.shop", false, 64, 1), ("mesh-h2", "rpc.shop", true, 8, 16)]
    {
        let calls = Calls { entry: rig.entry, host, http2, connections, streams, body: BODY };
        let mut open = calls.open().await.with_context(|| format!("{name}: connecting"))?;
        open.make(WARM_UP).await.with_context(|| format!("{name}: warming up"))?;
        let recorded = scratch.path().join(name);
        let pids: Vec<String> = ["outbound", "inbound"]
            .iter()
            .filter_map(|side| rig.process(side))
            .map(|pid| pid.to_string())
            .collect();
        let mut perf = tokio::task::spawn_blocking({
            let (recorded, seconds) = (recorded.clone(), seconds.clone());
            move || record(&recorded, &pids.join(","), &seconds)
        });
        loop {
            tokio::select! {
                done = &mut perf => break done.context("perf")??,
                made = open.make(WARM_UP) => made.map(drop).with_context(|| name)?,
            }
        }
        let picture = folder.join(format!("{name}.svg"));
        let samples = samples::read(&recorded)?;
        samples.draw(&format!("{name}: both sidecars, user space and kernel"), &picture)?;
        println!(
            "{name}: share of both sidecars' CPU time, {} samples; {}",
            samples.count(),
            picture.display()
        );
        for (owner, share) in samples.shares() {
            println!("{share:>7.1} %  {owner}");
        }
        println!();
    }
    Ok(())
}

/// Samples both sidecars; their stacks are unwound from the debug information, for frame pointers are not kept.
fn record(to: &Path, pids: &str, seconds: &str) -> anyhow::Result<()> {
    let said = Command::new("perf")
        .args(["record", "--quiet", "--event", "cpu-clock", "--freq", "499", "--call-graph", "dwarf,32768"])
        .arg("--output")
        .arg(to)
        .args(["--pid", pids, "--", "sleep", seconds])
        .stdin(Stdio::null())
        .output()
        .context("cannot start perf")?;
    ensure!(said.status.success(), "perf: {}", String::from_utf8_lossy(&said.stderr).trim());
    Ok(())
}

fn said(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Bytes in each response.
const BODY: usize = 1024;
/// Requests before sampling begins, and between two looks at whether it has ended.
const WARM_UP: usize = 2000;
