//! From measurements to figures: medians over the runs, and ratios within a run.
//!
//! A shared machine is up to twice as slow a minute later. Two peers are therefore compared within one run, where they
//! stood next to each other, and the ratio shown is the median of those. A figure that cannot be ends the run.

use std::fmt;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::way::Peer;

/// Which way a figure is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Less,
    More,
}

/// One, of one turn.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) metric: String,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) value: f64,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.metric, rounded(self.value), self.unit)
    }
}

/// Three digits that say something.
pub(crate) fn rounded(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// One metric of one peer over all runs.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) scenario: &'static str,
    pub(crate) peer: Peer,
    pub(crate) metric: String,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    /// A difference may be nothing, or less: it has no ratio.
    is_difference: bool,
    /// With the run that each belongs to.
    values: Vec<(u32, f64)>,
}

impl Series {
    /// The median over all runs.
    pub(crate) fn median(&self) -> f64 {
        median(self.values.iter().map(|(_, value)| *value).collect())
    }

    /// The best of all runs.
    pub(crate) fn best(&self) -> f64 {
        let values = self.values.iter().map(|(_, value)| *value);
        match self.better {
            Better::Less => values.fold(f64::INFINITY, f64::min),
            Better::More => values.fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// This one's and the other's value of each run that both have.
    pub(crate) fn paired(&self, other: &Self) -> Vec<(u32, f64, f64)> {
        let theirs = |run| other.values.iter().find(|(theirs, _)| *theirs == run);
        self.values.iter().filter_map(|(run, ours)| Some((*run, *ours, theirs(*run)?.1))).collect()
    }

    /// The median of this one's values by the other's of the same run; `None` where there is nothing to divide.
    pub(crate) fn ratio_to(&self, other: &Self) -> Option<f64> {
        let ratios: Vec<f64> =
            self.paired(other).into_iter().map(|(_, ours, theirs)| ours / theirs).collect();
        (!ratios.is_empty() && !self.is_difference).then(|| median(ratios))
    }
}

/// A peer that was not measured, and why.
#[derive(Clone, Debug)]
pub(crate) struct Missing {
    pub(crate) scenario: &'static str,
    pub(crate) peer: Peer,
    /// Of which variant; empty: the only one.
    pub(crate) variant: &'static str,
    pub(crate) why: String,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Results {
    all: Vec<Series>,
    missing: Vec<Missing>,
}

impl Results {
    /// Adds a figure of a turn.
    ///
    /// # Errors
    /// If it is zero, negative or no number.
    pub(crate) fn add(
        &mut self,
        scenario: &'static str,
        peer: Peer,
        run: u32,
        figure: Figure,
    ) -> anyhow::Result<()> {
        ensure!(
            figure.value > 0.0 && figure.value.is_finite(),
            "{scenario}: {} of {} cannot be {}; nothing of this run is to be believed",
            figure.metric,
            peer.name(),
            figure.value
        );
        self.put(scenario, peer, run, figure, false);
        Ok(())
    }

    /// Adds a difference, which may be anything.
    ///
    /// # Errors
    /// If it is no number.
    pub(crate) fn add_difference(
        &mut self,
        scenario: &'static str,
        peer: Peer,
        run: u32,
        figure: Figure,
    ) -> anyhow::Result<()> {
        ensure!(figure.value.is_finite(), "{scenario}: {} of {} is no number", figure.metric, peer.name());
        self.put(scenario, peer, run, figure, true);
        Ok(())
    }

    fn put(&mut self, scenario: &'static str, peer: Peer, run: u32, figure: Figure, is_difference: bool) {
        let Figure { metric, unit, better, value } = figure;
        let same = |series: &&mut Series| {
            series.scenario == scenario && series.peer == peer && series.metric == metric
        };
        if let Some(series) = self.all.iter_mut().find(same) {
            series.values.push((run, value));
        } else {
            let values = vec![(run, value)];
            self.all.push(Series { scenario, peer, metric, unit, better, is_difference, values });
        }
    }

    /// Notes that a peer was not measured.
    pub(crate) fn miss(&mut self, scenario: &'static str, peer: Peer, variant: &'static str, why: &str) {
        self.missing.push(Missing { scenario, peer, variant, why: why.to_owned() });
    }

    /// Whether every figure of a scenario stands in a ratio to Envoy's that two programs can have.
    ///
    /// # Errors
    /// If one is more than 50 times the other.
    pub(crate) fn check_against_envoy(&self, scenario: &str) -> anyhow::Result<()> {
        for series in self.of(scenario) {
            // How fast a machine is without proxies says nothing about them.
            let Some(ratio) = self.ratio_to_envoy(series).filter(|_| series.peer != Peer::Direct) else {
                continue;
            };
            ensure!(
                (1.0 / FARTHEST..=FARTHEST).contains(&ratio),
                "{scenario}: {} of {} is {ratio} of Envoy's; nothing of this run is to be believed",
                series.metric,
                series.peer.name()
            );
        }
        Ok(())
    }

    /// By Envoy's, where Envoy was measured.
    pub(crate) fn ratio_to_envoy(&self, series: &Series) -> Option<f64> {
        series.ratio_to(self.find(series.scenario, Peer::Envoy, &series.metric)?)
    }

    /// One of them.
    pub(crate) fn find(&self, scenario: &str, peer: Peer, metric: &str) -> Option<&Series> {
        self.of(scenario).find(|series| series.peer == peer && series.metric == metric)
    }

    /// Those of a scenario.
    pub(crate) fn of(&self, scenario: &str) -> impl Iterator<Item = &Series> {
        self.all.iter().filter(move |series| series.scenario == scenario)
    }

    /// Who was not measured in a scenario.
    pub(crate) fn missing(&self, scenario: &str) -> impl Iterator<Item = &Missing> {
        self.missing.iter().filter(move |missing| missing.scenario == scenario)
    }

    /// A row for each metric of each peer, and one for each that was not measured.
    pub(crate) fn to_json(&self) -> Value {
        let measured = self.all.iter().map(|series| {
            json!({
                "scenario": series.scenario,
                "peer": series.peer.name(),
                "metric": series.metric,
                "unit": series.unit,
                "median": series.median(),
                "best": series.best(),
                "runs": series.values.len(),
                "ratio_vs_envoy": self.ratio_to_envoy(series),
            })
        });
        let missing = self.missing.iter().map(|missing| {
            let variant = (!missing.variant.is_empty()).then_some(missing.variant);
            json!({
                "scenario": missing.scenario,
                "peer": missing.peer.name(),
                "metric": variant,
                "unit": null,
                "median": null,
                "best": null,
                "runs": 0,
                "ratio_vs_envoy": null,
                "not_measured": missing.why,
            })
        });
        measured.chain(missing).collect()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(below), values.get(above)) {
        (Some(below), Some(above)) => f64::midpoint(*below, *above),
        _ => 0.0,
    }
}

/// No two proxies differ by more in anything that is measured here.
const FARTHEST: f64 = 50.0;

#[cfg(test)]
mod tests;
