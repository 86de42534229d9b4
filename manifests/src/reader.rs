//! Reads a [`Node`] tree into typed objects, and writes down everything that is wrong on the way.
//!
//! A reader never fails: it returns `None` for what it cannot use and logs why, with path and line. What the
//! log means is the caller's decision: a route with a wrong value is not accepted, an unknown field is a
//! warning, and a security policy with either denies.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;

use crate::node::{Node, Value};
use crate::suggest;

/// What the readers of one object have to say.
#[derive(Debug, Default)]
pub(crate) struct Log(RefCell<Vec<Entry>>);

/// One remark.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) about: About,
    pub(crate) line: Option<u32>,
    pub(crate) field: String,
    pub(crate) message: String,
    pub(crate) help: String,
}

/// What a remark is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// A field nobody knows.
    UnknownField,
    /// A value that cannot be used, or one that is missing.
    BadValue,
    /// Something that is understood and probably not meant.
    Remark,
}

impl Log {
    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.0.into_inner()
    }

    /// What a security kind does not understand, in the order of the file.
    pub(crate) fn first_problem(&self) -> Option<String> {
        let entries = self.0.borrow();
        let first = entries.iter().find(|entry| entry.about != About::Remark)?;
        let colon = if first.field.is_empty() { "" } else { ": " };
        Some(format!("{}{colon}{}", first.field, first.message))
    }

    /// Writes down what is wrong with the text around a value.
    pub(crate) fn note(&self, line: Option<u32>, message: String, help: String) {
        self.push(Entry { about: About::BadValue, line, field: String::new(), message, help });
    }

    fn push(&self, entry: Entry) {
        let mut entries = self.0.borrow_mut();
        if entries.len() < MAX_ENTRIES {
            entries.push(entry);
        }
    }
}

/// A value at its place.
#[derive(Clone, Debug)]
pub(crate) struct At<'n> {
    node: &'n Node,
    path: String,
    log: &'n Log,
}

impl<'n> At<'n> {
    pub(crate) const fn new(node: &'n Node, path: String, log: &'n Log) -> Self {
        Self { node, path, log }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// Its fields; logs if it is not a map.
    pub(crate) fn fields(&self) -> Option<Fields<'n>> {
        match &self.node.value {
            Value::Map(entries) => Some(Fields { entries, at: self.clone(), known: BTreeSet::new() }),
            other => self.mismatch("a map", other),
        }
    }

    /// Its items; logs, and is empty, if it is not a list.
    pub(crate) fn list(&self) -> Vec<Self> {
        match &self.node.value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, node)| Self { node, path: format!("{}[{index}]", self.path), log: self.log })
                .collect(),
            other => self.mismatch("a list", other).unwrap_or_default(),
        }
    }

    /// Its items, of which there may be at most `max`; logs if there are more, and reads no further.
    pub(crate) fn list_of(&self, max: usize) -> Vec<Self> {
        let mut items = self.list();
        if items.len() > max {
            self.bad(
                format!("has {} items; at most {max} are allowed", items.len()),
                "split the object in two",
            );
            items.truncate(max);
        }
        items
    }

    /// Its entries with their names, for maps whose keys are the operator's own.
    pub(crate) fn entries(&self) -> Vec<(&'n Arc<str>, Self)> {
        match &self.node.value {
            Value::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key, Self { node, path: format!("{}[{key}]", self.path), log: self.log }))
                .collect(),
            other => self.mismatch("a map", other).unwrap_or_default(),
        }
    }

    /// Its text.
    pub(crate) fn text(&self) -> Option<Arc<str>> {
        match &self.node.value {
            Value::String(text) => Some(Arc::clone(text)),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
                self.bad("must be text".to_owned(), "put the value in quotes");
                None
            }
            other => self.mismatch("text", other),
        }
    }

    /// A whole number between the two, both included.
    pub(crate) fn number<T: TryFrom<i64>>(&self, min: i64, max: i64) -> Option<T> {
        let Value::Int(number) = self.node.value else {
            return self.mismatch("a whole number", &self.node.value);
        };
        let fits = (min..=max).contains(&number);
        let value = fits.then(|| T::try_from(number).ok()).flatten();
        if value.is_none() {
            self.bad(format!("{number} is out of range"), format!("use a number from {min} to {max}"));
        }
        value
    }

    /// A port number.
    pub(crate) fn port(&self) -> Option<u16> {
        self.number(1, 65535)
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self) -> Option<bool> {
        match &self.node.value {
            Value::Bool(flag) => Some(*flag),
            other => self.mismatch("true or false", other),
        }
    }

    /// Text that `parse` understands; logs its error if it does not.
    pub(crate) fn parse<T, E: Display>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, E>,
        help: &str,
    ) -> Option<T> {
        let text = self.text()?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.bad(format!("`{}` is not valid: {error}", shorten(&text)), help);
                None
            }
        }
    }

    /// One of the words given, with its meaning; logs if it is another.
    pub(crate) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == &*text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint = suggest::hint(&text, known.iter().copied());
            self.bad(
                format!("`{}` is not known{hint}", shorten(&text)),
                format!("use one of {}", known.join(", ")),
            );
        }
        found
    }

    pub(crate) const fn value(&self) -> &'n Value {
        &self.node.value
    }

    /// Logs a value that cannot be used.
    pub(crate) fn bad(&self, message: impl Into<String>, help: impl Into<String>) {
        self.log(About::BadValue, message.into(), help.into());
    }

    /// Logs something that is probably not meant.
    pub(crate) fn remark(&self, message: impl Into<String>, help: impl Into<String>) {
        self.log(About::Remark, message.into(), help.into());
    }

    fn mismatch<T>(&self, wanted: &str, found: &Value) -> Option<T> {
        self.bad(format!("must be {wanted}, and is {}", found.describe()), format!("write {wanted} here"));
        None
    }

    fn log(&self, about: About, message: String, help: String) {
        self.log.push(Entry {
            about,
            line: (self.node.line > 0).then_some(self.node.line),
            field: self.path.clone(),
            message,
            help,
        });
    }
}

