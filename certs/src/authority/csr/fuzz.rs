//! Any signing request: whatever it asks for, the leaf is the one that was attested, for the key that signed it.

use rustls::pki_types::CertificateDer;

use super::*;
use crate::authority::{Authority, Lifetime};
use crate::bundle::{DenyList, TrustBundle, TrustBundles};
use crate::forge::{WEB, domain, id, now, unix_now};
use crate::verify::{Role, verify_peer};

#[test]
fn any_request_gets_the_leaf_that_was_attested_or_none() {
    let authority = Authority::mint(&domain("weft.local"), now()).unwrap();
    let bundle = TrustBundle::new(domain("weft.local"), 1, [authority.root().clone()], DenyList::default());
    let bundles: TrustBundles = [bundle.unwrap()].into_iter().collect();
    weft_fuzz::law!("csr", |bytes| {
        let key = public_key(bytes, &id(WEB));
        let issued = authority.issue(bytes, &id(WEB), Lifetime::Default, now());
        assert_eq!(key.is_ok(), issued.is_ok());
        let issued = match issued {
            Ok(issued) => issued,
            Err(error) => {
                assert!(error.is_callers_fault(), "{error}");
                assert!(error.to_string().len() < 300, "an audit line stays short");
                return;
            }
        };
        let chain: Vec<CertificateDer<'_>> =
            issued.chain_der.iter().map(|der| der.as_slice().into()).collect();
        for role in [Role::Client, Role::Server] {
            let peer = verify_peer(&bundles, &chain, role, unix_now()).expect("our own leaf is good");
            assert_eq!(peer.id, id(WEB), "never what the request says");
        }
        let leaf = chain.first().unwrap();
        let requested = key.unwrap();
        assert!(leaf.windows(requested.der_bytes().len()).any(|part| part == requested.der_bytes()));
        assert!(leaf.len() < 2048, "nothing else of a request is copied: {} bytes", leaf.len());
    });
}
