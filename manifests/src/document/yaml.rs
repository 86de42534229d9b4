//! YAML events into a [`Node`] tree, within a budget.
//!
//! The tree is built without recursion and kept as far as it got: after a syntax error everything above it is
//! still there, so the kind and name of a damaged document are known. Aliases are copied, which is how a few
//! lines become gigabytes ("billion laughs"): copies count against the budget before they are made, and so does
//! the depth they would reach, because a tree is dropped and walked by recursion.

use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use crate::node::{Node, Value};

/// A document as far as it could be read.
#[derive(Debug, Default)]
pub(crate) struct Composed {
    /// `None` for a document without content.
    pub(crate) root: Option<Node>,
    /// What is wrong with its text. Not empty: `root` may miss something.
    pub(crate) problems: Vec<Problem>,
    /// Reading stopped before its end.
    pub(crate) cut_short: bool,
}

/// Something wrong with the text itself.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) line: u32,
    pub(crate) message: String,
    pub(crate) help: &'static str,
}

/// Reads one document that begins at `first_line` of its file. Takes the nodes it makes out of `budget`.
pub(crate) fn compose(text: &str, first_line: u32, budget: &mut usize) -> Composed {
    let options = granit_parser::options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH, emit_comments: false };
    let mut composer =
        Composer { open: Vec::new(), anchors: Vec::new(), done: Composed::default(), budget, first_line };
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => composer.step(event, composer.line(span.start.line())),
            Err(error) => Err(Problem {
                line: composer.line(error.marker().line()),
                message: format!("this is not YAML: {}", error.info()),
                help: "correct the line, or the indentation of the lines above it",
            }),
        };
        if let Err(problem) = step {
            composer.done.problems.push(problem);
            composer.done.cut_short = true;
            break;
        }
    }
    composer.finish()
}

struct Composer<'b> {
    /// Collections whose end has not come yet, outermost first.
    open: Vec<Open>,
    /// By the parser's anchor number.
    anchors: Vec<(usize, Anchored)>,
    done: Composed,
    budget: &'b mut usize,
    first_line: u32,
}

/// A collection under construction.
struct Open {
    node: Node,
    anchor: usize,
    /// In a map: the key whose value comes next.
    key: Option<(Arc<str>, u32)>,
    /// Nodes in it, itself included.
    size: usize,
    /// Levels below and including it.
    depth: usize,
}

#[derive(Clone)]
struct Anchored {
    node: Node,
    size: usize,
    depth: usize,
}

