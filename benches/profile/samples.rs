//! What perf has recorded: stacks with counts, drawn, and added up by whose code was running.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use inferno::collapse::Collapse;
use inferno::collapse::perf::{Folder, Options};
use inferno::flamegraph;
use weft_benches::owner;

/// Stacks, outermost function first, and how often each was seen.
#[derive(Debug)]
pub(crate) struct Samples(Vec<(Vec<String>, u64)>);

/// Reads what was recorded.
///
/// # Errors
/// If perf cannot read it either, or nothing was recorded.
pub(crate) fn read(recorded: &Path) -> anyhow::Result<Samples> {
    let mut perf = Command::new("perf")
        .args(["script", "--no-inline", "--fields", "comm,pid,tid,time,event,ip,sym,dso", "--input"])
        .arg(recorded)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start perf")?;
    let lines = BufReader::new(perf.stdout.take().context("perf says nothing")?);
    let mut options = Options::default();
    options.annotate_kernel = true;
    let mut folded = Vec::new();
    Folder::from(options).collapse(lines, &mut folded).context("perf's words are not understood")?;
    ensure!(perf.wait()?.success(), "perf cannot read what it has recorded");
    let samples = parse(&String::from_utf8_lossy(&folded));
    ensure!(samples.count() > 0, "nothing was recorded");
    Ok(samples)
}

/// `outer;inner 7`, a line a stack.
fn parse(folded: &str) -> Samples {
    let stack = |line: &str| {
        let (frames, count) = line.rsplit_once(' ')?;
        Some((frames.split(';').map(readable).collect(), count.parse().ok()?))
    };
    Samples(folded.lines().filter_map(stack).collect())
}

/// Demangled where perf did not do that.
fn readable(frame: &str) -> String {
    let mangled = frame.strip_suffix("_[k]").unwrap_or(frame);
    let name = addr2line::demangle_auto(mangled.into(), None).into_owned();
    if mangled.len() == frame.len() { name } else { frame.to_owned() }
}

impl Samples {
    /// How many were taken.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Draws them as a flame graph.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn draw(&self, title: &str, to: &Path) -> anyhow::Result<()> {
        let lines: Vec<String> = self
            .0
            .iter()
            .map(|(frames, count)| {
                let frames: Vec<String> = frames.iter().map(|frame| owner::plain(frame)).collect();
                format!("{} {count}", frames.join(";"))
            })
            .collect();
        let mut options = flamegraph::Options::default();
        options.title = title.to_owned();
        options.count_name = "samples".to_owned();
        options.colors = flamegraph::color::Palette::Multi(flamegraph::color::MultiPalette::Rust);
        let file = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
        flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), BufWriter::new(file))
            .with_context(|| format!("cannot draw {}", to.display()))
    }

    /// Per cent by whose function was running; the largest first.
    pub(crate) fn shares(&self) -> Vec<(&'static str, f64)> {
        let mut all = BTreeMap::<&'static str, u64>::new();
        for (frames, count) in &self.0 {
            *all.entry(frames.last().map_or("other", |leaf| of_leaf(leaf))).or_default() += count;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let share = |count: u64| 100.0 * count as f64 / self.count().max(1) as f64;
        let mut all: Vec<_> = all.into_iter().map(|(owner, count)| (owner, share(count))).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all
    }
}

/// Whose function this is. What a function is generic over says nothing, unless there is nothing else to go by.
fn of_leaf(symbol: &str) -> &'static str {
    if symbol.ends_with("_[k]") {
        return "kernel";
    }
    let alone = owner::of_symbol(&owner::plain(symbol));
    match (alone, symbol.contains("::")) {
        ("std", _) => owner::of_symbol(symbol),
        ("other", false) => owner::of_library(symbol),
        _ => alone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_belongs_to_the_function_that_was_running() {
        let folded = "\
weft;main;tokio::runtime::park;[unknown];do_syscall_64_[k];tcp_sendmsg_[k] 5
weft;main;<hyper::proto::h1::Dispatcher<weft_proxy::Body> as Future>::poll 3
weft;main;core::ptr::drop_in_place<h2::frame::Frame> 1
weft;main;_int_free 1
";
        let samples = parse(folded);
        assert_eq!(samples.count(), 10);
        assert_eq!(samples.shares(), [("kernel", 50.0), ("hyper", 30.0), ("h2", 10.0), ("malloc", 10.0)]);
    }
}
