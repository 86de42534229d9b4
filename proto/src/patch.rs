//! What changed in a set of endpoints: one pod replaced costs its address twice and not the set.
//!
//! A patch is a shortcut that proves itself: it applies only to the version it was made from, and what comes out
//! must hash to the version it promises. Whatever else happens, the proxy asks for the whole set ([`NotApplied`]
//! always ends in a `Resync`), so drift heals instead of staying.

use weft_policy::endpoint::{Endpoint, EndpointSet};

use crate::decode::{endpoint_group, endpoints_removed, sound_endpoints};
use crate::field::{Rejected, bounded};
use crate::v1::EndpointPatch;
use crate::{encode, version};

/// The version of a set: that of its canonical encoding.
#[must_use]
pub fn version_of(set: &EndpointSet) -> u64 {
    version::of(&encode::bytes(&encode::endpoints(set)))
}

/// What turns `base` into `next`. Both sets are of one Service port; their versions are those under which they
/// were published.
#[must_use]
pub fn diff(base: &EndpointSet, base_version: u64, next: &EndpointSet, version: u64) -> EndpointPatch {
    let old = encode::by_addr(base);
    let new = encode::by_addr(next);
    let held = |among: &[&Endpoint], addr| {
        among.binary_search_by_key(&addr, |endpoint| encode::on_the_wire(endpoint)).ok()
    };
    let is_new = |endpoint: &&Endpoint| {
        let before = held(&old, encode::on_the_wire(endpoint)).and_then(|place| old.get(place));
        before != Some(endpoint)
    };
    let changed: Vec<&Endpoint> = new.iter().copied().filter(is_new).collect();
    let gone =
        old.iter().map(|endpoint| encode::on_the_wire(endpoint)).filter(|addr| held(&new, *addr).is_none());
    EndpointPatch {
        name: next.of.to_string(),
        base_version,
        version,
        upsert: encode::groups(&changed),
        remove: gone.map(encode::addr).collect(),
    }
}

/// Applies a patch to the set held under `held`.
///
/// # Errors
/// If the patch was made from another version, cannot be read, or does not lead where it says.
pub fn apply(base: &EndpointSet, held: u64, patch: &EndpointPatch) -> Result<EndpointSet, NotApplied> {
    if patch.base_version != held {
        return Err(NotApplied::Base { held, wanted: patch.base_version });
    }
    let removed = endpoints_removed(&patch.remove)?;
    let groups: Vec<Vec<Endpoint>> =
        bounded("upsert", patch.upsert.clone(), patch.upsert.len(), endpoint_group)?;
    let upserted = sound_endpoints(groups.into_iter().flatten().collect())?;

    let stays = |endpoint: &&Endpoint| {
        removed.binary_search(&endpoint.addr).is_err()
            && upserted.binary_search_by_key(&endpoint.addr, |upserted| upserted.addr).is_err()
    };
    let mut endpoints: Vec<Endpoint> = base.endpoints().iter().filter(stays).cloned().collect();
    endpoints.extend(upserted.iter().cloned());
    let next = EndpointSet::new(base.of.clone(), sound_endpoints(endpoints)?);

    let reached = version_of(&next);
    if reached != patch.version {
        return Err(NotApplied::Result { reached, wanted: patch.version });
    }
    Ok(next)
}

/// Why a patch was not applied. The answer is always to ask for the whole set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotApplied {
    /// It was made from something else than what is held.
    #[error("the patch is for version {wanted:016x}, and {held:016x} is held")]
    Base {
        /// Here.
        held: u64,
        /// Where the patch was made.
        wanted: u64,
    },
    /// It led elsewhere: one of the two sides knows a field that the other does not.
    #[error("the patch promised version {wanted:016x} and led to {reached:016x}")]
    Result {
        /// Here.
        reached: u64,
        /// Where the patch was made.
        wanted: u64,
    },
    /// It says something that cannot be.
    #[error("the patch cannot be read")]
    Unreadable {
        /// Which field.
        #[from]
        source: Rejected,
    },
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary;

    proptest! {
        #[test]
        fn a_patch_leads_from_one_set_to_the_other(base in arbitrary::endpoints(), next in arbitrary::endpoints()) {
            let next = EndpointSet::new(base.of.clone(), next.endpoints().to_vec());
            let (held, version) = (version_of(&base), version_of(&next));
            let patch = diff(&base, held, &next, version);
            prop_assert_eq!(apply(&base, held, &patch), Ok(next));
        }

        #[test]
        fn a_patch_leads_from_a_set_to_a_neighbour_of_it(
            base in arbitrary::endpoints(),
            picks in prop::collection::vec((any::<prop::sample::Index>(), 0u8..3), 0..4),
        ) {
            let mut next = base.endpoints().to_vec();
            for (index, what) in picks.iter().filter(|_| !base.endpoints().is_empty()) {
                let index = index.index(base.endpoints().len());
                match (what, next.get_mut(index)) {
                    (0, Some(endpoint)) => endpoint.weight = endpoint.weight % 1000 + 1,
                    (1, Some(endpoint)) => endpoint.target_port ^= 2,
                    (_, Some(_)) => drop(next.remove(index)),
                    (_, None) => {}
                }
            }
            next.retain(|endpoint| endpoint.target_port != 0);
            let next = EndpointSet::new(base.of.clone(), next);
            let (held, version) = (version_of(&base), version_of(&next));
            let patch = diff(&base, held, &next, version);
            prop_assert!(patch.upsert.iter().map(|group| group.endpoints.len()).sum::<usize>() <= picks.len());
            prop_assert_eq!(apply(&base, held, &patch), Ok(next));
        }

        #[test]
        fn a_patch_for_something_else_is_not_applied(
            base in arbitrary::endpoints(), other in arbitrary::endpoints(), next in arbitrary::endpoints(),
        ) {
            let patch = diff(&base, version_of(&base), &next, version_of(&next));
            let held = version_of(&other);
            prop_assume!(held != patch.base_version);
            let refused = apply(&other, held, &patch);
            prop_assert_eq!(refused, Err(NotApplied::Base { held, wanted: patch.base_version }));
            // The same with a wrong belief about what is held: the result gives it away.
            let believed = apply(&other, patch.base_version, &patch);
            let sound = match believed {
                Err(NotApplied::Result { .. } | NotApplied::Unreadable { .. }) => true,
                Ok(set) => version_of(&set) == patch.version,
                Err(NotApplied::Base { .. }) => false,
            };
            prop_assert!(sound);
        }
    }

    #[test]
    fn a_patch_that_cannot_be_read_says_where() {
        let base = EndpointSet::new(arbitrary::a_service_port(), Vec::new());
        let held = version_of(&base);
        let patch =
            EndpointPatch { base_version: held, remove: vec![vec![1, 2, 3]], ..EndpointPatch::default() };
        let Err(NotApplied::Unreadable { source }) = apply(&base, held, &patch) else { panic!("applied") };
        assert_eq!(source.path, "remove[0]");
    }
}
