//! What others are told of the bundle, and what the journal says of it.

use weft_certs::authority::Serial;
use weft_certs::bundle::{DenyList, TrustBundle};
use weft_policy::identity::SpiffeId;
use weft_proto::trust::Trust;

use crate::journal::record::Denied;
use crate::journal::state::State;

/// A bundle as the protocol has it: in parts, which [`encode`](weft_proto::encode::trust) brings into their order.
#[must_use]
pub fn trust_of(bundle: &TrustBundle) -> Trust {
    Trust {
        domain: bundle.domain().clone(),
        sequence: bundle.sequence(),
        anchors: bundle.roots().iter().map(|root| root.to_vec()).collect(),
        denied_serials: bundle.denied().serials.iter().map(|serial| serial.as_bytes().to_vec()).collect(),
        denied_identities: bundle.denied().identities.iter().cloned().collect(),
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
