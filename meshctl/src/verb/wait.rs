//! `meshctl wait`: until every proxy that is there has a revision, or the time is up and the laggards are named.

use std::time::Duration;

use serde::Serialize;
use weft_proto::v1;

use super::Shell;
use super::status::{Answer as Standing, Proxy};
use crate::clock::{parse_span, span};
use crate::control_plane::{ControlPlane, refused};
use crate::outcome::Outcome;
use crate::output::{Page, Tell, Tone};

/// Wait until every proxy that is there has applied a revision; name the laggards if the time is up.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Wait {
    /// The revision, as `apply` says it; left out: the newest.
    revision: Option<u64>,
    /// How long.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_span)]
    timeout: Duration,
}

impl Wait {
    /// A laggard is a problem found.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        let control_plane = shell.control_plane().await?;
        let revision = match self.revision {
            Some(revision) => revision,
            None => {
                let reply = control_plane.inspect().status(v1::StatusRequest::default()).await;
                reply.map_err(|status| refused(&status))?.into_inner().now.map_or(0, |now| now.revision)
            }
        };
        let waited = wait_for(&control_plane, revision, self.timeout).await?;
        shell.output.print(&waited)?;
        Ok(Outcome::problem_if(waited.has_problem()))
    }
}

/// Waits until every live proxy has a revision, or `patience` is over.
///
/// # Errors
/// If the control plane does not answer.
pub(crate) async fn wait_for(
    control_plane: &ControlPlane,
    revision: u64,
    patience: Duration,
) -> anyhow::Result<Waited> {
    let wait_millis = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    let request = v1::StatusRequest { revision: revision.max(1), wait_millis };
    let reply =
        control_plane.inspect().status(request).await.map_err(|status| refused(&status))?.into_inner();
    let standing = Standing::read(reply, false);
    let (attached, away): (Vec<Proxy>, Vec<Proxy>) =
        standing.proxies.into_iter().partition(|proxy| proxy.attached);
    let has_it = |proxy: &&Proxy| proxy.current;
    Ok(Waited {
        revision,
        applied: attached.iter().filter(has_it).count(),
        behind: attached
            .iter()
            .filter(|proxy| proxy.is_behind())
            .map(|proxy| proxy.workload.clone())
            .collect(),
        rejecting: attached
            .iter()
            .flat_map(|proxy| {
                proxy
                    .rejected
                    .iter()
                    .map(|why| format!("{}: {}: {}", proxy.workload, why.resource, why.detail))
            })
            .collect(),
        away: away.into_iter().map(|proxy| proxy.workload).collect(),
        patience,
    })
}

/// How the waiting ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Waited {
    pub(crate) revision: u64,
    /// How many have it.
    pub(crate) applied: usize,
    /// Who is there and has not.
    pub(crate) behind: Vec<String>,
    /// Who has it and would not take a part of it.
    pub(crate) rejecting: Vec<String>,
    /// Whom nobody waited for: they get it when they return.
    pub(crate) away: Vec<String>,
    #[serde(skip)]
    patience: Duration,
}

impl Waited {
    /// Whether somebody should look.
    pub(crate) fn has_problem(&self) -> bool {
        !self.behind.is_empty() || !self.rejecting.is_empty()
    }
}

impl Tell for Waited {
    fn tell(&self, page: &mut Page) {
        if self.behind.is_empty() {
            page.toned(
                Tone::Good,
                format!("revision {}: applied by {} proxies", self.revision, self.applied),
            );
        } else {
            let waited = span(self.patience);
            page.toned(Tone::Bad, format!("revision {}: not applied after {waited} by", self.revision));
            for workload in &self.behind {
                page.line(format!("  {workload}"));
            }
        }
        for rejection in &self.rejecting {
            page.toned(Tone::Bad, format!("rejected by {rejection}"));
        }
        if !self.away.is_empty() {
            page.toned(Tone::Faint, format!("away, and not waited for: {}", self.away.join(", ")));
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  meshctl wait                   for the newest revision
  meshctl wait 42 --timeout 5s   for revision 42";
