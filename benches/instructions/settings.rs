//! What can be set for a count: a handful of environment variables.

use std::path::PathBuf;

use anyhow::{Context, ensure};

/// One run of the program.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Requests that count, in each scenario.
    pub(crate) requests: usize,
    /// Requests before them.
    pub(crate) warm_up: usize,
    /// Connections of the client.
    pub(crate) connections: usize,
    /// Requests at once on each of them, with HTTP/2.
    pub(crate) streams: usize,
    /// Size of a response's body, in bytes.
    pub(crate) body: usize,
    /// Rows in the table of functions.
    pub(crate) top: usize,
    /// The folder of `weft-proxy` and `weft-control-plane`.
    pub(crate) programs: PathBuf,
    /// Where the figures go.
    pub(crate) report: PathBuf,
    wanted: Vec<String>,
}

/// A kind of request, and the sidecars it passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// As in the table.
    pub(crate) name: &'static str,
    /// Whom the client asks for.
    pub(crate) host: &'static str,
    /// Whether the client speaks HTTP/2.
    pub(crate) http2: bool,
    /// The sidecars that are counted.
    pub(crate) sides: &'static [&'static str],
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "one-h1", host: "plain.shop", http2: false, sides: &["outbound"] },
    Scenario { name: "mesh-h1", host: "api.shop", http2: false, sides: &["outbound", "inbound"] },
    Scenario { name: "mesh-h2", host: "rpc.shop", http2: true, sides: &["outbound", "inbound"] },
];

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        let settings = Self {
            requests: number("REQUESTS", 2000)?,
            warm_up: number("WARM_UP", 400)?,
            connections: number("CONNECTIONS", 8)?,
            streams: number("STREAMS", 4)?,
            body: number("BODY_BYTES", 1024)?,
            top: number("TOP", 40)?,
            programs: said("PROGRAMS").unwrap_or_else(|| "target/profiling".to_owned()).into(),
            report: said("REPORT").unwrap_or_else(|| "target/bench/instructions.json".to_owned()).into(),
            wanted: said("SCENARIOS")
                .map(|names| names.split(',').map(str::to_owned).collect())
                .unwrap_or_default(),
        };
        ensure!((1..=1_000_000).contains(&settings.requests), "REQUESTS is a number from 1 to 1000000");
        ensure!((1..=1024).contains(&settings.connections), "CONNECTIONS is a number from 1 to 1024");
        ensure!((1..=100).contains(&settings.streams), "STREAMS is a number from 1 to 100");
        ensure!(settings.body <= 16 << 20, "BODY_BYTES is at most 16 MiB");
        for name in &settings.wanted {
            ensure!(SCENARIOS.iter().any(|known| known.name == name), "SCENARIOS: there is no {name}");
        }
        Ok(settings)
    }

    /// Those that are counted.
    pub(crate) fn scenarios(&self) -> impl Iterator<Item = &'static Scenario> {
        SCENARIOS.iter().filter(|scenario| {
            self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted == scenario.name)
        })
    }
}

fn said(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str, or: usize) -> anyhow::Result<usize> {
    said(name).map_or(Ok(or), |value| value.parse().with_context(|| format!("{name}={value} is no number")))
}
