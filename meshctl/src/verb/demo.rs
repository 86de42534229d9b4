//! `meshctl demo`: a whole mesh on this machine, with traffic, a failure that is retried and a circuit that opens.
//!
//! Everything is real: a control plane, four sidecars and four applications, each a process of its own, on
//! loopback, without root. What is shown is read from answers and from the sidecars' own metrics, and `--once`
//! fails if any of it is not so.

mod config;
mod incident;
mod load;
mod mesh;
mod metrics_text;
mod report;
mod scratch;
mod screen;
mod tally;
mod watch;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep_until};

use super::Shell;
use crate::outcome::Outcome;
use crate::output::write_out;
use crate::process::asked_to_end;
use crate::program::Program;

use load::Load;
use mesh::Mesh;
use report::Report;
use scratch::Scratch;
use screen::Screen;
use watch::Watch;

/// A whole mesh on this machine: three services with sidecars, mTLS, a split, a retry, a circuit breaker.
///
/// It needs no root, listens on loopback only, and leaves nothing behind.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Demo {
    /// Run for a while, print a report, and exit with 1 if anything in it is not as it should be.
    #[arg(long)]
    once: bool,
    /// How long the traffic lasts; with a terminal and without --once, until Ctrl-C.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=86_400))]
    seconds: Option<u32>,
    /// Requests a second.
    #[arg(long, value_name = "N", default_value = "200", value_parser = clap::value_parser!(u32).range(50..=5_000))]
    rate: u32,
    /// Print the demo's manifests, and do nothing else.
    #[arg(long)]
    print_config: bool,
    /// Keep the directory with manifests, state and logs.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    /// Until its time is up, Ctrl-C, or something ends that should not.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        if self.print_config {
            write_out(&config::printed())?;
            return Ok(Outcome::Fine);
        }
        // Before anything is made: what is missing is no failure of the demo.
        Program::ControlPlane.find()?;
        Program::Proxy.find()?;
        let started = Instant::now();
        let live = !self.once && shell.output.is_table() && std::io::stdout().is_terminal();
        let scratch = Scratch::new()?;
        let ended = tokio::select! {
            ended = self.traffic(shell, &scratch, started, live) => ended,
            // Dropping the future ends what it owns: every process.
            asked = asked_to_end() => asked.map(|()| None),
        };
        match ended {
            Ok(report) => {
                scratch.end(self.keep);
                let Some(report) = report else { return Ok(if live { Outcome::Fine } else { INTERRUPTED }) };
                if !live {
                    shell.output.print(&report)?;
                }
                Ok(Outcome::problem_if(!live && !report.is_as_it_should_be()))
            }
            Err(error) => Err(error).with_context(|| scratch.keep_for_a_look()),
        }
    }

    async fn traffic(
        &self,
        shell: &Shell,
        scratch: &Scratch,
        started: Instant,
        live: bool,
    ) -> anyhow::Result<Option<Report>> {
        let (mesh, mut processes) = Mesh::start(scratch).await?;
        let first = load::first_answer(&mesh).await;
        processes.check()?;
        let caller = first?.caller;
        let ready = started.elapsed();
        let identities = mesh.identities(caller).await?;
        let plaintext_refused = mesh.refuses_plaintext().await;

        let watch = Watch::new(&mesh);
        let lasts =
            self.seconds.map_or(if live { FOREVER } else { DEFAULT }, |s| Duration::from_secs(s.into()));
        if !live {
            eprintln!("meshctl: the mesh is ready after {} ms; traffic for {lasts:?}", ready.as_millis());
        }
        let load = Load::start(&mesh, self.rate);
        let begun = Instant::now();
        let incident = incident::happen(&mesh, &watch, lasts.min(DEFAULT));
        let mut screen = Screen::new(shell.output.colour, scratch, &mesh);
        let mut frames = tokio::time::interval(FRAME);
        let end = begun + lasts;
        tokio::pin!(incident);
        let mut happened = None;
        loop {
            tokio::select! {
                () = sleep_until(end) => break,
                result = &mut incident, if happened.is_none() => happened = Some(result?),
                _ = frames.tick() => {
                    processes.check()?;
                    if live {
                        screen.draw(&load, &watch.read().await?, &identities, ready, begun.elapsed())?;
                    }
                }
            }
        }
        let lasted = begun.elapsed();
        let tally = load.end().await;
        let seen = watch.read().await?;
        let memory = processes.memory();
        processes.stop().await;
        Ok(Some(Report::new(ready, lasted, &tally, &seen, identities, plaintext_refused, memory)))
    }
}

/// Without --seconds, and the time that the incident takes.
const DEFAULT: Duration = Duration::from_secs(10);
/// A day: nobody looks at a demo for longer.
const FOREVER: Duration = Duration::from_secs(86_400);
/// As a shell says it of Ctrl-C.
const INTERRUPTED: Outcome = Outcome::Code(130);
const FRAME: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  meshctl demo                                      a live table, until Ctrl-C
  meshctl demo --once --seconds 10 -o json          a report for scripts; exit code 1 if it does not hold
  meshctl demo --print-config                       what is in its manifests";