impl Composer<'_> {
    fn line(&self, line_in_text: usize) -> u32 {
        u32::try_from(line_in_text.saturating_sub(1)).unwrap_or(u32::MAX).saturating_add(self.first_line)
    }

    fn step(&mut self, event: Event<'_>, line: u32) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), line);
                self.spend(1, line)?;
                self.add(Anchored { node: Node { line, value }, size: 1, depth: 1 }, anchor, line)
            }
            Event::SequenceStart(_, anchor, _) => self.open(Value::List(Vec::new()), anchor, line),
            Event::MappingStart(_, anchor, _) => self.open(Value::Map(Vec::new()), anchor, line),
            Event::SequenceEnd | Event::MappingEnd => self.close(line),
            Event::Alias(number) => {
                let Some((_, target)) = self.anchors.iter().find(|(known, _)| *known == number) else {
                    return Err(Problem {
                        line,
                        message: "an alias points into the collection it stands in".into(),
                        help: "write the value out instead of the alias",
                    });
                };
                let (size, depth) = (target.size, target.depth);
                self.spend(size, line)?;
                if self.open.len() + depth > MAX_DEPTH {
                    return Err(too_deep(line));
                }
                let copy = self.anchors.iter().find(|(known, _)| *known == number).map(|(_, a)| a.clone());
                copy.map_or(Ok(()), |copy| self.add(copy, 0, line))
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, value: Value, anchor: usize, line: u32) -> Result<(), Problem> {
        self.spend(1, line)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(line));
        }
        self.open.push(Open { node: Node { line, value }, anchor, key: None, size: 1, depth: 1 });
        Ok(())
    }

    fn close(&mut self, line: u32) -> Result<(), Problem> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        self.add(Anchored { node: open.node, size: open.size, depth: open.depth }, open.anchor, line)
    }

    /// Puts a finished node into the collection around it.
    fn add(&mut self, mut made: Anchored, anchor: usize, line: u32) -> Result<(), Problem> {
        if anchor != 0 {
            self.anchors.push((anchor, made.clone()));
        }
        let Some(parent) = self.open.last_mut() else {
            self.done.root.get_or_insert(made.node);
            return Ok(());
        };
        parent.size += made.size;
        parent.depth = parent.depth.max(made.depth + 1);
        match &mut parent.node.value {
            Value::List(items) => items.push(made.node),
            Value::Map(entries) => match parent.key.take() {
                Some((key, key_line)) => {
                    made.node.line = key_line;
                    if entries.iter().any(|(known, _)| *known == key) {
                        self.done.problems.push(Problem {
                            line: key_line,
                            message: format!("the key `{key}` stands twice in one map"),
                            help: "keep one of the two",
                        });
                    } else {
                        entries.push((key, made.node));
                    }
                }
                None => parent.key = Some((key_text(&made.node, line)?, line)),
            },
            _ => {}
        }
        Ok(())
    }

    fn spend(&mut self, nodes: usize, line: u32) -> Result<(), Problem> {
        match self.budget.checked_sub(nodes) {
            Some(left) => {
                *self.budget = left;
                Ok(())
            }
            None => Err(Problem {
                line,
                message: "the file has too many values once its aliases are written out".into(),
                help: "split the file, and use fewer aliases",
            }),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, line: u32) -> Value {
        match tag.map(Tag::core_suffix) {
            None if style == ScalarStyle::Plain => plain(text),
            None | Some(Some("str")) => Value::String(text.into()),
            Some(Some("int" | "float" | "bool" | "null")) => plain(text),
            Some(_) => {
                self.done.problems.push(Problem {
                    line,
                    message: "a tag that means nothing here".into(),
                    help: "take the `!` word out",
                });
                Value::String(text.into())
            }
        }
    }

    /// Closes what is open, so that a damaged document keeps what was read of it.
    fn finish(mut self) -> Composed {
        while !self.open.is_empty() {
            // Only a second problem with the same text could be reported here.
            let _ = self.close(0);
        }
        self.done
    }
}

/// Keys are text; numbers and the like are taken as they are written.
fn key_text(key: &Node, line: u32) -> Result<Arc<str>, Problem> {
    let text: Arc<str> = match &key.value {
        Value::String(text) => Arc::clone(text),
        Value::Bool(flag) => flag.to_string().into(),
        Value::Int(number) => number.to_string().into(),
        Value::Float(number) => number.to_string().into(),
        Value::Null => "null".into(),
        Value::List(_) | Value::Map(_) => {
            return Err(Problem {
                line,
                message: "a key is a list or a map".into(),
                help: "keys are words; put templates like {{ name }} in quotes",
            });
        }
    };
    if &*text == "<<" {
        return Err(Problem {
            line,
            message: "merge keys (`<<`) are not read".into(),
            help: "write the fields out",
        });
    }
    Ok(text)
}

/// The core schema of YAML 1.2 (§10.3.2). `yes`, `no`, `on` and `off` are text, as the specification has it.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let radix =
        |prefix, radix| text.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok());
    if let Some(number) = text.parse::<i64>().ok().or_else(|| radix("0x", 16)).or_else(|| radix("0o", 8)) {
        return Value::Int(number);
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    let looks_like_a_number =
        unsigned.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
            && unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    match text.parse::<f64>() {
        Ok(number) if looks_like_a_number => Value::Float(number),
        _ => Value::String(text.into()),
    }
}

fn too_deep(line: u32) -> Problem {
    Problem {
        line,
        message: format!("values are nested more than {MAX_DEPTH} levels deep"),
        help: "no object needs that; flatten it",
    }
}

/// The deepest object of Kubernetes has about 20 levels.
const MAX_DEPTH: usize = 64;
