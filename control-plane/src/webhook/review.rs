//! An `AdmissionReview` (admission.k8s.io/v1), as much of it as a verdict needs.

use serde::Deserialize;
use serde_json::Value;

/// What the API server asks about.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    /// By which the answer is known.
    pub uid: String,
    /// `Pod`, `HTTPRoute`, …
    pub kind: String,
    /// The namespace of the object; empty where it stands in none.
    pub namespace: String,
    /// The object as it would be; `Null` when it is deleted.
    pub object: Value,
    /// The object as it is; `Null` when it is made.
    pub before: Value,
}

/// Why a body is no review. The API server then does as its `failurePolicy` says.
#[derive(Debug, thiserror::Error)]
pub enum BadReview {
    /// No JSON, or not of the shape.
    #[error("this is no AdmissionReview: {0}")]
    Shape(#[from] serde_json::Error),
    /// Another kind or version.
    #[error("this is {kind} of {version}; AdmissionReview of admission.k8s.io/v1 is what is read here")]
    Other {
        /// `kind`, shortened.
        kind: String,
        /// `apiVersion`, shortened.
        version: String,
    },
    /// There would be no answer to it.
    #[error("the AdmissionReview has no request, or no uid in it")]
    NoRequest,
}

impl Review {
    /// Reads one.
    ///
    /// # Errors
    /// [`BadReview`]: there is nobody who could be answered.
    pub fn read(body: &[u8]) -> Result<Self, BadReview> {
        let Written { api_version, kind, request } = serde_json::from_slice(body)?;
        if kind != "AdmissionReview" || api_version != VERSION {
            let (kind, version) = (shorten(&kind), shorten(&api_version));
            return Err(BadReview::Other { kind, version });
        }
        let request = request.filter(|request| !request.uid.is_empty()).ok_or(BadReview::NoRequest)?;
        Ok(Self {
            uid: request.uid,
            kind: request.kind.kind,
            namespace: request.namespace,
            object: request.object,
            before: request.old_object,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    request: Option<Asked>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    object: Value,
    #[serde(default)]
    old_object: Value,
}

#[derive(Default, Deserialize)]
struct Kind {
    #[serde(default)]
    kind: String,
}

/// Enough to recognise it by.
fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// What is read and answered.
pub(super) const VERSION: &str = "admission.k8s.io/v1";
