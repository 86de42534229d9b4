//! What changed in a set of endpoints, for a proxy that holds an earlier version of it.
//!
//! One replaced pod costs some ninety bytes however large the set. A patch is made where it is shorter than the
//! whole; the proxy asks for the whole when one does not fit.

use prost::Message;
use weft_proto::{patch, v1};

use crate::compile::table::{Compiled, Id, Table};

/// The patch from `held` to what is current; `None` if `held` is too long ago, or the whole is no longer.
pub(super) fn from(id: &Id, held: u64, current: &Compiled, table: &Table) -> Option<v1::EndpointPatch> {
    let (before, now) = (table.endpoints_at(id, held)?, current.endpoints.as_ref()?);
    let patch = patch::diff(before, held, now, current.version);
    (patch.encoded_len() < current.body.len()).then_some(patch)
}
