//! What can be set for a run: a handful of environment variables, with defaults that end in under three minutes.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, ensure};

/// One run of the rig.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Repetitions; in each, every way is measured once, beginning with another one.
    pub(crate) runs: u32,
    /// How long each measurement under load lasts. The one with a single connection lasts a third of it.
    pub(crate) each: Duration,
    /// Connections of the closed loop under load.
    pub(crate) connections: usize,
    /// Size of a response's body, in bytes.
    pub(crate) body: usize,
    /// The ways to measure; empty: all of them.
    pub(crate) ways: Vec<String>,
    /// The folder of `weft-proxy` and `weft-control-plane`.
    pub(crate) programs: PathBuf,
    /// An Envoy; `None`: it is left out, and the report says so.
    pub(crate) envoy: Option<PathBuf>,
    /// Where `mesh.json` goes.
    pub(crate) report: PathBuf,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        let settings = Self {
            runs: number("RUNS", 5)?,
            each: Duration::from_secs_f64(number("SECONDS_EACH", 4.0_f64)?.clamp(0.1, 600.0)),
            connections: number("CONNECTIONS", 64)?,
            body: number("BODY_BYTES", 1024)?,
            ways: said("WAYS").map(|ways| ways.split(',').map(str::to_owned).collect()).unwrap_or_default(),
            programs: said("PROGRAMS").map_or_else(beside_us, |dir| Ok(dir.into()))?,
            envoy: said("ENVOY").map(PathBuf::from),
            report: said("REPORT").unwrap_or_else(|| "target/bench/mesh.json".to_owned()).into(),
        };
        ensure!((1..=100).contains(&settings.runs), "RUNS is a number from 1 to 100");
        ensure!((1..=4096).contains(&settings.connections), "CONNECTIONS is a number from 1 to 4096");
        ensure!(settings.body <= 16 << 20, "BODY_BYTES is at most 16 MiB");
        Ok(settings)
    }

    /// Whether the way of this name is measured.
    pub(crate) fn wants(&self, way: &str) -> bool {
        self.ways.is_empty() || self.ways.iter().any(|wanted| wanted == way)
    }
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
