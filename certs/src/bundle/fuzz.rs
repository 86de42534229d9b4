//! Any PEM as a trust bundle: roots and nothing else, and written as they were read.

use super::*;
use crate::forge::domain;

#[test]
fn any_pem_that_is_a_bundle_holds_roots_and_reads_back() {
    weft_fuzz::law!("bundle", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(bundle) = TrustBundle::from_pem(domain("weft.local"), 1, &text, DenyList::default()) else {
            return;
        };
        assert!(bundle.roots().len() <= TrustBundle::MAX_ROOTS);
        assert!(bundle.roots().iter().all(|root| anchor(root).is_some()), "a root may sign");
        let distinct: BTreeSet<_> = bundle.roots().iter().map(RootHash::of).collect();
        assert_eq!(distinct.len(), bundle.roots().len(), "each root once");
        let again = TrustBundle::from_pem(domain("weft.local"), 1, &bundle.to_pem(), DenyList::default());
        assert_eq!(again.unwrap().roots(), bundle.roots());
        for hash in distinct {
            assert_eq!(hash.to_string().parse(), Ok(hash));
        }
    });
}
