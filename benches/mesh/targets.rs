//! What the mesh is to cost at most, and what it aims at: ratios to Envoy where it was measured too, or figures.

use crate::figures::{Results, rounded};
use crate::way::Peer;

/// A figure that Weft is to stay at or under.
#[derive(Debug)]
struct Target {
    scenario: &'static str,
    metric: &'static str,
    to: To,
    at_most: f64,
    aim: f64,
}

/// What a target compares with.
#[derive(Clone, Copy, Debug)]
enum To {
    /// Envoy, in the same run.
    Envoy,
    /// Another metric of Envoy's, in the same run.
    EnvoyIn(&'static str),
    /// Nothing: the figure itself counts.
    Nothing,
}

const fn target(scenario: &'static str, metric: &'static str, to: To, at_most: f64, aim: f64) -> Target {
    Target { scenario, metric, to, at_most, aim }
}

/// All of them.
const TARGETS: &[Target] = &[
    target("one-h1-1k", "cpu", To::Envoy, 0.36, 0.28),
    target("mesh-h1-1k", "cpu", To::Envoy, 0.38, 0.23),
    target("mesh-h2-1k", "cpu", To::Envoy, 0.42, 0.18),
    target("mesh-h1-64k", "cpu", To::Envoy, 0.60, 0.50),
    target("mesh-tcp", "cpu", To::Envoy, 0.72, 0.60),
    target("mesh-handshake", "cpu", To::Envoy, 0.85, 0.70),
    target("mesh-handshake", "cpu-resumed", To::EnvoyIn("cpu"), 0.35, 0.35),
    target("mesh-latency-2k", "p50-over-direct", To::Envoy, 0.48, 0.30),
    target("idle-memory", "resident", To::Nothing, 10.0, 6.0),
    target("loaded-memory", "resident", To::Nothing, 30.0, 20.0),
    target("idle-connections", "plaintext", To::Nothing, 8.0, 4.0),
    target("idle-connections", "mtls", To::Nothing, 24.0, 12.0),
    target("routes-10k", "cpu-growth", To::Nothing, 1.10, 1.03),
];

/// How Weft stands to those of a scenario, a line each.
pub(crate) fn lines<'r>(scenario: &'r str, results: &'r Results) -> impl Iterator<Item = String> + 'r {
    TARGETS.iter().filter(move |target| target.scenario == scenario).filter_map(|target| target.line(results))
}

impl Target {
    fn line(&self, results: &Results) -> Option<String> {
        let weft = results.find(self.scenario, Peer::Weft, self.metric)?;
        let envoy = |metric| results.find(self.scenario, Peer::Envoy, metric);
        let (value, unit) = match self.to {
            To::Envoy => (results.ratio_to_envoy(weft)?, "of envoy's"),
            To::EnvoyIn(metric) => (weft.ratio_to(envoy(metric)?)?, "of envoy's full one"),
            To::Nothing => (weft.median(), weft.unit),
        };
        let (word, value) =
            (self.word(value), if value < 10.0 { format!("{value:.3}") } else { rounded(value) });
        let (at_most, aim) = (self.at_most, self.aim);
        Some(format!("{word:6} {:16} {value} {unit}; at most {at_most}, aim {aim}", self.metric))
    }

    fn word(&self, value: f64) -> &'static str {
        if value <= self.aim {
            "aim"
        } else if value <= self.at_most {
            "met"
        } else {
            "MISSED"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_missed_by_the_least_bit() {
        let target = target("it", "cpu", To::Nothing, 0.5, 0.25);
        let cases = [(0.25, "aim"), (0.26, "met"), (0.5, "met"), (0.501, "MISSED"), (f64::NAN, "MISSED")];
        for (value, word) in cases {
            assert_eq!(target.word(value), word, "{value}");
        }
    }
}
