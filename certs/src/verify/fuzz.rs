//! Any bytes as a peer's certificate: read without a surprise, and trusted only if our own authority made it.

use super::*;
use crate::bundle::DenyList;
use crate::forge::{Forge, WEB, unix_now};

#[test]
fn any_certificate_is_read_and_none_is_trusted_but_our_own() {
    let forge = Forge::new();
    let bundles: TrustBundles = [forge.bundle("weft.local", DenyList::default())].into_iter().collect();
    let ours = forge.leaf(WEB);
    let intermediate = ours.chain().get(1).cloned().unwrap();
    weft_fuzz::law!("certificate", |bytes| {
        let stranger = CertificateDer::from(bytes);
        if let Ok(peer) = peer(std::slice::from_ref(&stranger)) {
            assert_eq!(peer.id.as_str().parse(), Ok(peer.id.clone()), "an identity in its one form");
            assert_eq!(peer_identity(std::slice::from_ref(&stranger)), Ok(peer.id));
        }
        let chains = [
            vec![stranger.clone()],
            vec![stranger.clone(), intermediate.clone()],
            vec![stranger.clone(), stranger.clone()],
        ];
        for chain in &chains {
            for role in [Role::Client, Role::Server] {
                let told =
                    verify_peer(&bundles, chain, role, unix_now()).expect_err("nobody of ours made it");
                assert!(!told.label().is_empty() && told.to_string().len() < 3000);
            }
        }
        // Behind a good leaf it may stand, as an intermediate that is not needed: it changes nobody's name.
        let beside = [ours.chain(), std::slice::from_ref(&stranger)].concat();
        if let Ok(peer) = verify_peer(&bundles, &beside, Role::Client, unix_now()) {
            assert_eq!(peer.id.as_str(), WEB);
        }
    });
}
