//! `meshctl apply -f PATH… --wait`: changes go to the control plane, which writes its config directory; waiting
//! ends when every proxy has said that it applied them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use serde::Serialize;
use weft_proto::v1;

use super::Shell;
use super::wait::{Waited, wait_for};
use crate::clock::parse_span;
use crate::control_plane::refused;
use crate::finding::{Finding, summary};
use crate::manifest_files;
use crate::outcome::Outcome;
use crate::output::{Page, Tell, Tone};

/// Change the mesh: send manifests to the control plane, which writes them into its config directory.
///
/// A file of the same name is replaced. If there is an error in any of the files, nothing is applied.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Apply {
    /// A file, or a directory with all its *.yaml and *.yml; `-` reads standard input as `stdin.yaml`.
    #[arg(short, long = "file", value_name = "PATH", required_unless_present = "remove")]
    files: Vec<PathBuf>,
    /// Remove a file of the config directory, named relative to it.
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,
    /// Return when every proxy that is there has applied it, or name the laggards after this time.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "30s",
          value_parser = parse_span)]
    wait: Option<Duration>,
    /// Change nothing.
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
}

impl Apply {
    /// An error in a file, a laggard or a rejection is a problem found.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        let mut files = Vec::new();
        for path in &self.files {
            files.extend(manifest_files::read(path)?);
        }
        if let Some(empty) = files.iter().find(|file| file.text.is_empty()) {
            bail!("{} is empty: to take a file out of the mesh, use --remove", empty.name);
        }
        let mut files: Vec<v1::apply_request::File> = files
            .into_iter()
            .map(|file| v1::apply_request::File { name: file.name, text: file.text.into_bytes() })
            .collect();
        files.extend(self.remove.into_iter().map(|name| v1::apply_request::File { name, text: Vec::new() }));
        let sent = files.len();

        let control_plane = shell.control_plane().await?;
        let request = v1::ApplyRequest { files, dry_run: self.dry_run };
        let reply =
            control_plane.admin().apply(request).await.map_err(|status| refused(&status))?.into_inner();
        let waited = match self.wait {
            Some(patience) if reply.applied => {
                Some(wait_for(&control_plane, reply.revision, patience).await?)
            }
            _ => None,
        };
        let answer = Answer {
            files: sent,
            dry_run: self.dry_run,
            applied: reply.applied,
            revision: reply.revision,
            findings: reply.findings.into_iter().map(Finding::from).collect(),
            waited,
        };
        shell.output.print(&answer)?;
        Ok(Outcome::problem_if(answer.has_problem()))
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    files: usize,
    dry_run: bool,
    applied: bool,
    revision: u64,
    findings: Vec<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waited: Option<Waited>,
}

impl Answer {
    fn has_problem(&self) -> bool {
        let not_applied = !self.applied && !self.dry_run;
        not_applied
            || self.findings.iter().any(Finding::is_error)
            || self.waited.as_ref().is_some_and(Waited::has_problem)
    }
}

impl Tell for Answer {
    fn tell(&self, page: &mut Page) {
        for finding in &self.findings {
            finding.tell(page);
        }
        page.gap();
        let said = summary(&self.findings);
        match (self.applied, self.dry_run) {
            (true, _) => {
                page.line(format!("{} files applied: revision {}, {said}", self.files, self.revision))
            }
            (false, true) => page.line(format!("{} files would be applied: {said}", self.files)),
            (false, false) => page.toned(Tone::Bad, format!("nothing was applied: {said}")),
        }
        if let Some(waited) = &self.waited {
            waited.tell(page);
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  meshctl apply -f mesh/ --wait              all of mesh/; return when every proxy has it
  meshctl apply -f split.yaml --wait=5s
  meshctl apply -f split.yaml --dry-run      what would be said, changing nothing
  meshctl apply --remove deny.yaml --wait    take a file out again";

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(applied: bool, dry_run: bool, severity: Option<&str>) -> Answer {
        let finding =
            |severity: &str| Finding::from(v1::Finding { severity: severity.into(), ..Default::default() });
        Answer {
            files: 1,
            dry_run,
            applied,
            revision: 3,
            findings: severity.map(finding).into_iter().collect(),
            waited: None,
        }
    }

    #[test]
    fn what_was_not_applied_or_has_an_error_is_a_problem() {
        for (answer, problem) in [
            (answer(true, false, None), false),
            (answer(true, false, Some("warning")), false),
            (answer(true, false, Some("error")), true),
            (answer(false, false, None), true),
            (answer(false, true, None), false),
            (answer(false, true, Some("error")), true),
        ] {
            assert_eq!(answer.has_problem(), problem, "{answer:?}");
        }
    }

    #[test]
    fn scripts_see_a_wait_only_where_there_was_one() {
        let json = serde_json::to_value(answer(true, false, None)).unwrap();
        assert_eq!(json["revision"], 3);
        assert!(json.get("waited").is_none());
    }
}
