//! What is answered: taken as it is, taken with a change, or refused with a reason; and what whoever has sent the object
//! should know besides.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::review::{Review, VERSION};

/// What becomes of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is taken.
    Taken {
        /// What is changed before that, as JSON Patch.
        patch: Option<Value>,
        /// Shown by `kubectl`.
        warnings: Vec<String>,
    },
    /// It is not.
    Refused {
        /// Why, for whoever has sent it, and what to do.
        why: String,
        /// Shown by `kubectl`.
        warnings: Vec<String>,
    },
}

impl Verdict {
    /// Nothing is to be said about it.
    pub const FINE: Self = Self::Taken { patch: None, warnings: Vec::new() };

    /// The whole answer to a review.
    #[must_use]
    pub fn answer(&self, review: &Review) -> Value {
        let mut response = json!({"uid": review.uid, "allowed": matches!(self, Self::Taken { .. })});
        let mut say = |name: &str, value: Value| {
            if let Some(fields) = response.as_object_mut() {
                fields.insert(name.to_owned(), value);
            }
        };
        let warnings = match self {
            Self::Taken { patch, warnings } => {
                if let Some(patch) = patch {
                    say("patchType", "JSONPatch".into());
                    say("patch", STANDARD.encode(patch.to_string()).into());
                }
                warnings
            }
            Self::Refused { why, warnings } => {
                say("status", json!({"code": 422, "reason": "Invalid", "message": why}));
                warnings
            }
        };
        if !warnings.is_empty() {
            let shown = warnings.iter().take(MOST_WARNINGS).map(|warning| one_line(warning));
            say("warnings", shown.collect());
        }
        json!({"apiVersion": VERSION, "kind": "AdmissionReview", "response": response})
    }
}

/// A warning travels in a header, and an API server cuts long ones (KEP-1693: 256 characters).
fn one_line(text: &str) -> Value {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(LONGEST_WARNING) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()).into(),
        None => line.into(),
    }
}

const MOST_WARNINGS: usize = 12;
const LONGEST_WARNING: usize = 250;
