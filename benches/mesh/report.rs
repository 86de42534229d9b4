//! What a person reads: one table, where Weft stands beside the others, and whether it is as small as it should be.
//! A figure that is worse than Envoy's is printed like one that is better.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::figures::{Series, Turn};

/// The table, a row for each way.
pub(crate) fn table(all: &[Series], connections: usize) -> String {
    let envoy = all.iter().find(|series| series.way == "envoy");
    let mut text = format!(
        "{:8} | {:^43} | {:^19} | {:^17} |\n",
        "",
        format!("{connections} connections"),
        "1 connection",
        "memory of proxies",
    );
    let _ = writeln!(
        text,
        "{:8} | {:>7} {:>7} {:>7}  {:>10} {:>8} | {:>6} {:>6} {:>5} | {:>7} {:>9} | {:>6}",
        "way",
        "req/s",
        "p50 us",
        "p99 us",
        "CPU-s/100k",
        "of Envoy",
        "p50 us",
        "p99 us",
        "CPU-s",
        "idle MB",
        "loaded MB",
        "failed"
    );
    for series in all {
        let cpu = |figure: f64, decimals: usize| match series.proxies {
            0 => "-".to_owned(),
            _ => format!("{figure:.decimals$}"),
        };
        let of_envoy = envoy.and_then(|envoy| series.ratio_to(envoy, |turn| turn.loaded.cpu));
        let (idle, loaded) = series.memory();
        let memory = |bytes: u64| {
            if series.proxies == 0 { "-".to_owned() } else { format!("{:.1}", megabytes(bytes)) }
        };
        let _ = writeln!(
            text,
            "{:8} | {:>7.0} {:>7.0} {:>7.0}  {:>10} {:>8} | {:>6.0} {:>6.0} {:>5} | {:>7} {:>9} | {:>6}",
            series.way,
            series.median(|turn| turn.loaded.rate),
            series.median(|turn| turn.loaded.p50),
            series.median(|turn| turn.loaded.p99),
            cpu(series.median(|turn| turn.loaded.cpu), 2),
            of_envoy
                .filter(|_| series.proxies > 0)
                .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            series.median(|turn| turn.alone.p50),
            series.median(|turn| turn.alone.p99),
            cpu(series.median(|turn| turn.alone.cpu), 1),
            memory(idle),
            memory(loaded),
            series.failed(),
        );
    }
    text
}

/// Weft beside Envoy, a line for each figure; empty where one of the two was not measured.
pub(crate) fn verdicts(all: &[Series]) -> Vec<Verdict> {
    let find = |way: &str| all.iter().find(|series| series.way == way);
    let (Some(weft), Some(envoy)) = (find("weft"), find("envoy")) else { return Vec::new() };
    let figures: [(&'static str, Figure, Better); 7] = [
        ("CPU per request under load", |turn| turn.loaded.cpu, Better::Less),
        ("requests per second", |turn| turn.loaded.rate, Better::More),
        ("p50 under load", |turn| turn.loaded.p50, Better::Less),
        ("p99 under load", |turn| turn.loaded.p99, Better::Less),
        ("p50 of one connection", |turn| turn.alone.p50, Better::Less),
        ("p99 of one connection", |turn| turn.alone.p99, Better::Less),
        ("memory under load", |turn| turn.resident.iter().sum::<u64>() as f64, Better::Less),
    ];
    let verdict = |(what, figure, better): (_, Figure, _)| {
        Some(Verdict { what, ratio: weft.ratio_to(envoy, figure)?, better })
    };
    figures.into_iter().filter_map(verdict).collect()
}

type Figure = fn(&Turn) -> f64;

/// Which way a figure is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Less,
    More,
}

/// One figure of Weft's by Envoy's.
#[derive(Debug)]
pub(crate) struct Verdict {
    what: &'static str,
    ratio: f64,
    better: Better,
}

impl Verdict {
    /// In one word. Less than 15 % is not told apart on a machine that others use too.
    const fn word(&self) -> &'static str {
        let ratio = match self.better {
            Better::Less => self.ratio,
            Better::More => 1.0 / self.ratio,
        };
        if ratio < 0.85 {
            "better"
        } else if ratio > 1.0 / 0.85 {
            "WORSE"
        } else {
            "level"
        }
    }

    /// As a line.
    pub(crate) fn line(&self) -> String {
        format!("{:6} {:28} {:.2} of Envoy's", self.word(), self.what, self.ratio)
    }

    /// For whoever draws it.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "what": self.what, "of_envoy": self.ratio, "verdict": self.word() })
    }
}

/// A figure that the mesh is to stay under.
#[derive(Debug)]
pub(crate) struct Target {
    /// Of what.
    pub(crate) what: &'static str,
    /// In bytes.
    pub(crate) measured: u64,
    /// In megabytes of 10^6 bytes.
    pub(crate) under: u64,
}

impl Target {
    const fn is_met(&self) -> bool {
        self.measured < self.under * 1_000_000
    }

    /// As a line.
    pub(crate) fn line(&self) -> String {
        let word = if self.is_met() { "met" } else { "MISSED" };
        format!("{word:6} {:28} {:.1} MB, to be under {} MB", self.what, megabytes(self.measured), self.under)
    }

    /// For whoever draws it.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "what": self.what, "bytes": self.measured, "under_bytes": self.under * 1_000_000, "met": self.is_met() })
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_is_said_as_plainly_as_better() {
        let cases = [
            (0.50, Better::Less, "better"),
            (0.95, Better::Less, "level"),
            (1.30, Better::Less, "WORSE"),
            (1.30, Better::More, "better"),
            (0.50, Better::More, "WORSE"),
        ];
        for (ratio, better, word) in cases {
            assert_eq!(Verdict { what: "it", ratio, better }.word(), word, "{ratio} {better:?}");
        }
    }

    #[test]
    fn a_target_is_missed_by_one_byte() {
        let target = |measured| Target { what: "it", measured, under: 12 };
        assert!(target(11_999_999).line().starts_with("met"));
        assert!(target(12_000_000).line().starts_with("MISSED"));
    }
}
