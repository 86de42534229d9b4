//! A JSON value as YAML, in block style.
//!
//! Own code, because writing is the easy half: strings that any reader could take for something else are
//! written in JSON's own quotes, which YAML 1.2 reads as they are.

use std::fmt::Write as _;

use serde_json::Value;

/// The value as a YAML document, without the `---`.
pub(crate) fn render(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => write(&mut text, value, 0),
        Value::Array(items) if !items.is_empty() => write(&mut text, value, 0),
        scalar => {
            let _ = writeln!(text, "{}", flow(scalar));
        }
    }
    text
}

/// Writes a collection that is not empty, at a depth of `indent` blanks.
fn write(text: &mut String, value: &Value, indent: usize) {
    let margin = " ".repeat(indent);
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let _ = write!(text, "{margin}{}:", plain_or_quoted(key));
                nested(text, value, indent + 2);
            }
        }
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Object(fields) if !fields.is_empty() => {
                        let mut inner = String::new();
                        write(&mut inner, item, indent + 2);
                        // The first field stands on the dash's own line.
                        let _ = write!(text, "{margin}- {}", inner.trim_start());
                    }
                    _ => {
                        let _ = write!(text, "{margin}-");
                        nested(text, item, indent + 2);
                    }
                }
            }
        }
        _ => {}
    }
}

fn nested(text: &mut String, value: &Value, indent: usize) {
    let is_empty = match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    if is_empty {
        let _ = writeln!(text, " {}", flow(value));
    } else {
        text.push('\n');
        write(text, value, indent);
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(string) => plain_or_quoted(string),
        other => other.to_string(),
    }
}

/// Plain where no reader, of YAML 1.1 either, could take it for anything but these characters.
fn plain_or_quoted(string: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '-');
    let safe =
        string.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') && string.chars().all(harmless);
    let means_something = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| string.eq_ignore_ascii_case(word));
    if safe && !means_something { string.to_owned() } else { Value::from(string).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use weft_manifests::document;

    #[test]
    fn nested_values_are_set_in() {
        let value =
            json!({"split": {"v1": 0.9}, "proxies": [{"name": "web", "ports": [1, 2]}, "x"], "none": []});
        let want =
            "none: []\nproxies:\n  - name: web\n    ports:\n      - 1\n      - 2\n  - x\nsplit:\n  v1: 0.9\n";
        assert_eq!(render(&value), want);
    }

    #[test]
    fn a_reader_gets_back_the_very_strings() {
        for string in [
            "no", "~", "1", "1.5", "-", "a: b", "# x", " a ", "*a", "ü\n\"", "web", "a/b:80", "Null", "",
            "0x1", "y",
        ] {
            let text = render(&json!({"s": string}));
            let read = document::read(&text);
            let field = read.documents[0].root.field("s").unwrap();
            assert_eq!(field.as_str().map(|s| &**s), Some(string), "{text}");
        }
    }
}
