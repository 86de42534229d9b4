//! What this build understands beyond the first `weft.v1`, by number.
//!
//! A field that an older reader would drop, and that narrows what a resource says, gets a feature id, and every
//! resource that uses it lists the id in `requires`. A proxy that lacks it rejects the resource, or denies where
//! the resource is about who may call: an older proxy never widens a newer rule.

use crate::v1::Resource;

/// The features of this build, sorted. They are what `Hello.features` says. Ids start at 1 and are never reused;
/// the first `weft.v1` has none.
pub const FEATURES: &[u32] = &[];

/// The first feature that a resource requires and this build lacks.
#[must_use]
pub fn missing_features(resource: &Resource) -> Option<u32> {
    resource.requires.iter().copied().find(|id| FEATURES.binary_search(id).is_err())
}
