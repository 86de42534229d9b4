//! The manifests under a path: the same files that a control plane would read of that directory.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use weft_manifests::document::MAX_FILE;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManifestFile {
    /// Relative to the path that was given, with `/` between parts: what it is called below a config directory.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) text: String,
}

/// Reads a file, `-` (standard input), or every `*.yaml` and `*.yml` below a directory, sorted by name. Names
/// that begin with a dot are left out: editors and Kubernetes' own volumes keep copies under them.
///
/// # Errors
/// If something cannot be read; which, is said.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<ManifestFile>> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        let limit = u64::try_from(MAX_FILE).unwrap_or(u64::MAX).saturating_add(1);
        std::io::stdin()
            .lock()
            .take(limit)
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
        return Ok(vec![ManifestFile { name: "stdin.yaml".to_owned(), text }]);
    }
    let kind = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if !kind.is_dir() {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        return Ok(vec![ManifestFile { name, text: text_of(path)? }]);
    }
    let mut found = Vec::new();
    walk(path, &mut found, DEPTH)?;
    let mut files = Vec::with_capacity(found.len());
    for file in found {
        let below = file.strip_prefix(path).unwrap_or(&file);
        let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
        files.push(ManifestFile { name: parts.join("/"), text: text_of(&file)? });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>, depth: usize) -> anyhow::Result<()> {
    if depth == 0 {
        bail!("{}: directories are nested more than {DEPTH} deep", dir.display());
    }
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", dir.display()))?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        // Follows links: a config directory may be made of them.
        match fs::metadata(&path) {
            Ok(kind) if kind.is_dir() => walk(&path, found, depth - 1)?,
            _ if path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml") => found.push(path),
            _ => {}
        }
    }
    Ok(())
}

fn text_of(file: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8: save it as UTF-8", file.display()))
}

/// A loop of links ends here.
const DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_its_yaml_files_by_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("shop")).unwrap();
        fs::create_dir_all(dir.path().join(".git")).unwrap();
        for name in ["b.yaml", "shop/a.yml", "notes.txt", ".hidden.yaml", ".git/x.yaml"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let names: Vec<_> = read(dir.path()).unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["b.yaml", "shop/a.yml"]);
        let one = read(&dir.path().join("shop/a.yml")).unwrap();
        assert_eq!(one, [ManifestFile { name: "a.yml".into(), text: "shop/a.yml".into() }]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = read(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }
}
