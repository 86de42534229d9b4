//! Files into accepted objects: what `meshctl check`, `meshctl up` and a control plane's directory source share.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use weft_policy::object::ObjectRef;

use crate::diagnostic::{Diagnostic, Severity};
use crate::document::{self, Document};
use crate::node::Node;
use crate::object::{self, Object};

/// Everything that some files hold.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// By name; of several files that define an object the first one's.
    pub objects: BTreeMap<ObjectRef, Found>,
    /// Objects that are defined and not accepted: whoever has an older version of one may keep it.
    pub rejected: BTreeMap<ObjectRef, Place>,
    /// What is wrong, by file and line.
    pub diagnostics: Vec<Diagnostic>,
}

/// An accepted object and where it stands.
#[derive(Clone, Debug)]
pub struct Found {
    /// The object.
    pub object: Object,
    /// Where it stands.
    pub place: Place,
    /// As read, for the lines of its fields.
    pub(crate) source: Arc<Node>,
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's name, as given.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
}

/// Loads files, given by name and text. The order of files does not matter.
#[must_use]
pub fn load<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Loaded {
    let mut files: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_ref(), text.as_ref())).collect();
    files.sort_unstable();
    let mut loaded = Loaded::default();
    for (name, text) in files {
        let file: Arc<str> = name.into();
        let read = document::read(text);
        loaded.report(&file, read.problems);
        for document in read.documents {
            loaded.take(&file, document);
        }
    }
    loaded.rejected.retain(|key, _| !loaded.objects.contains_key(key));
    loaded.diagnostics.sort();
    loaded
}

impl Loaded {
    /// The accepted objects.
    pub fn accepted(&self) -> impl Iterator<Item = Object> + '_ {
        self.objects.values().map(|found| found.object.clone())
    }

    /// Whether anything has gone wrong.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    fn take(&mut self, file: &Arc<str>, document: Document) {
        let place = Place { file: Arc::clone(file), line: document.line };
        let decoded = object::decode(&document);
        let has_errors = decoded.diagnostics.iter().any(Diagnostic::is_error);
        self.report(file, decoded.diagnostics);
        let Some(key) = decoded.key else { return };
        let Some(object) = decoded.object else {
            if has_errors {
                self.rejected.entry(key).or_insert(place);
            }
            return;
        };
        match self.objects.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(Found { object, place, source: Arc::new(document.root) });
            }
            Entry::Occupied(mut first) => {
                let found = again(first.get_mut(), &object, &place);
                self.report(file, vec![found]);
            }
        }
    }

    fn report(&mut self, file: &Arc<str>, diagnostics: Vec<Diagnostic>) {
        let named = diagnostics.into_iter().map(|found| Diagnostic { file: Some(file.to_string()), ..found });
        self.diagnostics.extend(named);
    }
}

/// The same object once more. Whoever wrote it twice may have meant either. A security policy that says two
/// things is not understood, so it denies.
fn again(first: &mut Found, other: &Object, place: &Place) -> Diagnostic {
    let same = first.object == *other;
    let consequence = match (&mut first.object, other) {
        _ if same => "both say the same",
        (Object::AuthorizationPolicy(kept), Object::AuthorizationPolicy(other)) => {
            let kept = Arc::make_mut(kept);
            kept.scope = kept.scope.union(&other.scope);
            kept.not_understood = Some("it is defined twice, differently".into());
            "they differ, so this policy denies all it applies to"
        }
        (Object::AuthenticationPolicy(kept), Object::AuthenticationPolicy(other)) => {
            let kept = Arc::make_mut(kept);
            kept.scope = kept.scope.union(&other.scope);
            kept.mode = Some(weft_policy::authorize::MtlsMode::Strict);
            kept.ports.clear();
            kept.not_understood = Some("it is defined twice, differently".into());
            "they differ, so strict mTLS holds wherever this policy applies"
        }
        _ => "they differ, and the first one holds",
    };
    let message = format!("already defined at {}:{}; {consequence}", first.place.file, first.place.line);
    let severity = if same { Severity::Warning } else { Severity::Error };
    let found = Diagnostic::new(severity, message, "keep one of the two").about(&first.object.key());
    Diagnostic { line: Some(place.line), ..found }
}

#[cfg(test)]
mod fuzz;
