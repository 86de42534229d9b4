//! A file into documents: cut first, parsed one by one after.
//!
//! A line that begins with `---` or `...` ends a document wherever it stands (YAML 1.2 §9.1.1 forbids it inside
//! any scalar), so cutting the text needs no parser, and one malformed document cannot take the others along.

mod yaml;

use crate::diagnostic::{Diagnostic, ObjectName, Severity};
use crate::node::{Node, Value};

/// One object of a file, as far as it could be read.
#[derive(Debug)]
pub struct Document {
    /// Where it begins, from 1.
    pub line: u32,
    /// Its content; parts may be missing where `problems` is not empty.
    pub root: Node,
    /// What is wrong with its text, in the order of lines.
    pub problems: Vec<Diagnostic>,
    /// Reading stopped before its end: what `root` lacks may have been written.
    pub cut_short: bool,
}

/// Everything in a file.
#[derive(Debug, Default)]
pub struct Documents {
    /// In the order of the file; the items of a `List` stand for themselves.
    pub documents: Vec<Document>,
    /// What is wrong with the file beyond any document of it.
    pub problems: Vec<Diagnostic>,
}

/// Reads the documents of a file. Bounded by [`MAX_FILE`], [`MAX_DOCUMENTS`] and a budget of values.
#[must_use]
pub fn read(text: &str) -> Documents {
    let mut read = Documents::default();
    if text.len() > MAX_FILE {
        read.problems.push(Diagnostic::new(
            Severity::Error,
            format!("the file has {} bytes; at most {MAX_FILE} are read", text.len()),
            "split it",
        ));
        return read;
    }
    let mut budget = MAX_NODES;
    for (line, chunk) in cut(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        if read.documents.len() >= MAX_DOCUMENTS {
            read.problems.push(too_many(line));
            break;
        }
        let yaml::Composed { root, problems, cut_short } = yaml::compose(chunk, line, &mut budget);
        let problems = problems.into_iter().map(|problem| Diagnostic {
            line: Some(problem.line),
            ..Diagnostic::new(Severity::Error, problem.message, problem.help)
        });
        match root {
            Some(root) => {
                let document = Document { line: root.line, root, problems: problems.collect(), cut_short };
                unfold(document, &mut read.documents);
            }
            None => read.problems.extend(problems),
        }
    }
    if let Some(beyond) = read.documents.get(MAX_DOCUMENTS) {
        read.problems.push(too_many(beyond.line));
        read.documents.truncate(MAX_DOCUMENTS);
    }
    read
}

fn too_many(line: u32) -> Diagnostic {
    Diagnostic {
        line: Some(line),
        ..Diagnostic::new(
            Severity::Error,
            format!("the file has more than {MAX_DOCUMENTS} documents; from here on they are not read"),
            "split it",
        )
    }
}

impl Document {
    /// A value that does not come from a file.
    #[must_use]
    pub fn from_json(json: &serde_json::Value) -> Self {
        Self { line: 0, root: Node::from_json(json), problems: Vec::new(), cut_short: false }
    }

    /// The words by which it can be named, whatever else is wrong with it.
    #[must_use]
    pub fn name(&self) -> Option<ObjectName> {
        let text = |node: Option<&Node>| node.and_then(Node::as_str).map(ToString::to_string);
        let metadata = self.root.field("metadata");
        Some(ObjectName {
            kind: text(self.root.field("kind"))?,
            namespace: text(metadata.and_then(|m| m.field("namespace"))).unwrap_or_else(|| "default".into()),
            name: text(metadata.and_then(|m| m.field("name")))?,
        })
    }
}

/// The items of a `kind: List` (or `HTTPRouteList`, as `kubectl get -o yaml` writes it), else the document.
fn unfold(mut document: Document, into: &mut Vec<Document>) {
    let is_list =
        document.root.field("kind").and_then(Node::as_str).is_some_and(|kind| kind.ends_with("List"));
    let items = match &mut document.root.value {
        Value::Map(fields) if is_list => fields.iter_mut().find(|(key, _)| &**key == "items"),
        _ => None,
    };
    let Some((_, Node { value: Value::List(items), .. })) = items else {
        into.push(document);
        return;
    };
    let count = items.len();
    for (index, root) in std::mem::take(items).into_iter().enumerate() {
        // Nobody can say how the text's problems divide among the items, so each of them has them all.
        let problems = document.problems.clone();
        let cut_short = document.cut_short && index + 1 == count;
        into.push(Document { line: root.line, root, problems, cut_short });
    }
}

/// The documents' texts and first lines; those with nothing but comments and directives are left out.
fn cut(text: &str) -> Vec<(u32, &str)> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line) = (0, 1);
    let mut offset = 0;
    let mut line_number = 1_u32;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        let marks = |marker| {
            bare.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        };
        if marks("---") {
            chunks.push((start_line, text.get(start..offset).unwrap_or_default()));
            (start, start_line) = (offset, line_number);
        } else if marks("...") {
            chunks.push((start_line, text.get(start..offset).unwrap_or_default()));
            (start, start_line) = (offset + line.len(), line_number.saturating_add(1));
        }
        offset += line.len();
        line_number = line_number.saturating_add(1);
    }
    chunks.push((start_line, text.get(start..).unwrap_or_default()));
    chunks.retain(|(_, chunk)| {
        chunk.lines().any(|line| {
            let line = line.strip_prefix("---").unwrap_or(line).trim();
            !line.is_empty() && !line.starts_with(['#', '%'])
        })
    });
    chunks
}

/// Larger files are not read.
pub const MAX_FILE: usize = 4 << 20;
/// Further documents of a file are not read.
pub const MAX_DOCUMENTS: usize = 10_000;
/// Values in one file, with every alias written out: some 40 MB at most.
const MAX_NODES: usize = 500_000;

#[cfg(test)]
mod tests;
