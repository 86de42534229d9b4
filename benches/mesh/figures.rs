//! From measurements to figures: medians over the runs, and ratios within a run.
//!
//! A shared machine is up to twice as slow a minute later. Two ways are therefore compared within one run, where
//! they stood next to each other, and the ratio shown is the median of those.

use std::time::Duration;

use serde_json::{Value, json};

use crate::load::Measured;

/// One way, measured once.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Of which run.
    pub(crate) run: u32,
    /// Under load.
    pub(crate) loaded: Sample,
    /// With one connection.
    pub(crate) alone: Sample,
    /// Memory of its proxies after the load, in bytes.
    pub(crate) resident: Vec<u64>,
}

/// What one measurement comes to.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Answered as they must be.
    pub(crate) requests: usize,
    /// Answered otherwise, or not at all.
    pub(crate) failed: u64,
    /// What was wrong with the first of them.
    pub(crate) first_failure: Option<String>,
    /// Answered requests per second.
    pub(crate) rate: f64,
    /// Half of them took no longer, in microseconds.
    pub(crate) p50: f64,
    /// 99 of 100 took no longer, in microseconds.
    pub(crate) p99: f64,
    /// CPU-seconds of all proxies per 100 000 answered requests.
    pub(crate) cpu: f64,
}

impl From<Measured> for Sample {
    fn from(measured: Measured) -> Self {
        let requests = measured.latencies.len();
        let per_request = |duration: Duration| duration.as_secs_f64() / requests.max(1) as f64;
        Self {
            requests,
            failed: measured.failed,
            rate: requests as f64 / measured.length.as_secs_f64().max(f64::EPSILON),
            p50: percentile(&measured.latencies, 50),
            p99: percentile(&measured.latencies, 99),
            cpu: per_request(measured.cpu) * 100_000.0,
            first_failure: measured.first_failure,
        }
    }
}

impl Sample {
    fn to_json(&self) -> Value {
        json!({
            "requests": self.requests,
            "failed": self.failed,
            "requests_per_second": self.rate,
            "p50_us": self.p50,
            "p99_us": self.p99,
            "cpu_seconds_per_100k": self.cpu,
        })
    }
}

/// One way over all runs.
#[derive(Debug)]
pub(crate) struct Series {
    /// As in the table.
    pub(crate) way: &'static str,
    /// How many proxies requests pass.
    pub(crate) proxies: usize,
    /// Memory of each proxy before its first request, in bytes.
    pub(crate) idle: Vec<u64>,
    /// In the order they were taken.
    pub(crate) turns: Vec<Turn>,
}

impl Series {
    /// The median over all runs.
    pub(crate) fn median(&self, figure: impl Fn(&Turn) -> f64) -> f64 {
        median(self.turns.iter().map(figure).collect())
    }

    /// The lowest of all runs.
    pub(crate) fn lowest(&self, figure: impl Fn(&Turn) -> f64) -> f64 {
        self.turns.iter().map(figure).fold(f64::INFINITY, f64::min)
    }

    /// The median of this way's figure by the other's in the same run; `None` where there is nothing to divide.
    pub(crate) fn ratio_to(&self, other: &Self, figure: impl Fn(&Turn) -> f64) -> Option<f64> {
        let same_run = |turn: &&Turn| other.turns.iter().find(|theirs| theirs.run == turn.run);
        let ratios: Vec<f64> = self
            .turns
            .iter()
            .filter_map(|turn| Some(figure(turn) / figure(same_run(&turn)?)))
            .filter(|ratio| ratio.is_finite())
            .collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }

    /// Requests that failed in any run.
    pub(crate) fn failed(&self) -> u64 {
        self.turns.iter().map(|turn| turn.loaded.failed + turn.alone.failed).sum()
    }

    /// What was wrong with the first of them.
    pub(crate) fn first_failure(&self) -> Option<&str> {
        self.turns
            .iter()
            .find_map(|turn| turn.loaded.first_failure.as_deref().or(turn.alone.first_failure.as_deref()))
    }

    /// Memory of all its proxies: before the first request, and the highest after a load. In bytes.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let highest = self.turns.iter().map(|turn| turn.resident.iter().sum()).max();
        (self.idle.iter().sum(), highest.unwrap_or(0))
    }

    /// Everything, for whoever draws it.
    pub(crate) fn to_json(&self) -> Value {
        let (idle, loaded) = self.memory();
        let turns: Vec<_> = self
            .turns
            .iter()
            .map(|turn| json!({ "run": turn.run, "loaded": turn.loaded.to_json(), "alone": turn.alone.to_json(), "resident_bytes": turn.resident }))
            .collect();
        json!({
            "way": self.way,
            "proxies": self.proxies,
            "requests_per_second": self.median(|turn| turn.loaded.rate),
            "p50_us": self.median(|turn| turn.loaded.p50),
            "p99_us": self.median(|turn| turn.loaded.p99),
            "cpu_seconds_per_100k": self.median(|turn| turn.loaded.cpu),
            "cpu_seconds_per_100k_best": self.lowest(|turn| turn.loaded.cpu),
            "alone_p50_us": self.median(|turn| turn.alone.p50),
            "alone_p99_us": self.median(|turn| turn.alone.p99),
            "alone_cpu_seconds_per_100k": self.median(|turn| turn.alone.cpu),
            "resident_idle_bytes": idle,
            "resident_loaded_bytes": loaded,
            "failed": self.failed(),
            "first_failure": self.first_failure(),
            "turns": turns,
        })
    }
}

/// Of sorted values; 0 of none.
fn percentile(sorted: &[u32], of_100: usize) -> f64 {
    let rank = (sorted.len() * of_100).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().map_or(0.0, f64::from)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(below), values.get(above)) {
        (Some(below), Some(above)) => f64::midpoint(*below, *above),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(run: u32, cpu: f64) -> Turn {
        let latencies = vec![10, 20, 30, 40];
        let sample = Sample { cpu, ..Measured { latencies, ..Measured::default() }.into() };
        Turn { run, loaded: sample.clone(), alone: sample, resident: vec![1, 2] }
    }

    fn series(way: &'static str, cpu: &[f64]) -> Series {
        let turns = cpu.iter().zip(1..).map(|(cpu, run)| turn(run, *cpu)).collect();
        Series { way, proxies: 2, idle: vec![1, 1], turns }
    }

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let hundred: Vec<u32> = (1..=100).collect();
        let cases: [(&[u32], usize, f64); 5] =
            [(&[], 50, 0.0), (&[7], 99, 7.0), (&[1, 2], 50, 1.0), (&hundred, 50, 50.0), (&hundred, 99, 99.0)];
        for (sorted, of_100, expected) in cases {
            assert_eq!(percentile(sorted, of_100), expected, "p{of_100} of {}", sorted.len());
        }
    }

    #[test]
    fn a_machine_that_slows_down_for_both_changes_no_ratio() {
        let (one, other) = (series("a", &[1.0, 4.0, 2.0]), series("b", &[2.0, 8.0, 4.0]));
        assert_eq!(one.ratio_to(&other, |turn| turn.loaded.cpu), Some(0.5));
        assert_eq!(one.median(|turn| turn.loaded.cpu), 2.0);
        assert_eq!(one.lowest(|turn| turn.loaded.cpu), 1.0);
    }

    #[test]
    fn what_has_no_proxies_has_no_ratio() {
        let (one, direct) = (series("a", &[1.0]), series("direct", &[0.0]));
        assert_eq!(one.ratio_to(&direct, |turn| turn.loaded.cpu), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_ones() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
