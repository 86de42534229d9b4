//! What can be set for a run: a handful of environment variables, with defaults that measure everything.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::scenario::{self, Scenario};
use crate::way::Peer;

/// One run of the rig.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What is measured, in the order of the table.
    pub(crate) scenarios: Vec<&'static Scenario>,
    /// Who is measured, in the order of the table.
    pub(crate) peers: Vec<Peer>,
    /// Repetitions; in each, every way is measured once, beginning with another one.
    pub(crate) runs: u32,
    /// How long each measurement under load lasts.
    pub(crate) each: Duration,
    /// The folder of `weft-proxy` and `weft-control-plane`.
    pub(crate) programs: PathBuf,
    /// The folder of `floor`.
    pub(crate) floor: PathBuf,
    /// Where the peers are, if not on the `PATH`.
    pub(crate) envoy: PathBuf,
    pub(crate) haproxy: PathBuf,
    pub(crate) nginx: PathBuf,
    /// The folder that `peers.json` and the table go to.
    pub(crate) report: PathBuf,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        let settings = Self {
            scenarios: chosen("SCENARIOS", scenario::ALL.iter().collect(), |scenario| scenario.name)?,
            peers: chosen("PEERS", Peer::ALL.to_vec(), |peer| peer.name())?,
            runs: number("RUNS", 5)?,
            each: Duration::from_secs_f64(number("SECONDS_EACH", 4.0_f64)?.clamp(0.1, 600.0)),
            programs: said("PROGRAMS").map_or_else(beside_us, |dir| Ok(dir.into()))?,
            floor: beside_us()?,
            envoy: said("ENVOY").unwrap_or_else(|| "envoy".to_owned()).into(),
            haproxy: said("HAPROXY").unwrap_or_else(|| "haproxy".to_owned()).into(),
            nginx: said("NGINX").unwrap_or_else(|| "nginx".to_owned()).into(),
            report: said("REPORT").unwrap_or_else(|| "target/bench".to_owned()).into(),
        };
        ensure!((1..=100).contains(&settings.runs), "RUNS is a number from 1 to 100");
        Ok(settings)
    }
}

/// Those of `all` that the variable names, with commas between; all of them if it names none.
fn chosen<T: Clone>(
    variable: &str,
    all: Vec<T>,
    name: impl Fn(&T) -> &'static str,
) -> anyhow::Result<Vec<T>> {
    let Some(wanted) = said(variable) else { return Ok(all) };
    let names = || all.iter().map(&name).collect::<Vec<_>>().join(", ");
    for wanted in wanted.split(',') {
        ensure!(all.iter().any(|one| name(one) == wanted), "{variable}={wanted} is none of {}", names());
    }
    Ok(all.iter().filter(|one| wanted.split(',').any(|wanted| wanted == name(one))).cloned().collect())
}

fn said(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number<N: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    name: &str,
    or: N,
) -> anyhow::Result<N> {
    said(name).map_or(Ok(or), |value| value.parse().with_context(|| format!("{name}={value} is no number")))
}

/// Cargo puts all programs of one profile into one folder.
fn beside_us() -> anyhow::Result<PathBuf> {
    let us = std::env::current_exe().context("cannot find our own program")?;
    Ok(us.parent().context("our own program is in no folder")?.to_owned())
}
