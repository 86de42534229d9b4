//! What came out, as tables for people and as JSON for programs.

use std::fs;

use anyhow::Context;
use serde_json::json;

use crate::settings::Settings;
use crate::split::{Function, Split};
use weft_benches::owner::{OWNERS, is_clock};

/// One sidecar in one scenario.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    pub(crate) side: &'static str,
    pub(crate) split: Split,
}

/// Prints and writes all of it.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn tell(settings: &Settings, rows: &[Row]) -> anyhow::Result<()> {
    println!(
        "instructions a request, user space (callgrind); in brackets with what it allocates, copies, hashes and\n\
         searches"
    );
    print!("{:<30}", "");
    for row in rows {
        print!("{:>22}", format!("{} {}", row.scenario, row.side));
    }
    println!();
    for owner in OWNERS {
        if rows.iter().all(|row| row.split.owners.get(owner).is_none_or(|count| *count < 0.5)) {
            continue;
        }
        print!("{owner:<30}");
        for row in rows {
            let alone = row.split.owners.get(owner).copied().unwrap_or(0.0);
            let with = row.split.with_tools.get(owner).copied().unwrap_or(0.0);
            let share = 100.0 * alone / row.split.total.max(1.0);
            print!("{:>22}", format!("{alone:.0} {share:>4.1}% ({with:.0})"));
        }
        println!();
    }
    let line = |name: &str, of: &dyn Fn(&Split) -> f64| {
        print!("{name:<30}");
        for row in rows {
            print!("{:>22.1}", of(&row.split));
        }
        println!();
    };
    line("total", &|split| split.total);
    line("system calls", &|split| {
        split.system_calls.iter().filter(|call| !is_clock(&call.0)).map(|call| call.1).sum()
    });
    // Callgrind hides the page that the kernel shares, so reading a clock is a system call here, and only here.
    line("clock reads", &|split| {
        split.system_calls.iter().filter(|call| is_clock(&call.0)).map(|call| call.1).sum()
    });
    line("allocations", &|split| split.allocations);
    line("gate and guard", &|split| GATE.iter().filter_map(|owner| split.with_tools.get(owner)).sum());
    line("  per cent of it", &|split| {
        let gate: f64 = GATE.iter().filter_map(|owner| split.with_tools.get(owner)).sum();
        100.0 * gate / split.total.max(1.0)
    });
    println!();
    println!("stages, with all that they call");
    for (at, name) in rows.first().map(|row| &row.split.stages).into_iter().flatten().enumerate() {
        line(name.0, &|split| split.stages.get(at).map_or(0.0, |stage| stage.1));
    }
    for row in rows {
        let (heading, split) = (format!("{} {}", row.scenario, row.side), &row.split);
        println!("\n{heading}: functions, by what they carry out themselves");
        for function in split.functions.iter().take(settings.top) {
            println!("{:>9.0}  {:<14} {}", function.own, function.owner, function.name);
            for (caller, times, instructions) in function.callers.iter().take(CALLERS) {
                if *instructions > 100.0 {
                    println!("{:>25} {instructions:>6.0} in {times:.1} calls from {caller}", "");
                }
            }
        }
        println!("\n{heading}: files");
        for (name, count) in split.modules.iter().take(settings.top) {
            println!("{count:>9.0}  {name}");
        }
        println!("\n{heading}: who allocates");
        for (name, count) in split.allocators.iter().take(settings.top) {
            println!("{count:>9.2}  {name}");
        }
        println!("\n{heading}: who has header maps and URIs worked on, with all that takes");
        for (name, count) in split.headers.iter().take(settings.top) {
            println!("{count:>9.0}  {name}");
        }
        println!("\n{heading}: who reads a clock");
        for (name, count) in split.clocks.iter().take(settings.top) {
            println!("{count:>9.2}  {name}");
        }
        println!("\n{heading}: system calls");
        for (name, count) in split.system_calls.iter().take(CALLERS) {
            println!("{count:>9.2}  {name}");
        }
    }
    let report: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "scenario": row.scenario, "side": row.side, "instructions": row.split.total,
                "system_calls": row.split.system_calls, "allocations": row.split.allocations,
                "owners": row.split.owners, "with_tools": row.split.with_tools,
                "stages": row.split.stages,
                "functions": row.split.functions.iter().take(200).collect::<Vec<&Function>>(),
                "modules": row.split.modules.iter().take(200).collect::<Vec<_>>(),
            })
        })
        .collect();
    if let Some(folder) = settings.report.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(&settings.report, format!("{:#}\n", json!(report)))
        .with_context(|| format!("cannot write {}", settings.report.display()))
}

/// What reads the raw bytes beneath hyper, in both directions.
const GATE: [&str; 3] = ["weft gate", "weft gate::h1", "weft gate::h2"];

/// So many callers of a function are told.
const CALLERS: usize = 8;
