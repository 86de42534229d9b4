//! `meshctl install`: the chart, without Helm. What is embedded is what Helm has made of the chart at a release
//! (`charts/golden/install.yaml`, held to it by `charts/check`), and a short list of values is put into that as Helm would
//! put them, which a test holds against Helm. Templates of another engine are not imitated: any further value needs Helm.
//!
//! It prints, so that what is installed can be read and kept; with `--apply` it applies, for who has no `kubectl`.

mod apply;
mod chart;
mod values;

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::json;
use weft_manifests::document;

use super::Shell;
use crate::manifest_files;
use crate::outcome::Outcome;

use values::Values;

/// Print the mesh as manifests, or apply it to a cluster: the chart, without Helm.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Install {
    /// Apply it, to the cluster that the kubeconfig leads to; otherwise it is printed.
    #[arg(long)]
    apply: bool,
    /// A value of the chart, `replicas=2`; may be repeated. A wrong name is answered with those that there are.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// A file of values, as Helm takes it; may be repeated.
    #[arg(short = 'f', long, value_name = "FILE")]
    values: Vec<PathBuf>,
    /// Leave out the CustomResourceDefinitions.
    #[arg(long, conflicts_with = "crds_only")]
    skip_crds: bool,
    /// Nothing but the CustomResourceDefinitions: Helm upgrades none.
    #[arg(long)]
    crds_only: bool,
}

impl Install {
    /// Prints or applies.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        let namespace = shell.cluster.namespace();
        let mut values = Values::default();
        for path in &self.values {
            for file in manifest_files::read(path)? {
                let read = document::read(&file.text);
                let of_documents = read.documents.iter().flat_map(|document| &document.problems);
                if let Some(problem) = read.problems.iter().chain(of_documents).next() {
                    bail!("{}: {problem}", file.name);
                }
                for document in &read.documents {
                    values.read(&document.root.to_json()).with_context(|| file.name.clone())?;
                }
            }
        }
        for said in &self.set {
            let (name, value) =
                said.split_once('=').with_context(|| format!("--set {said}: write it as NAME=VALUE"))?;
            values.set(name, value)?;
        }
        let mut objects = Vec::new();
        if !self.crds_only {
            objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}));
            // One of the system's own is there, and is somebody else's.
            let agents = &values.cni.namespace;
            if values.cni.enabled && !agents.is_empty() && agents != namespace && !agents.starts_with("kube-")
            {
                objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": agents}}));
            }
        }
        if !self.skip_crds {
            objects.extend(chart::kinds()?);
        }
        if !self.crds_only {
            objects.extend(chart::objects(namespace, &values)?);
        }
        if self.apply {
            let cluster = shell.cluster.connect().await?;
            if !self.crds_only {
                cluster.is_ours_alone().await?;
            }
            return apply::apply(&cluster, &objects, &shell.output).await;
        }
        shell.output.print_documents(&objects)?;
        Ok(Outcome::Fine)
    }
}

const EXAMPLES: &str = "\
Examples:
  meshctl install                                   all of it, to be read or piped to `kubectl apply --server-side -f -`
  meshctl install --apply                           into the cluster of the kubeconfig
  meshctl install --set replicas=2 --set trustDomain=example.org --mesh-namespace mesh
  meshctl install --crds-only --apply               the kinds alone, for an upgrade by Helm";
