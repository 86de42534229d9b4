//! `meshctl inject`: manifests with our proxy in their pods, by the function that the webhook runs.
//!
//! For who wants to see what will run, to keep it in a repository, or has no webhook. What makes no pods is printed as it
//! is, so that whole directories can be piped through. If anything cannot be injected nothing is printed: what is applied
//! is all of it, or none.

mod diff;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use weft_manifests::document;
use weft_manifests::inject::{Injection, Outcome as Injected, Redirect, inject, template_of};

use super::Shell;
use crate::manifest_files;
use crate::outcome::Outcome;
use crate::output::{write_out, yaml};

/// Put the proxy into the pods of manifests, as the webhook does.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Inject {
    /// Directories or files of manifests; `-` reads standard input.
    #[arg(short, long = "file", value_name = "PATH", default_value = "-")]
    files: Vec<PathBuf>,
    /// Print what would change, and nothing else.
    #[arg(long)]
    diff: bool,
    /// The image of the proxy.
    #[arg(long, value_name = "IMAGE", default_value = concat!("weft/proxy:", env!("CARGO_PKG_VERSION")))]
    image: String,
    /// When it is pulled.
    #[arg(long, value_name = "POLICY", default_value = "IfNotPresent",
        value_parser = ["Always", "IfNotPresent", "Never"])]
    pull_policy: String,
    /// Where the proxy finds the control plane.
    #[arg(long, value_name = "HOST:PORT", default_value = "weft-control-plane.weft-system.svc:15010")]
    control_plane: String,
    /// By which roots it knows the control plane, as `<trust domain>:<SHA-256>`; asked of the control plane if not given.
    #[arg(long, value_name = "PIN", value_delimiter = ',', value_parser = pin)]
    roots: Vec<String>,
    /// What brings a pod's connections to the proxy.
    #[arg(long, default_value = "init-container", value_parser = ["init-container", "node"])]
    redirect: String,
    /// Further environment of the proxy; may be repeated.
    #[arg(long = "env", value_name = "NAME=TEXT", value_parser = variable)]
    environment: Vec<(String, String)>,
}

impl Inject {
    /// Something that cannot be injected is a problem found.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        let mut documents = Vec::new();
        for path in &self.files {
            for file in manifest_files::read(path)? {
                let read = document::read(&file.text);
                let of_documents = read.documents.iter().flat_map(|document| &document.problems);
                if let Some(problem) = read.problems.iter().chain(of_documents).next() {
                    bail!("{}: {problem}", file.name);
                }
                documents.extend(read.documents.iter().map(|document| document.root.to_json()));
            }
        }
        ensure!(!documents.is_empty(), "there is no object in what was given");
        let as_diff = self.diff;
        let injection = self.injection(shell).await?;
        let (injected, problems) = all(&documents, &injection);
        if !problems.is_empty() {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            return Ok(Outcome::FoundProblem);
        }
        if as_diff {
            let pairs = documents.iter().zip(&injected).filter(|(before, after)| before != after);
            let text: String = pairs
                .map(|(before, after)| {
                    let lines = diff::lines(&yaml::render(before), &yaml::render(after));
                    format!("{}\n{lines}", named(before))
                })
                .collect();
            write_out(&text)?;
        } else {
            shell.output.print_documents(&injected)?;
        }
        Ok(Outcome::Fine)
    }

    async fn injection(self, shell: &Shell) -> anyhow::Result<Injection> {
        let roots = if self.roots.is_empty() { pins(shell).await? } else { self.roots };
        Ok(Injection {
            image: self.image,
            pull_policy: self.pull_policy,
            control_plane: self.control_plane,
            roots,
            audience: AUDIENCE.to_owned(),
            redirect: if self.redirect == "node" { Redirect::Node } else { Redirect::InitContainer },
            environment: BTreeMap::from_iter(self.environment),
        })
    }
}

