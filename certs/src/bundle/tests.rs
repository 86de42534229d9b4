//! What a bundle takes for a root, and how a store changes.

use super::*;
use crate::forge::*;
use crate::request::KeyAndRequest;

fn bundle(sequence: u64, forge: &Forge) -> TrustBundle {
    TrustBundle::new(domain("weft.local"), sequence, [forge.root.clone()], DenyList::default()).unwrap()
}

#[test]
fn only_cas_are_roots() {
    let forge = Forge::new();
    let leaf = forge.leaf(WEB).chain()[0].clone();
    let garbage = CertificateDer::from(b"0".to_vec());
    for (what, roots, want) in [
        ("none at all", vec![], Ok(0)),
        ("one", vec![forge.root.clone()], Ok(1)),
        ("one, twice", vec![forge.root.clone(), forge.root.clone()], Ok(1)),
        ("a leaf", vec![forge.root.clone(), leaf], Err(BadBundle::NotACa { index: 1 })),
        ("garbage", vec![garbage], Err(BadBundle::NotACa { index: 0 })),
    ] {
        let got = TrustBundle::new(domain("weft.local"), 1, roots, DenyList::default());
        assert_eq!(got.map(|bundle| bundle.roots().len()), want, "{what}");
    }
    let many = (0..=TrustBundle::MAX_ROOTS).map(|_| Forge::new().root);
    let got = TrustBundle::new(domain("weft.local"), 1, many, DenyList::default());
    assert_eq!(got.unwrap_err(), BadBundle::TooMany);
}

#[test]
fn a_bundle_survives_its_pem_in_order() {
    let (a, b) = (Forge::new(), Forge::new());
    let roots = [a.root, b.root];
    let bundle = TrustBundle::new(domain("weft.local"), 7, roots.clone(), DenyList::default()).unwrap();
    let back = TrustBundle::from_pem(domain("weft.local"), 7, &bundle.to_pem(), DenyList::default()).unwrap();
    assert_eq!(back.roots(), roots);
    assert_eq!((back.sequence(), back.domain().as_str()), (7, "weft.local"));

    let key = KeyAndRequest::generate().unwrap().key.to_pem();
    for text in ["", "no certificate here", &key] {
        let none = TrustBundle::from_pem(domain("weft.local"), 1, text, DenyList::default()).unwrap();
        assert!(none.roots().is_empty(), "{text}");
    }
    let cut = bundle.to_pem().replace("-----END CERTIFICATE-----", "");
    let got = TrustBundle::from_pem(domain("weft.local"), 1, &cut, DenyList::default());
    assert!(matches!(got, Err(BadBundle::Pem(_))), "{got:?}");
}

#[test]
fn a_late_bundle_does_not_bring_a_retired_root_back() {
    let (old, new) = (Forge::new(), Forge::new());
    let store = TrustStore::default();
    let held = |store: &TrustStore| store.current().of("weft.local").map(|bundle| bundle.roots().to_vec());
    assert_eq!(held(&store), None);
    store.update(&bundle(5, &old)).unwrap();
    store.update(&bundle(6, &new)).unwrap();
    assert_eq!(store.update(&bundle(5, &old)), Err(StaleBundle { offered: 5, held: 6 }));
    assert_eq!(held(&store), Some(vec![new.root.clone()]));
    // The same sequence again is a repetition, not a step back.
    store.update(&bundle(6, &new)).unwrap();
    // Whoever replaces everything knows what it does: an operator's rollback, a new epoch.
    store.replace([bundle(1, &old)].into_iter().collect());
    assert_eq!(held(&store), Some(vec![old.root]));
    let nobody = TrustBundles::clone(&store.current()).without(&domain("weft.local"));
    assert_eq!(nobody.iter().count(), 0);
}

#[test]
fn a_root_is_pinned_by_the_sha_256_of_its_der() {
    // The digest of the empty string, FIPS 180-4.
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let hash = RootHash::of(&CertificateDer::from(Vec::new()));
    assert_eq!(hash.to_string(), empty);
    assert_eq!(empty.parse(), Ok(hash));
    assert_eq!(empty.to_uppercase().parse(), Ok(hash));
    for text in
        ["", "e3", &empty[1..], &format!("{empty}00"), &empty.replace('e', "g"), &empty.replace('e', "é")]
    {
        assert_eq!(text.parse::<RootHash>(), Err(BadRootHash), "{text}");
    }
}
