//! A document as a tree that remembers its lines: what YAML, and JSON from an API server, are both read into.
//!
//! Not serde straight into structs: serde stops at the first mistake and forgets where a value stood. Here one
//! pass over the tree finds every mistake of an object, each with field path and line.

use std::sync::Arc;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// From 1, the line of the value's key where it has one; 0: not from a file.
    pub line: u32,
    /// The value.
    pub value: Value,
}

/// What a node holds. Strings are shared, so an alias to a long one costs a pointer.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(Arc<str>),
    /// In order.
    List(Vec<Node>),
    /// In order, keys unique.
    Map(Vec<(Arc<str>, Node)>),
}

impl Node {
    /// The field of a map.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| &**key == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&Arc<str>> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The line of the field at `path` (as diagnostics write it), or of the nearest enclosing one that is there.
    #[must_use]
    pub fn line_of(&self, path: &str) -> Option<u32> {
        let mut node = self;
        for step in path.split('.').flat_map(|part| part.split('[')) {
            let step = step.strip_suffix(']').unwrap_or(step);
            let next = match &node.value {
                Value::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => node.field(step),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        (node.line > 0).then_some(node.line)
    }

    /// A JSON value, which has no lines. Numbers beyond 64 bits become floating point, as in YAML.
    #[must_use]
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(*flag),
            Json::Number(number) => {
                number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap_or(f64::NAN)), Value::Int)
            }
            Json::String(text) => Value::String(text.as_str().into()),
            Json::Array(items) => Value::List(items.iter().map(Self::from_json).collect()),
            Json::Object(fields) => Value::Map(
                fields.iter().map(|(key, value)| (key.as_str().into(), Self::from_json(value))).collect(),
            ),
        };
        Self { line: 0, value }
    }

    /// The same as a JSON value, without its lines. A number that JSON has no word for (`.inf`, `.nan`) becomes null.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Int(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::String(text) => (**text).into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                entries.iter().map(|(key, node)| ((**key).to_owned(), node.to_json())).collect()
            }
        }
    }
}

impl Value {
    /// What a person would call it, for "expected a list, found a number".
    #[must_use]
    pub const fn describe(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::String(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}
