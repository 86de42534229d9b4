//! The last good version of every file, in the state directory: what stands in for an object that is broken while
//! the control plane starts. Without it, a typo and a restart together would empty a service.
//!
//! A copy, and nobody's truth: it is only looked at for objects that are there and cannot be used, and a disk that
//! is full costs no more than the copy.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use weft_manifests::diagnostic::Diagnostic;

use super::directory::Directory;
use super::{Reading, Texts};

/// Where the copies are.
#[derive(Clone, Debug)]
pub struct LastGood {
    root: PathBuf,
}

impl LastGood {
    /// Copies below `state_dir`.
    #[must_use]
    pub fn within(state_dir: &Path) -> Self {
        Self { root: state_dir.join("last-good") }
    }

    /// What was good when it was copied.
    #[must_use]
    pub fn reading(&self) -> Reading {
        match Directory::new(&self.root).texts() {
            Ok(texts) => Reading::of(&texts),
            Err(error) => {
                // There is none before the first copy.
                tracing::debug!(%error, "no last good versions");
                Reading::default()
            }
        }
    }

    /// Copies the files in which nothing is wrong, and forgets those that are gone. It waits for the disk.
    ///
    /// # Errors
    /// What the disk said; some files may be copied.
    pub fn keep(&self, texts: &Texts, findings: &[Diagnostic]) -> io::Result<()> {
        let in_error: BTreeSet<&str> = findings
            .iter()
            .filter(|found| found.is_error())
            .filter_map(|found| found.file.as_deref())
            .collect();
        let held = Directory::new(&self.root).texts().unwrap_or_default();
        for (name, text) in texts {
            let Ok(text) = text else { continue };
            if in_error.contains(&**name) || held.get(name).is_some_and(|held| held.as_ref() == Ok(text)) {
                continue;
            }
            let path = self.root.join(&**name);
            let parent = path.parent().unwrap_or(&self.root);
            fs::create_dir_all(parent)?;
            let beside = path.with_extension("new");
            fs::write(&beside, text.as_bytes())?;
            fs::rename(&beside, &path)?;
        }
        for name in held.keys().filter(|name| !texts.contains_key(*name)) {
            fs::remove_file(self.root.join(&**name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::source::memory::Memory;
    use crate::trial::service;

    fn names(reading: &Reading) -> Vec<String> {
        reading.objects.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_broken_at_a_start_is_what_it_was_before_and_what_is_gone_is_gone() {
        let state = TempDir::new().unwrap();
        let last_good = LastGood::within(state.path());
        assert!(last_good.reading().objects.is_empty());
        let (api, web) = (service("shop", "api", "api", &[80]), service("shop", "web", "web", &[80]));
        let memory = Memory::default().with("a/api.yaml", &api.text).with("web.yaml", &web.text);
        last_good.keep(memory.texts(), &memory.reading().findings).unwrap();
        let broken = memory.clone().with("a/api.yaml", "kind: [");
        last_good.keep(broken.texts(), &broken.reading().findings).unwrap();
        let restarted = broken.reading().keeping(&last_good.reading().objects);
        assert_eq!(names(&restarted), ["Service shop/api", "Service shop/web"]);
        let without = memory.without("a/api.yaml");
        last_good.keep(without.texts(), &without.reading().findings).unwrap();
        assert_eq!(names(&last_good.reading()), ["Service shop/web"]);
    }
}
