//! Routes and policies on their way in: what is an error to whoever reads them is refused, in the words of `meshctl check`;
//! what is probably not meant is a warning.
//!
//! Whoever has a bad object already must be able to label it, to finalize it and to be rid of it: an update that leaves its
//! `spec` alone is taken, and so is everything on its way out.

use serde_json::Value;
use weft_manifests::check::check_object;
use weft_manifests::diagnostic::Diagnostic;

use super::{Review, Verdict};

/// What becomes of an object.
pub(super) fn judge(review: &Review) -> Verdict {
    let object = &review.object;
    let goes = object.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null());
    if object.is_null() || goes {
        return Verdict::FINE;
    }
    let (errors, warnings): (Vec<_>, Vec<_>) =
        check_object(object).into_iter().partition(Diagnostic::is_error);
    let said = |findings: &[Diagnostic]| findings.iter().map(ToString::to_string).collect::<Vec<_>>();
    let is_as_before = !review.before.is_null() && spec(&review.before) == spec(object);
    if errors.is_empty() || is_as_before {
        return Verdict::Taken { patch: None, warnings: said(&[errors, warnings].concat()) };
    }
    let mut why = said(errors.get(..MOST).unwrap_or(&errors)).join("; ");
    if errors.len() > MOST {
        why.push_str(&format!("; and {} more", errors.len() - MOST));
    }
    Verdict::Refused { why, warnings: said(&warnings) }
}

fn spec(object: &Value) -> Option<&Value> {
    object.get("spec")
}

/// So many reasons are read.
const MOST: usize = 8;
