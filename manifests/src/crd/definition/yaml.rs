//! JSON as YAML that people can read and `git diff` shows well: blocks, one value a line, strings quoted where they
//! could be read as anything else.

use std::fmt::Write;

use serde_json::Value;

pub(super) fn write(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

/// A value that begins on a line of its own.
fn block(value: &Value, depth: usize, into: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                into.push_str(&indent);
                field(name, value, depth, into);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                into.push_str(&indent);
                into.push_str("- ");
                match item {
                    Value::Object(fields) if !fields.is_empty() => {
                        for (nth, (name, value)) in fields.iter().enumerate() {
                            if nth > 0 {
                                into.push_str(&indent);
                                into.push_str("  ");
                            }
                            field(name, value, depth + 1, into);
                        }
                    }
                    other => {
                        into.push_str(&scalar(other));
                        into.push('\n');
                    }
                }
            }
        }
        other => {
            into.push_str(&indent);
            into.push_str(&scalar(other));
            into.push('\n');
        }
    }
}

/// The rest of a line that begins with a field's name, and what belongs to it.
fn field(name: &str, value: &Value, depth: usize, into: &mut String) {
    into.push_str(&text(name));
    let is_block = match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if is_block {
        into.push_str(":\n");
        block(value, depth + 1, into);
    } else {
        // Writing to a string cannot fail.
        let _written = writeln!(into, ": {}", scalar(value));
    }
}

/// What fits in a line: empty lists and maps, and everything that is neither. JSON is YAML.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        other => other.to_string(),
    }
}

/// Bare where every reader of YAML takes it for the same text, else quoted as in JSON.
fn text(string: &str) -> String {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'/' | b'_');
    let is_plain =
        string.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()) && string.bytes().all(inner);
    let means_more = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    if is_plain && !means_more.contains(&string.to_ascii_lowercase().as_str()) {
        string.to_owned()
    } else {
        Value::from(string).to_string()
    }
}
