//! Figures that two others make, each pair from the same run: what a proxy adds to a latency, how a cost grows.

use super::{Scenario, Work};
use crate::figures::{Better, Figure, Results, Series};
use crate::way::Peer;

/// Adds those of `scenario`.
///
/// # Errors
/// If one cannot be.
pub(super) fn add(scenario: &Scenario, results: &mut Results) -> anyhow::Result<()> {
    let name = scenario.name;
    match scenario.work {
        Work::Open { .. } => {
            for metric in ["p50", "p99", "p99.9"] {
                let Some(direct) = results.find(name, Peer::Direct, metric).cloned() else { continue };
                // Of the median it is plain that a proxy adds to it; the tails belong to the machine as well, and the
                // difference of two of them is whatever it is.
                let kept: fn(&mut Results, &'static str, Peer, u32, Figure) -> anyhow::Result<()> =
                    if metric == "p50" { Results::add } else { Results::add_difference };
                for (peer, run, over) in pairs(
                    results,
                    name,
                    metric,
                    |series| (series.peer != Peer::Direct).then_some(&direct),
                    |us, direct| us - direct,
                ) {
                    let metric = format!("{metric}-over-direct");
                    kept(
                        results,
                        name,
                        peer,
                        run,
                        Figure { metric, unit: "us", better: Better::Less, value: over },
                    )?;
                }
            }
        }
        Work::Closed { .. } if scenario.about_metric == "cpu-growth" => {
            for peer in Peer::ALL {
                let (Some(first), Some(last)) = (scenario.variants.first(), scenario.variants.last()) else {
                    continue;
                };
                let (one, many) = (format!("cpu-{}", first.label), format!("cpu-{}", last.label));
                let Some(one) = results.find(name, peer, &one).cloned() else { continue };
                let grown = pairs(
                    results,
                    name,
                    &many,
                    |series| (series.peer == peer).then_some(&one),
                    |many, one| many / one,
                );
                for (peer, run, value) in grown {
                    let metric = "cpu-growth".to_owned();
                    results.add(
                        name,
                        peer,
                        run,
                        Figure { metric, unit: "x", better: Better::Less, value },
                    )?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Of each peer that has a counterpart, run by run.
fn pairs<'s>(
    results: &Results,
    scenario: &str,
    metric: &str,
    counterpart: impl Fn(&Series) -> Option<&'s Series>,
    make: impl Fn(f64, f64) -> f64,
) -> Vec<(Peer, u32, f64)> {
    let of_metric = results.of(scenario).filter(|series| series.metric == metric);
    let both = of_metric.filter_map(|series| Some((series, counterpart(series)?)));
    both.flat_map(|(series, other)| {
        series.paired(other).into_iter().map(|(run, a, b)| (series.peer, run, make(a, b))).collect::<Vec<_>>()
    })
    .collect()
}