/// The fields of a map, while they are being read.
#[derive(Debug)]
pub(crate) struct Fields<'n> {
    entries: &'n [(Arc<str>, Node)],
    at: At<'n>,
    known: BTreeSet<&'static str>,
}

impl<'n> Fields<'n> {
    /// The map itself, for remarks about it.
    pub(crate) const fn at(&self) -> &At<'n> {
        &self.at
    }

    /// Whether nothing at all is written in the map.
    pub(crate) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A field that may be absent; `null` is the same as absent (Kubernetes API conventions, "Optional").
    pub(crate) fn get(&mut self, name: &'static str) -> Option<At<'n>> {
        self.get_or_null(name).filter(|at| !matches!(at.node.value, Value::Null))
    }

    /// A field that may be absent, where `null` is not the same as absent.
    pub(crate) fn get_or_null(&mut self, name: &'static str) -> Option<At<'n>> {
        self.known.insert(name);
        let (_, node) = self.entries.iter().find(|(key, _)| &**key == name)?;
        Some(At { node, path: self.path_of(name), log: self.at.log })
    }

    /// A field that must be there; logs if it is not.
    pub(crate) fn need(&mut self, name: &'static str) -> Option<At<'n>> {
        let found = self.get(name);
        if found.is_none() {
            self.at.bad(format!("`{name}` is missing"), format!("add `{name}`"));
        }
        found
    }

    /// The items of a list that may be absent.
    pub(crate) fn items(&mut self, name: &'static str, max: usize) -> Vec<At<'n>> {
        self.get(name).map(|at| at.list_of(max)).unwrap_or_default()
    }

    /// Fields that are known and not looked at.
    pub(crate) fn skip(&mut self, names: &[&'static str]) {
        self.known.extend(names);
    }

    /// Logs the fields that nobody has asked for.
    pub(crate) fn finish(self) {
        for (key, node) in self.entries.iter().filter(|(key, _)| !self.known.contains(&**key)) {
            let hint = suggest::hint(key, self.known.iter().copied());
            let at = At { node, path: self.path_of(&shorten(key)), log: self.at.log };
            at.log(
                About::UnknownField,
                format!("no such field{hint}"),
                "correct its name, or take it out".to_owned(),
            );
        }
    }

    fn path_of(&self, name: &str) -> String {
        if self.at.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at.path) }
    }
}

/// What an operator wrote, short enough for a message.
pub(crate) fn shorten(text: &str) -> String {
    if text.chars().count() <= MAX_QUOTE {
        return text.to_owned();
    }
    let start: String = text.chars().take(MAX_QUOTE).collect();
    format!("{start}…")
}

/// Remarks kept about one object.
const MAX_ENTRIES: usize = 100;
/// Characters of a value that a message repeats.
const MAX_QUOTE: usize = 60;
