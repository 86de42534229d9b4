//! Where objects come from. Every source gives the same thing: a whole [`Reading`] of what there is now, never a
//! stream of edits, so that a lost notification costs time and not truth.
//!
//! Reading is separate from finding files: [`Reading::of`] is a function of names and texts, which `Admin.Apply`
//! runs on what is about to be written, before it is.

pub mod directory;
pub mod last_good;
pub mod follow;
pub mod memory;
pub mod kubernetes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_manifests::diagnostic::{Diagnostic, ObjectName, Severity};
use weft_manifests::load::{self, Place};
use weft_manifests::object::Object;
use weft_policy::object::ObjectRef;

/// The texts of all files, by name relative to the config directory. `Err` holds why one cannot be read.
pub type Texts = BTreeMap<Arc<str>, Result<Arc<str>, String>>;

/// An object, and where it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The object.
    pub object: Object,
    /// File and line.
    pub place: Place,
}

/// All objects of a source, and all that is wrong with them.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// What can be used.
    pub objects: BTreeMap<ObjectRef, Placed>,
    /// What is wrong, file by file.
    pub findings: Vec<Diagnostic>,
    /// Objects that are there and cannot be used: their last good versions stay.
    broken: BTreeSet<ObjectRef>,
    /// Files in which there may be objects that could not be made out: what was in them stays.
    unclear: BTreeSet<Arc<str>>,
}

impl Reading {
    /// Reads all files.
    #[must_use]
    pub fn of(texts: &Texts) -> Self {
        let readable: Vec<(&str, &str)> =
            texts.iter().filter_map(|(file, text)| Some((&**file, &**text.as_ref().ok()?))).collect();
        let loaded = load::load(&readable);
        // An error about nobody, or about somebody who is neither accepted nor rejected (a kind that is misspelt).
        let known: BTreeSet<ObjectName> =
            loaded.objects.keys().chain(loaded.rejected.keys()).map(ObjectName::from).collect();
        let is_known =
            |found: &Diagnostic| found.object.as_ref().is_some_and(|object| known.contains(object));
        let nameless = loaded.diagnostics.iter().filter(|found| found.is_error() && !is_known(found));
        let mut reading = Self {
            unclear: nameless.filter_map(|found| found.file.as_deref()).map(Arc::from).collect(),
            broken: loaded.rejected.into_keys().collect(),
            ..Self::default()
        };
        for (key, found) in loaded.objects {
            reading.objects.insert(key, Placed { object: found.object, place: found.place });
        }
        reading.findings = loaded.diagnostics;
        for (file, problem) in texts.iter().filter_map(|(file, text)| Some((file, text.as_ref().err()?))) {
            let message = format!("the file cannot be read: {problem}");
            reading.note(file, Diagnostic::new(Severity::Error, message, "check its owner and its encoding"));
            reading.unclear.insert(Arc::clone(file));
        }
        reading
    }

    /// This reading, with the last good version of every object that is in it and cannot be used. Of those, it
    /// says so once more.
    #[must_use]
    pub fn keeping(mut self, good: &BTreeMap<ObjectRef, Placed>) -> Self {
        for (key, placed) in good {
            let is_broken = self.broken.contains(key) || self.unclear.contains(&placed.place.file);
            if !is_broken || self.objects.contains_key(key) {
                continue;
            }
            let message = "this object cannot be read as it is now; its last good version stays in force";
            let kept = Diagnostic::new(Severity::Error, message, "correct the file, or delete the object");
            self.note(&placed.place.file, kept.about(key));
            self.objects.insert(key.clone(), placed.clone());
        }
        self
    }

    fn note(&mut self, file: &str, mut diagnostic: Diagnostic) {
        diagnostic.file = Some(file.to_owned());
        self.findings.push(diagnostic);
    }
}

#[cfg(test)]
mod tests;
