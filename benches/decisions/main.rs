//! What a decision costs in instructions, held against what is written down: a figure that depends on neither the
//! machine nor who else is on it, so a regression of a few per cent shows.
//!
//! It runs itself under callgrind once for each case. Compilers differ, so the figures name theirs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use weft_benches::cases;

/// What is written down.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Baseline {
    /// `rustc --version`
    compiler: String,
    /// Instructions, by case.
    instructions: BTreeMap<String, u64>,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.as_slice() {
        [word, case, times] if word == "carry-out" => carry_out(case, times).map(|()| true),
        [word, baseline] if word == "check" => check(Path::new(baseline), false),
        [word, baseline] if word == "write" => check(Path::new(baseline), true),
        _ => Err(anyhow::anyhow!("say `check FILE` or `write FILE`")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("decisions: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What runs under callgrind.
fn carry_out(name: &str, times: &str) -> anyhow::Result<()> {
    let times: u32 = times.parse().context("how often?")?;
    let found = cases::all().into_iter().find(|(known, _)| known == name);
    let (name, make) = found.with_context(|| format!("there is no {name}"))?;
    let mut case = make(name);
    for _ in 0..times {
        case.carry_out();
    }
    Ok(())
}

/// Counts everything and says whether it is within bounds.
fn check(path: &Path, write: bool) -> anyhow::Result<bool> {
    let scratch = tempfile::tempdir().context("a folder for counts")?;
    let known: Baseline = match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{}", path.display()))?,
        Err(_) if write => Baseline::default(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let compiler = compiler();
    println!("instructions, counted by callgrind; built by {compiler}");
    if compiler != known.compiler && !write {
        println!("  what is written down is of {}: what differs may be the compiler's doing", known.compiler);
    }
    println!("{:<26}{:>12}{:>12}{:>9}", "", "now", "written", "");
    let (mut now, mut within) = (BTreeMap::new(), true);
    for (name, _) in cases::all() {
        let counted = count(&name, scratch.path())?;
        let verdict = match known.instructions.get(&name) {
            Some(written) => {
                let percent = percent(counted, *written);
                let more = percent > TOLERANCE;
                within &= !more;
                let said = if more {
                    "MORE"
                } else if percent < -TOLERANCE {
                    "less"
                } else {
                    ""
                };
                format!("{written:>12}{percent:>+8.1}% {said}")
            }
            None => format!("{:>12}", "-"),
        };
        println!("{name:<26}{counted:>12}{verdict}");
        now.insert(name, counted);
    }
    if write {
        let text = serde_json::to_string_pretty(&Baseline { compiler, instructions: now })?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        println!("written to {}", path.display());
        return Ok(true);
    }
    if !within {
        println!(
            "more than {TOLERANCE} % above what is written down: make it cheaper, or say why with WRITE=1"
        );
    }
    Ok(within)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn percent(now: u64, written: u64) -> f64 {
    100.0 * (now as f64 / written.max(1) as f64 - 1.0)
}

/// Instructions of one time.
fn count(name: &str, scratch: &Path) -> anyhow::Result<u64> {
    let us = std::env::current_exe().context("cannot find our own program")?;
    let out = scratch.join("counted");
    let said = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*cases*Case*carry_out*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(us)
        .args(["carry-out", name, &TIMES.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("cannot start valgrind")?;
    ensure!(said.status.success(), "{name}: {}", String::from_utf8_lossy(&said.stderr));
    let written = fs::read_to_string(&out).context("callgrind wrote nothing")?;
    let total = written
        .lines()
        .find_map(|line| line.strip_prefix("summary:").or_else(|| line.strip_prefix("totals:")))
        .and_then(|counts| counts.split_whitespace().next()?.parse::<u64>().ok())
        .filter(|total| *total > 0);
    Ok(total.with_context(|| format!("{name}: callgrind counted nothing"))? / u64::from(TIMES))
}

fn compiler() -> String {
    let said = Command::new("rustc").arg("--version").output();
    said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()).unwrap_or_default()
}

/// So often each case is carried out.
const TIMES: u32 = 200;
/// In per cent. Hash maps have another seed in each process, which moves these figures by less than one.
const TOLERANCE: f64 = 3.0;
