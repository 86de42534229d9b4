//! Work inside of a pod's network namespace. A thread is moved there, does one thing, and ends; the rest of the process
//! stays where it is. A program that such a thread starts is there too.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::rules::{BadRules, Rules};

/// The folder in which the runtime keeps the network namespaces of pods, and the programs that make rules.
#[derive(Clone, Debug)]
pub struct Namespaces {
    /// `/run/netns`
    pub folder: PathBuf,
    /// `weft-proxy`, which knows the rules.
    pub proxy: PathBuf,
    /// `nft`, which knows the kernel.
    pub nft: PathBuf,
}

impl Namespaces {
    /// Every pod's, by its file.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn all(&self) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(&self.folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
    }

    /// The namespace that a runtime means by a path: `/var/run` and `/run` are one folder on a node.
    ///
    /// # Errors
    /// [`RulesFailed::Elsewhere`] for any other folder: nobody else's namespace is entered.
    pub fn named(&self, path: &str) -> Result<PathBuf, RulesFailed> {
        let name = ["/var/run/netns/", "/run/netns/"].iter().find_map(|folder| path.strip_prefix(folder));
        let plain = |name: &&str| !name.is_empty() && !name.contains('/') && !matches!(*name, "." | "..");
        name.filter(plain)
            .map(|name| self.folder.join(name))
            .ok_or_else(|| RulesFailed::Elsewhere { path: path.chars().take(128).collect() })
    }

    /// Makes the rules, in place of any that were there.
    ///
    /// # Errors
    /// [`RulesFailed`].
    pub fn make(&self, namespace: &Path, rules: &Rules) -> Result<(), RulesFailed> {
        let mut command = Command::new(&self.proxy);
        command.arg("redirect").args(rules.arguments());
        let output = self.run(namespace, command)?;
        if output.status.success() { Ok(()) } else { Err(RulesFailed::Refused { said: said(&output) }) }
    }

    /// Whether there are rules of ours.
    ///
    /// # Errors
    /// [`RulesFailed`], if that cannot be found out.
    pub fn has_rules(&self, namespace: &Path) -> Result<bool, RulesFailed> {
        let mut command = Command::new(&self.nft);
        command.args(["list", "table", "inet", "weft"]);
        let output = self.run(namespace, command)?;
        let said = said(&output);
        if output.status.success() {
            Ok(true)
        } else if said.contains("No such file or directory") {
            Ok(false)
        } else {
            Err(RulesFailed::Refused { said })
        }
    }

    fn run(&self, namespace: &Path, mut command: Command) -> Result<Output, RulesFailed> {
        let program = command.get_program().to_string_lossy().into_owned();
        // nft is found by its folder: this image has no other program.
        let path = self.nft.parent().unwrap_or(Path::new("/")).to_path_buf();
        command.env_clear().env("PATH", path).stdin(Stdio::null());
        self.inside(namespace, move || command.output())?
            .map_err(|source| RulesFailed::Program { program, source })
    }

    /// Does something in a namespace.
    ///
    /// # Errors
    /// If it cannot be entered.
    pub fn inside<T: Send>(
        &self,
        namespace: &Path,
        work: impl FnOnce() -> T + Send,
    ) -> Result<T, RulesFailed> {
        let failed =
            |source: io::Error| RulesFailed::NoEntry { namespace: namespace.display().to_string(), source };
        let file = File::open(namespace).map_err(failed)?;
        let entered = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok::<T, io::Error>(work())
            });
            thread.join()
        });
        match entered {
            Ok(done) => done.map_err(failed),
            Err(_) => Err(failed(io::Error::other("what was done there panicked; a defect"))),
        }
    }
}

/// What a program had to say against it, shortened.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().chars().take(400).collect()
}

/// Why a pod has no rules.
#[derive(Debug, thiserror::Error)]
pub enum RulesFailed {
    /// A path that is no pod's.
    #[error("{path} is no network namespace of a pod: those are in /run/netns")]
    Elsewhere {
        /// Which.
        path: String,
    },
    /// It cannot be entered.
    #[error(
        "cannot enter the network namespace {namespace}: {source}; the agent needs SYS_ADMIN, and the node's /run/netns \
         mounted with HostToContainer"
    )]
    NoEntry {
        /// Which.
        namespace: String,
        /// What the system said.
        source: io::Error,
    },
    /// What the pod asks for is not to be had.
    #[error(transparent)]
    Bad(#[from] BadRules),
    /// One of the programs in the image is not there.
    #[error("cannot run {program}: {source}")]
    Program {
        /// Which.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel said no.
    #[error("the rules were refused: {said}")]
    Refused {
        /// What was said.
        said: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pods_namespace_is_entered() {
        let namespaces = Namespaces { folder: "/host/netns".into(), proxy: "/p".into(), nft: "/n".into() };
        for path in ["/var/run/netns/cni-1", "/run/netns/cni-1"] {
            assert_eq!(namespaces.named(path).unwrap(), Path::new("/host/netns/cni-1"));
        }
        for path in [
            "",
            "/proc/1/ns/net",
            "/run/netns/",
            "/run/netns/..",
            "/run/netns/a/b",
            "/run/netns/../../etc",
            "cni-1",
        ] {
            assert!(namespaces.named(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_namespace_that_is_not_there_is_named() {
        let namespaces = Namespaces { folder: "/nowhere".into(), proxy: "/p".into(), nft: "/n".into() };
        let error = namespaces.has_rules(Path::new("/nowhere/cni-1")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/cni-1"), "{error}");
        assert!(namespaces.all().is_err());
    }
}
