//! Any file where the certificate was kept: it is ours as a whole, or it is nothing.
//!
//! The corpus has no keys in it: `@KEY@` and the like stand for what is minted when the test begins.

use weft_certs::authority::{Authority, Lifetime};
use weft_certs::request::KeyAndRequest;

use super::*;

#[test]
fn any_kept_file_is_whole_or_nothing() {
    let now = SystemTime::now();
    let domain = "weft.local".parse().unwrap();
    let authority = Authority::mint(&domain, now).unwrap();
    let (key, other) = (KeyAndRequest::generate().unwrap(), KeyAndRequest::generate().unwrap());
    let id = "spiffe://weft.local/ns/shop/sa/web".parse().unwrap();
    let issued = authority.issue(&key.csr_der, &id, Lifetime::Default, now).unwrap();
    let trust = TrustBundle::new(domain, 7, [authority.root().clone()], DenyList::default()).unwrap();
    let json = |text: &str| serde_json::to_string(text).unwrap().trim_matches('"').to_owned();
    let chain: Vec<String> = issued.chain_der.iter().map(|der| hex(der)).collect();
    let real = [
        ("@ROOTS@", json(&trust.to_pem())),
        ("@LEAF@", chain.first().cloned().unwrap()),
        ("@INTERMEDIATE@", chain.get(1).cloned().unwrap_or_default()),
        ("@KEY@", json(&key.key.to_pem())),
        ("@OTHER_KEY@", json(&other.key.to_pem())),
    ];
    weft_fuzz::law!("kept", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let text = real.iter().fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value));
        let Some(kept) = parse(&text) else { return };
        assert_eq!(kept.credentials.us().id, id, "nobody else's key is here");
        let written = OnDisk {
            trust_domain: kept.trust.domain().to_string(),
            sequence: kept.trust.sequence(),
            roots_pem: kept.trust.to_pem(),
            chain_hex: kept.credentials.chain().iter().map(|der| hex(der)).collect(),
            key_pem: key.key.to_pem(),
        };
        let again =
            parse(&serde_json::to_string(&written).unwrap()).expect("what was read can be kept again");
        assert_eq!(again.credentials.us(), kept.credentials.us());
        assert_eq!(
            (again.trust.roots(), again.trust.sequence()),
            (kept.trust.roots(), kept.trust.sequence())
        );
    });
}

#[test]
fn any_hexadecimal_text_is_read_as_it_is_written() {
    weft_fuzz::law!("hexadecimal", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Some(read) = unhex(text) {
            assert_eq!(hex(&read), text.to_ascii_lowercase());
        }
    });
}
