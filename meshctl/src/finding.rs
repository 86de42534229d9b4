//! What is wrong with manifests, as `check` finds it here and `apply` hears it from the control plane: one shape,
//! one way to print it.

use serde::Serialize;
use weft_manifests::diagnostic::{Diagnostic, Severity};
use weft_proto::v1;

use crate::output::{Page, Tone};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// `error` or `warning`.
    pub(crate) severity: String,
    /// Where; empty where it is about no file.
    pub(crate) file: String,
    /// From 1; 0: not known.
    pub(crate) line: u32,
    /// `HTTPRoute shop/api`, as far as it could be read.
    pub(crate) object: String,
    /// `spec.rules[0].matches[1].path.value`; empty: the object as a whole.
    pub(crate) field: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: String,
}

impl Finding {
    /// Whether something that a file says does not happen.
    pub(crate) fn is_error(&self) -> bool {
        self.severity != "warning"
    }

    /// Writes it in two or three lines: what and where, then what to do.
    pub(crate) fn tell(&self, page: &mut Page) {
        let tone = if self.is_error() { Tone::Bad } else { Tone::Warn };
        let place = match (self.file.as_str(), self.line) {
            ("", _) => String::new(),
            (file, 0) => format!(" {file}:"),
            (file, line) => format!(" {file}:{line}:"),
        };
        let of = match (self.object.as_str(), self.field.as_str()) {
            ("", "") => String::new(),
            (what, "") | ("", what) => format!(" {what}"),
            (object, field) => format!(" {object}, {field}"),
        };
        let severity = page.paint(tone, format!("{}:", self.severity));
        page.line(format!("{severity}{}", clean(&format!("{place}{of}"))));
        page.line(clean(&format!("    {}", self.message)));
        if !self.help.is_empty() {
            page.toned(Tone::Faint, clean(&format!("    {}", self.help)));
        }
    }
}

impl From<&Diagnostic> for Finding {
    fn from(found: &Diagnostic) -> Self {
        let severity = match found.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        Self {
            severity: severity.to_owned(),
            file: found.file.clone().unwrap_or_default(),
            line: found.line.unwrap_or(0),
            object: found.object.as_ref().map(ToString::to_string).unwrap_or_default(),
            field: found.field.clone(),
            message: found.message.clone(),
            help: found.help.clone(),
        }
    }
}

impl From<v1::Finding> for Finding {
    fn from(wire: v1::Finding) -> Self {
        let v1::Finding { severity, file, line, object, field, message, help } = wire;
        Self { severity, file, line, object, field, message, help }
    }
}

/// `2 errors, 1 warning`, or `nothing to remark`.
pub(crate) fn summary(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|found| found.is_error()).count();
    let counted = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        many => Some(format!("{many} {what}s")),
    };
    let parts: Vec<String> = [counted(errors, "error"), counted(findings.len() - errors, "warning")]
        .into_iter()
        .flatten()
        .collect();
    if parts.is_empty() { "nothing to remark".to_owned() } else { parts.join(", ") }
}

/// A name in a file may hold anything; on a terminal it must not be able to do anything.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding() -> Finding {
        Finding {
            severity: "error".into(),
            file: "shop.yaml".into(),
            line: 14,
            object: "HTTPRoute shop/api".into(),
            field: "spec.rules[0]".into(),
            message: "no such Service".into(),
            help: "create it".into(),
        }
    }

    #[test]
    fn a_finding_says_where_what_and_what_to_do() {
        let mut page = Page::new(false);
        finding().tell(&mut page);
        let want =
            "error: shop.yaml:14: HTTPRoute shop/api, spec.rules[0]\n    no such Service\n    create it\n";
        assert_eq!(page.into_text(), want);
    }

    #[test]
    fn errors_and_warnings_are_counted_apart() {
        let warning = Finding { severity: "warning".into(), ..finding() };
        for (findings, want) in [
            (vec![], "nothing to remark"),
            (vec![finding()], "1 error"),
            (vec![finding(), warning.clone(), finding()], "2 errors, 1 warning"),
            (vec![warning], "1 warning"),
        ] {
            assert_eq!(summary(&findings), want);
        }
    }
}
