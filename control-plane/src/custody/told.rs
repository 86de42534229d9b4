//! What others are told of the bundle, and what the journal says of it.

use weft_certs::authority::Serial;
use weft_certs::bundle::{DenyList, TrustBundle};
use weft_policy::identity::SpiffeId;
use weft_proto::v1;

use crate::journal::record::Denied;
use crate::journal::state::State;

/// A bundle as it crosses the wire: lists sorted, so that equal bundles are equal bytes.
#[must_use]
pub fn trust_on_the_wire(bundle: &TrustBundle) -> v1::Trust {
    let mut anchor_der: Vec<Vec<u8>> = bundle.roots().iter().map(|root| root.to_vec()).collect();
    anchor_der.sort_unstable();
    v1::Trust {
        trust_domain: bundle.domain().to_string(),
        sequence: bundle.sequence(),
        anchor_der,
        denied_serial: bundle.denied().serials.iter().map(|serial| serial.as_bytes().to_vec()).collect(),
        denied_identity: bundle.denied().identities.iter().map(ToString::to_string).collect(),
    }
}

/// What was recorded was valid; should a later rule find fault with an identity, its denial has no object left.
pub(super) fn deny_list(state: &State) -> DenyList {
    let mut list = DenyList::default();
    for Denied { identity, serial } in &state.denied {
        if !serial.is_empty() {
            list.serials.insert(Serial::from_bytes(serial));
        }
        list.identities.extend(identity.parse::<SpiffeId>());
    }
    list
}
