//! Any patch on any set: it leads where it says or nowhere, and where it leads can be patched back from.

use prost::Message;

use super::{NotApplied, apply, diff, version_of};
use crate::decode;
use crate::v1::{EndpointPatch, Endpoints};

#[test]
fn any_patch_leads_where_it_says_or_nowhere() {
    weft_fuzz::law!("patch", |bytes| {
        let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
        let Some((base, patch)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
            return;
        };
        let (Ok(base), Ok(mut patch)) = (Endpoints::decode(base), EndpointPatch::decode(patch)) else {
            return;
        };
        let Ok(base) = decode::endpoints(base) else { return };
        let held = version_of(&base);

        let stranger = apply(&base, held, &EndpointPatch { base_version: !held, ..patch.clone() });
        assert!(matches!(stranger, Err(NotApplied::Base { .. })), "made from something else");

        patch.base_version = held;
        patch.version = match apply(&base, held, &patch) {
            Ok(next) => version_of(&next),
            Err(NotApplied::Result { reached, .. }) => reached,
            Err(_) => return,
        };
        let next = apply(&base, held, &patch).expect("the version is now the one that it leads to");
        assert_eq!((version_of(&next), &next.of), (patch.version, &base.of));
        let back = diff(&next, patch.version, &base, held);
        assert_eq!(apply(&next, patch.version, &back), Ok(base));
    });
}
