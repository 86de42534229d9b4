//! `meshctl check PATH…`: what is wrong with manifests, without a mesh. Without a path: what is wrong with a cluster.

mod catalogue;
mod cluster;
mod facts;
mod judge;
mod pods;
mod verdict;

use std::path::PathBuf;

use serde::Serialize;
use weft_manifests::check::check_for;
use weft_manifests::settings::MeshSettings;
use weft_policy::identity::TrustDomain;

use super::Shell;
use crate::finding::{Finding, summary};
use crate::manifest_files;
use crate::outcome::Outcome;
use crate::output::{Page, Tell, Tone};

/// Check manifests, by the code that reads them in a control plane; or, without any, a cluster and the mesh in it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {
    /// Directories or files of manifests; `-` reads standard input. All are checked together. None: the cluster.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Check a cluster before anything is installed in it.
    #[arg(long, conflicts_with = "paths")]
    pre: bool,
    /// The trust domain of the mesh they are for.
    #[arg(long, value_name = "DOMAIN", default_value = "weft.local")]
    trust_domain: TrustDomain,
}

impl Check {
    /// Checks. A warning is worth a look and no problem.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        if self.paths.is_empty() {
            return cluster::run(&shell.cluster, self.pre, &shell.output).await;
        }
        let mut files = Vec::new();
        for path in &self.paths {
            // A file is named as it was given, so that an editor finds it.
            let is_dir = path.is_dir();
            files.extend(manifest_files::read(path)?.into_iter().map(|file| {
                let name = if is_dir { path.join(&file.name) } else { path.clone() };
                (name.display().to_string(), file.text)
            }));
        }
        let settings = MeshSettings { trust_domain: self.trust_domain, ..MeshSettings::default() };
        let report = check_for(settings, &files);
        let answer = Answer {
            files: files.len(),
            objects: report.objects,
            findings: report.diagnostics.iter().map(Finding::from).collect(),
        };
        shell.output.print(&answer)?;
        Ok(Outcome::problem_if(answer.findings.iter().any(Finding::is_error)))
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    files: usize,
    objects: usize,
    findings: Vec<Finding>,
}

impl Tell for Answer {
    fn tell(&self, page: &mut Page) {
        for finding in &self.findings {
            finding.tell(page);
        }
        page.gap();
        let tone = match self.findings.iter().map(Finding::is_error).max() {
            Some(true) => Tone::Bad,
            Some(false) => Tone::Warn,
            None => Tone::Good,
        };
        let line = format!("{} files, {} objects: {}", self.files, self.objects, summary(&self.findings));
        page.toned(tone, line);
    }
}

const EXAMPLES: &str = "\
Examples:
  meshctl check --pre                  whether the mesh can be installed in the cluster of the kubeconfig
  meshctl check                        whether it is well there; exit code 1 if something is not
  meshctl check mesh/                  every *.yaml and *.yml below mesh/
  meshctl check route.yaml -o json     for a pre-commit hook: exit code 1 if anything is an error";
