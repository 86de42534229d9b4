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
    let newest = standing.revision;
    let (attached, away): (Vec<Proxy>, Vec<Proxy>) =
        standing.proxies.into_iter().partition(|proxy| proxy.attached);
    let has_it = |proxy: &&Proxy| proxy.current;
    Ok(Waited {
        revision,
        newest,
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
    /// The newest that the control plane knows.
    pub(crate) newest: u64,
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
        !self.behind.is_empty() || !self.rejecting.is_empty() || self.is_ahead()
    }

    /// Nobody can have what there is not yet.
    const fn is_ahead(&self) -> bool {
        self.revision > self.newest
    }
}

impl Tell for Waited {
    fn tell(&self, page: &mut Page) {
        if self.is_ahead() {
            let said = format!("there is no revision {} yet: the newest is {}", self.revision, self.newest);
            page.toned(Tone::Bad, said);
        } else if self.behind.is_empty() {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn waited(revision: u64, behind: &[&str], rejecting: &[&str]) -> Waited {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Waited {
            revision,
            newest: 8,
            applied: 2,
            behind: owned(behind),
            rejecting: owned(rejecting),
            away: owned(&["shop/laptop"]),
            patience: Duration::from_secs(30),
        }
    }

    #[test]
    fn laggards_rejections_and_revisions_that_are_not_there_are_problems() {
        for (waited, problem, said) in [
            (waited(8, &[], &[]), false, "revision 8: applied by 2 proxies"),
            (waited(8, &["shop/web"], &[]), true, "revision 8: not applied after 30 s by\n  shop/web"),
            (waited(8, &[], &["shop/web: Routes shop/api: odd"]), true, "rejected by shop/web"),
            (waited(9, &[], &[]), true, "there is no revision 9 yet: the newest is 8"),
        ] {
            let mut page = Page::new(false);
            waited.tell(&mut page);
            let text = page.into_text();
            assert!(text.contains(said) && text.contains("shop/laptop"), "{text}");
            assert_eq!(waited.has_problem(), problem, "{text}");
        }
    }
}
