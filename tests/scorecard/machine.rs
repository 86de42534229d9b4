//! Where and when: a figure is one of a machine.

use std::fs;
use std::process::Command;

/// Today.
pub(crate) fn date() -> String {
    said("date", &["-u", "+%Y-%m-%d"])
}

/// What is checked out.
pub(crate) fn commit() -> String {
    said("git", &["rev-parse", "--short", "HEAD"])
}

/// Processor, memory, system and compiler, in a few words.
pub(crate) fn words() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpu = line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let memory = line_of("/proc/meminfo", "MemTotal")
        .and_then(|line| line.split(' ').next()?.parse::<u64>().ok())
        .map_or_else(String::new, |kib| format!(", {} GiB of memory", kib / (1 << 20)));
    format!(
        "{cores} cores ({cpu}){memory}, {} {}, {}",
        said("uname", &["-s"]),
        said("uname", &["-r"]),
        said("rustc", &["--version"]),
    )
}

fn line_of(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn said(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map_or_else(|_| "?".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
