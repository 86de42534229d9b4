//! The demo's own directory: manifests, the control plane's state, logs. Gone afterwards, kept when something
//! went wrong.

use std::cell::Cell;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use anyhow::Context;

use super::config;

/// A directory of our own. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Scratch {
    dir: PathBuf,
    kept: Cell<bool>,
}

impl Scratch {
    /// A new directory that nobody else may look into, with the manifests in it.
    ///
    /// # Errors
    /// If there is no place for one.
    pub(super) fn new() -> anyhow::Result<Self> {
        // A socket's path has at most 107 bytes (unix(7)), so this stays short.
        let base = std::env::temp_dir();
        for nth in 0..100 {
            let dir = base.join(format!("weft-demo-{}-{nth}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&dir) {
                Ok(()) => {
                    let scratch = Self { dir, kept: Cell::new(false) };
                    scratch.fill()?;
                    return Ok(scratch);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot make {}", dir.display())),
            }
        }
        anyhow::bail!("{} is full of demos that were killed: remove the weft-demo-* in it", base.display())
    }

    fn fill(&self) -> anyhow::Result<()> {
        for dir in [self.config(), self.next(), self.logs()] {
            std::fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        config::write(&self.config(), &config::FILES)?;
        config::write(&self.next(), &config::NEXT)
    }

    /// Manifests that are in force.
    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("mesh")
    }

    /// Manifests to try next.
    pub(super) fn next(&self) -> PathBuf {
        self.dir.join("next")
    }

    /// The control plane's.
    pub(super) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// What a process prints.
    pub(super) fn log(&self, of: &str) -> PathBuf {
        self.logs().join(format!("{of}.log"))
    }

    /// Removes it, unless it is to be kept.
    pub(super) fn end(&self, keep: bool) {
        if keep {
            eprintln!("meshctl: kept {}", self.dir.display());
            self.kept.set(true);
        }
    }

    /// Keeps it, and says where to look.
    pub(super) fn keep_for_a_look(&self) -> String {
        self.kept.set(true);
        format!("the demo failed; its logs are in {}", self.logs().display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept.get() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_private_and_gone_afterwards_unless_something_failed() {
        let scratch = Scratch::new().unwrap();
        let dir = scratch.dir.clone();
        assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(scratch.config().join("split.yaml").is_file());
        drop(scratch);
        assert!(!dir.exists());

        let failed = Scratch::new().unwrap();
        let said = failed.keep_for_a_look();
        let dir = failed.dir.clone();
        drop(failed);
        assert!(dir.exists() && said.contains(dir.to_str().unwrap()));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
