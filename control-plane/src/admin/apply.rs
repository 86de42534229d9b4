//! Applying files: checked as a whole with everything that is there already, then written so that each is old or
//! new, then read.
//!
//! A file in error is not written unless what is there in its place is in error too: an operator can repair one
//! thing after the other.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tonic::Status;
use weft_manifests::check::check_for;
use weft_manifests::diagnostic::{Diagnostic, Severity};
use weft_manifests::document::MAX_FILE;
use weft_proto::v1;

use super::{Admin, Files, blocking};
use crate::source::Texts;

/// Applies, or says what would come of it.
pub(super) async fn apply(admin: &Admin, request: v1::ApplyRequest) -> Result<v1::ApplyReply, Status> {
    let Some(Files { directory, rescan }) = &admin.files else {
        return Err(Status::failed_precondition(
            "this control plane reads an API server and no files: use `kubectl apply`",
        ));
    };
    let mut files = Vec::with_capacity(request.files.len());
    for file in request.files {
        files.push(NewFile::read(file)?);
    }
    // Nobody reads, and nobody else applies, between the check and the last file.
    let whole = directory.publishing().await;
    let (directory, settings) = (directory.clone(), admin.world.view().set.settings().clone());
    let dry_run = request.dry_run;
    let work = move || {
        let before = directory.texts().map_err(|error| Status::failed_precondition(error.to_string()))?;
        let mut after = before.clone();
        for file in &files {
            match &file.text {
                Some(text) => after.insert(file.name.as_str().into(), Ok(Arc::clone(text))),
                None => after.remove(&Arc::<str>::from(file.name.as_str())),
            };
        }
        let found = check_for(settings.clone(), &readable(&after)).diagnostics;
        let known = check_for(settings, &readable(&before)).diagnostics;
        let is_new =
            |finding: &&Diagnostic| finding.is_error() && !known.iter().any(|old| same(old, finding));
        let refused = found.iter().any(|finding| is_new(&finding));
        let write = !refused && !dry_run && before != after;
        if write {
            for file in &files {
                file.write(directory.root())?;
            }
        }
        Ok::<_, Status>((found, refused))
    };
    let (found, refused) = blocking(work).await??;
    drop(whole);
    let revision = if dry_run || refused { admin.world.revision().await } else { rescan.now().await };
    let revision =
        revision.ok_or_else(|| Status::unavailable("the files could not be read back; see the log"))?;
    Ok(v1::ApplyReply {
        revision,
        findings: found.into_iter().map(finding).collect(),
        applied: !dry_run && !refused,
    })
}

/// A file that is to be written, or deleted.
struct NewFile {
    name: String,
    /// `None`: delete it.
    text: Option<Arc<str>>,
}

impl NewFile {
    /// A name below the config directory, of a file that will be read, and a text that can be.
    fn read(file: v1::apply_request::File) -> Result<Self, Status> {
        let path = Path::new(&file.name);
        // Judged as text: one file has one name here, and findings name it by that.
        let plain = |part: &str| !part.is_empty() && !part.starts_with('.');
        let readable = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let wrong = |why: &str| Status::invalid_argument(format!("file {:?}: {why}", file.name));
        if !file.name.split('/').all(plain) || file.name.contains(|c: char| c.is_control() || c == '\\') {
            return Err(wrong("write a relative path without `..` and without parts that begin with a dot"));
        }
        if !readable {
            return Err(wrong("only files that end in .yaml or .yml are read"));
        }
        if file.text.len() > MAX_FILE {
            return Err(wrong("it is too large; split it"));
        }
        let text = String::from_utf8(file.text).map_err(|_| wrong("it is not UTF-8"))?;
        Ok(Self { name: file.name, text: (!text.is_empty()).then(|| text.into()) })
    }

    /// Writes beside the place, flushes, and renames into it.
    fn write(&self, root: &Path) -> Result<(), Status> {
        let path = root.join(&self.name);
        let failed =
            |source: io::Error| Status::internal(format!("cannot write {}: {source}", path.display()));
        let Some(text) = &self.text else {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            };
        };
        let parent = path.parent().unwrap_or(root);
        fs::create_dir_all(parent).map_err(failed)?;
        let beside = beside(&path);
        let mut file = File::create(&beside).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&beside, &path).map_err(failed)?;
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)
    }
}

/// Hidden, so that a half-written one is never read.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

fn readable(texts: &Texts) -> Vec<(&str, &str)> {
    texts.iter().filter_map(|(name, text)| Some((&**name, &**text.as_ref().ok()?))).collect()
}

/// The same complaint, wherever it has moved.
fn same(a: &Diagnostic, b: &Diagnostic) -> bool {
    (&a.file, &a.object, &a.field, &a.message) == (&b.file, &b.object, &b.field, &b.message)
}

fn finding(diagnostic: Diagnostic) -> v1::Finding {
    v1::Finding {
        severity: match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
        .to_owned(),
        file: diagnostic.file.unwrap_or_default(),
        line: diagnostic.line.unwrap_or_default(),
        object: diagnostic.object.map(|object| object.to_string()).unwrap_or_default(),
        field: diagnostic.field,
        message: diagnostic.message,
        help: diagnostic.help,
    }
}
