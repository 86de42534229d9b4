//! A directory of YAML files, read whole; [`follow`](super::follow) says when.
//!
//! Symbolic links are followed, so a publication by renaming a link (`..data`, as Kubernetes mounts ConfigMaps)
//! is one step. A directory that is gone is not a directory that is empty: it is an error, and what was read
//! stays.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Reading, Texts};

/// The files of a directory.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
    /// Held while several files are written that belong together, and while all are read.
    publishing: Arc<Mutex<()>>,
}

impl Directory {
    /// The most files that are read: more is a mistake, such as a config directory of `/`.
    pub const MAX_FILES: usize = 20_000;

    /// The directory at `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), publishing: Arc::default() }
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps whoever [follows](super::follow) it from reading while it is held.
    pub async fn publishing(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.publishing).lock_owned().await
    }

    /// Every `**/*.yaml` and `**/*.yml`, in no directory whose name begins with a dot.
    ///
    /// # Errors
    /// [`DirectoryError`] if the directory itself cannot be listed, or goes meanwhile: a file that is gone with it was
    /// not deleted. A file that cannot be read is in the texts, with the reason.
    pub fn texts(&self) -> Result<Texts, DirectoryError> {
        let unreadable = |source| DirectoryError::Unreadable { path: self.root.clone(), source };
        let which = || fs::metadata(&self.root).map(|root| (root.dev(), root.ino())).map_err(unreadable);
        let mut texts = Texts::new();
        let mut seen = BTreeSet::new();
        let before = which()?;
        self.collect(&self.root, &mut seen, &mut texts)?;
        if which()? == before {
            Ok(texts)
        } else {
            Err(unreadable(io::Error::other("it was replaced while it was read")))
        }
    }

    fn collect(
        &self,
        dir: &Path,
        seen: &mut BTreeSet<PathBuf>,
        texts: &mut Texts,
    ) -> Result<(), DirectoryError> {
        let unreadable = |source| DirectoryError::Unreadable { path: dir.to_path_buf(), source };
        // Links may lead in circles.
        if !seen.insert(dir.canonicalize().map_err(unreadable)?) {
            return Ok(());
        }
        for entry in fs::read_dir(dir).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            // `metadata` follows links. What is gone between listing and looking is gone.
            let Ok(meta) = fs::metadata(&path) else { continue };
            if hidden {
                continue;
            }
            if meta.is_dir() {
                self.collect(&path, seen, texts)?;
            } else if is_yaml(&path) {
                if texts.len() >= Self::MAX_FILES {
                    return Err(DirectoryError::TooMany { path: self.root.clone() });
                }
                let name = path.strip_prefix(&self.root).unwrap_or(&path).to_string_lossy();
                match read_file(&path, meta.len()) {
                    Ok(text) => texts.insert(name.into(), Ok(text.into())),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => texts.insert(name.into(), Err(error.to_string())),
                };
            }
        }
        Ok(())
    }
}

/// Why there is nothing to read at all.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Missing, or not ours to read.
    #[error("cannot list {path}: {source}; what was read before stays in force")]
    Unreadable {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More than [`Directory::MAX_FILES`].
    #[error("{path} has more than {max} YAML files; is it the config directory?", max = Directory::MAX_FILES)]
    TooMany {
        /// Which directory.
        path: PathBuf,
    },
}

/// Files over the limit of the parser are not read into memory to find that out.
fn read_file(path: &Path, len: u64) -> io::Result<String> {
    if len > weft_manifests::document::MAX_FILE as u64 {
        return Err(io::Error::other(format!(
            "it has {len} bytes, and at most {} are read",
            weft_manifests::document::MAX_FILE
        )));
    }
    fs::read_to_string(path)
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// For tests and for a start: everything that is there, read at once.
///
/// # Errors
/// As [`Directory::texts`].
pub fn read_all(directory: &Directory) -> Result<Reading, DirectoryError> {
    Ok(Reading::of(&directory.texts()?))
}

#[cfg(test)]
mod tests;
