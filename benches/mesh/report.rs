//! What a person reads: a table for each scenario, where Weft stands beside each of the others, and whether it is as
//! cheap as it is to be. A figure that is worse is printed like one that is better.

use std::fmt::Write as _;

use crate::figures::{Better, Results, Series, rounded};
use crate::scenario::Scenario;
use crate::targets;
use crate::way::Peer;

/// All that is to be said of a scenario.
pub(crate) fn section(scenario: &Scenario, results: &Results, peers: &[Peer]) -> String {
    let mut text = format!("{}: {}\n\n", scenario.name, scenario.about);
    for metrics in metrics(scenario, results).chunks(COLUMNS) {
        table(&mut text, scenario, results, peers, metrics);
        text.push('\n');
    }
    for missing in results.missing(scenario.name) {
        let variant = if missing.variant.is_empty() { "" } else { ", " };
        let _ = writeln!(
            text,
            "  {:8} not measured{variant}{}: {}",
            missing.peer.name(),
            missing.variant,
            missing.why
        );
    }
    for line in verdicts(scenario, results).chain(targets::lines(scenario.name, results)) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// A column for each of `metrics`, a row for each peer that has one of them.
fn table(text: &mut String, scenario: &Scenario, results: &Results, peers: &[Peer], metrics: &[&Series]) {
    let _ = write!(text, "  {:8}", "");
    for series in metrics {
        let _ = write!(text, " | {:>27}", format!("{} {}", series.metric, series.unit));
    }
    text.push('\n');
    for peer in peers {
        let cells: Vec<_> =
            metrics.iter().map(|series| results.find(scenario.name, *peer, &series.metric)).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let _ = write!(text, "  {:8}", peer.name());
        for series in cells {
            let cell = series.map_or_else(|| format!("-{:9}", ""), |series| cell(series, results));
            let _ = write!(text, " | {cell:>27}");
        }
        text.push('\n');
    }
}

/// Median, best, and the ratio to Envoy.
fn cell(series: &Series, results: &Results) -> String {
    let ratio = results.ratio_to_envoy(series).map_or(String::new(), |ratio| format!("{ratio:.2}x"));
    format!("{} [{}] {ratio:>8}", rounded(series.median()), rounded(series.best()))
}

/// As many metrics stand beside each other.
const COLUMNS: usize = 4;

/// One series of each metric, the one first that the scenario is about.
fn metrics<'r>(scenario: &Scenario, results: &'r Results) -> Vec<&'r Series> {
    let mut metrics: Vec<&Series> = Vec::new();
    for series in results.of(scenario.name) {
        if !metrics.iter().any(|known| known.metric == series.metric) {
            metrics.push(series);
        }
    }
    metrics.sort_by_key(|series| series.metric != scenario.about_metric);
    metrics
}

/// Weft beside each of the others, in what the scenario is about: a metric, or all of its variants.
fn verdicts<'r>(scenario: &Scenario, results: &'r Results) -> impl Iterator<Item = String> + 'r {
    let about = scenario.about_metric.split('-').next().unwrap_or_default().to_owned();
    let name = scenario.name;
    let of_weft = results.of(name).filter(move |series| {
        let same = series.metric == about || series.metric.starts_with(&format!("{about}-"));
        series.peer == Peer::Weft && (same || name == "idle-connections")
    });
    of_weft.flat_map(move |weft| {
        let others = [Peer::Envoy, Peer::Haproxy, Peer::Nginx].into_iter();
        others.filter_map(move |peer| {
            let ratio = weft.ratio_to(results.find(name, peer, &weft.metric)?)?;
            let word = word(ratio, weft.better);
            Some(format!("{word:6} {:16} {ratio:.2} of {}'s", weft.metric, peer.name()))
        })
    })
}

/// In one word. Less than 15 % is not told apart on a machine that others use too.
fn word(ratio: f64, better: Better) -> &'static str {
    let ratio = match better {
        Better::Less => ratio,
        Better::More => 1.0 / ratio,
    };
    if ratio < 0.85 {
        "better"
    } else if ratio > 1.0 / 0.85 {
        "WORSE"
    } else {
        "level"
    }
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
        for (ratio, better, expected) in cases {
            assert_eq!(word(ratio, better), expected, "{ratio} {better:?}");
        }
    }
}