/// What the control plane presents and is about to present.
async fn pins(shell: &Shell) -> anyhow::Result<Vec<String>> {
    let asked = async { shell.asked().await?.status().await };
    let reply = asked.await.context("nobody says which root the proxy may trust: give --roots")?;
    Ok(reply.roots.iter().map(|root| format!("{}:{}", reply.trust_domain, root.sha256)).collect())
}

/// Every document with a proxy in it, where it is to have one; and what is in the way.
fn all(documents: &[Value], injection: &Injection) -> (Vec<Value>, Vec<String>) {
    let mut injected = documents.to_vec();
    let mut problems = Vec::new();
    for document in &mut injected {
        let name = named(document);
        let Some(pod) = template_of(document) else { continue };
        match inject(pod, injection) {
            Ok(Injected::Injected(with_proxy)) => *pod = with_proxy,
            Ok(Injected::Left(why)) => eprintln!("{name}: left as it is: {why}"),
            Err(error) => problems.push(format!("{name}: {error}")),
        }
    }
    (injected, problems)
}

/// `Deployment web`
fn named(document: &Value) -> String {
    let text = |path| document.pointer(path).and_then(Value::as_str).unwrap_or("?");
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
    format!("{} {}", clean(text("/kind")), clean(text("/metadata/name")))
}

/// A proxy with another pin would not start, and say so where nobody looks first.
fn pin(text: &str) -> Result<String, String> {
    let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let parts = text.split_once(':').filter(|(domain, hash)| !domain.is_empty() && is_hash(hash));
    parts.map(|_| text.to_owned()).ok_or_else(|| {
        "write <trust domain>:<SHA-256 of the root, 64 hexadecimal digits>, as `meshctl identity` has them".to_owned()
    })
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=TEXT, like WEFT_ACCESS_LOG=stdout")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What a control plane asks of the tokens of pods.
const AUDIENCE: &str = "weft-ca";

const EXAMPLES: &str = "\
Examples:
  meshctl inject -f shop.yaml --diff               what would change
  meshctl inject -f shop.yaml -f db/ > meshed.yaml
  meshctl inject --env WEFT_ACCESS_LOG=stdout -o json";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn injection() -> Injection {
        Injection {
            image: "weft/proxy:1".into(),
            pull_policy: "Never".into(),
            control_plane: "weft:15010".into(),
            roots: vec!["weft.local:ab".into()],
            audience: AUDIENCE.into(),
            redirect: Redirect::InitContainer,
            environment: BTreeMap::new(),
        }
    }

    fn deployment(annotations: &Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {
            "metadata": {"labels": {"app": "web"}, "annotations": annotations},
            "spec": {"containers": [{"name": "web", "image": "w"}]}}}})
    }

    #[test]
    fn what_makes_pods_gets_a_proxy_and_everything_else_stays() {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}});
        let no = deployment(&json!({"weft.mesh/inject": "disabled"}));
        let documents = [service.clone(), deployment(&json!({})), no.clone()];
        let (injected, problems) = all(&documents, &injection());
        assert_eq!((&injected[0], &injected[2], problems.len()), (&service, &no, 0));
        let first = injected[1].pointer("/spec/template/spec/initContainers/1/name");
        assert_eq!(first, Some(&json!("weft-proxy")));
        let again = all(&injected, &injection());
        assert_eq!(again.0, injected, "a second time changes nothing");
    }

    #[test]
    fn a_pin_is_a_trust_domain_and_a_whole_hash() {
        let hash = "ab".repeat(32);
        assert!(pin(&format!("weft.local:{hash}")).is_ok());
        for text in ["", "weft.local", "weft.local:ab", &format!(":{hash}"), &hash] {
            assert!(pin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_injected_is_named() {
        let (_, problems) = all(&[deployment(&json!({"weft.mesh/inject": "on"}))], &injection());
        assert!(
            problems.len() == 1 && problems[0].starts_with("Deployment web: the annotation"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_manifest_reads_back_as_what_was_injected() {
        let (injected, _) = all(&[deployment(&json!({"weft.mesh/log-level": "debug"}))], &injection());
        let read = document::read(&yaml::render(&injected[0]));
        assert_eq!(read.documents[0].root.to_json(), injected[0]);
    }
}
