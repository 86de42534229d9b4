//! What an operator is told about a file: where, which object, which field, what is wrong, what to do.
//!
//! One shape for everything that can be wrong, so that `meshctl check`, the control plane's log and an object's
//! status say the same words. A diagnostic never stops anything: whoever reads a file gets all of them.

use std::fmt;

use serde::Serialize;
use weft_policy::object::ObjectRef;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something the file says does not happen, or (security kinds) something is denied because of it.
    Error,
    /// It works, and probably not as meant.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Diagnostic {
    /// The file, if it came from one.
    pub file: Option<String>,
    /// From 1; `None` where the source has no lines (objects of an API server).
    pub line: Option<u32>,
    /// How bad it is.
    pub severity: Severity,
    /// The object, as far as it could be read.
    pub object: Option<ObjectName>,
    /// Path of the field: `spec.rules[0].matches[1].path.value`; empty for the object as a whole.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Diagnostic {
    /// A finding that names nothing yet but its words.
    #[must_use]
    pub fn new(severity: Severity, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            file: None,
            line: None,
            severity,
            object: None,
            field: String::new(),
            message: message.into(),
            help: help.into(),
        }
    }

    /// Names the object.
    #[must_use]
    pub fn about(mut self, object: impl Into<ObjectName>) -> Self {
        self.object = Some(object.into());
        self
    }

    /// Names the field.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }

    /// Whether this is an [`Severity::Error`].
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(self.severity, Severity::Error)
    }
}

impl fmt::Display for Diagnostic {
    /// One paragraph: `shop.yaml:14: HTTPRoute shop/api: spec.rules[0].backendRefs[0].port: … — …`
    ///
    /// What a file holds is a stranger's text: characters that would steer a terminal are written as escapes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = String::new();
        if let Some(file) = &self.file {
            place.push_str(file);
            place.push(':');
        }
        if let Some(line) = self.line {
            place.push_str(&line.to_string());
            place.push(':');
        }
        let object = self.object.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut parts = vec![place];
        parts.extend([object, self.field.clone()].into_iter().map(|part| match part.is_empty() {
            true => part,
            false => part + ":",
        }));
        parts.push(self.message.clone());
        if !self.help.is_empty() {
            parts.push(format!("— {}", self.help));
        }
        parts.retain(|part| !part.is_empty());
        parts.join(" ").chars().try_for_each(|c| match c {
            c if c.is_control() || is_bidi_control(c) => write!(f, "{}", c.escape_default()),
            c => write!(f, "{c}"),
        })
    }
}

/// Characters that turn the direction of what follows (Unicode TR 9, "Explicit Formatting Characters").
const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// An object by the words in its file; unlike [`ObjectRef`] it can name a kind that Weft does not know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ObjectName {
    /// `kind`
    pub kind: String,
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl From<&ObjectRef> for ObjectName {
    fn from(object: &ObjectRef) -> Self {
        Self {
            kind: object.kind.as_str().into(),
            namespace: object.namespace.to_string(),
            name: object.name.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_policy::object::Kind;

    #[test]
    fn a_diagnostic_is_one_paragraph_that_says_where_what_and_what_to_do() {
        let mut found = Diagnostic::new(Severity::Error, "no such Service", "create it, or correct the name")
            .about(&ObjectRef::new(Kind::HttpRoute, "shop", "api"))
            .at("spec.rules[0].backendRefs[0]");
        assert_eq!(
            found.to_string(),
            "HTTPRoute shop/api: spec.rules[0].backendRefs[0]: no such Service — create it, or correct the name"
        );
        found.file = Some("shop.yaml".into());
        found.line = Some(14);
        assert!(found.to_string().starts_with("shop.yaml:14: HTTPRoute shop/api: "));
        found.message = "`\u{1b}[2J\u{202e}` is not known".into();
        assert!(found.to_string().contains(r"`\u{1b}[2J\u{202e}` is not known"), "{found}");
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["severity"], "error");
        assert_eq!(json["object"]["kind"], "HTTPRoute");
    }
}
