//! What the authority signs, for how long, and everything that a request cannot talk it into.

use std::collections::HashSet;

use proptest::prelude::*;
use rcgen::CustomExtension;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use super::*;
use crate::bundle::{DenyList, TrustBundle};
use crate::forge::*;
use crate::request::KeyAndRequest;
use crate::verify::{Role, verify_peer};

fn authority() -> Authority {
    Authority::mint(&domain("weft.local"), now()).unwrap()
}

fn request() -> Vec<u8> {
    KeyAndRequest::generate().unwrap().csr_der
}

/// A request by `algorithm`'s key that `spoil` has changed.
fn spoiled(
    algorithm: &'static rcgen::SignatureAlgorithm,
    spoil: impl FnOnce(&mut CertificateParams),
) -> Vec<u8> {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    spoil(&mut params);
    params.serialize_request(&key).unwrap().der().to_vec()
}

fn p256(spoil: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    spoiled(&rcgen::PKCS_ECDSA_P256_SHA256, spoil)
}

fn issue(csr: &[u8]) -> Result<Issued, IssueError> {
    authority().issue(csr, &id(WEB), Lifetime::Default, now())
}

#[test]
fn a_leaf_is_an_x509_svid_of_the_proven_identity_and_nothing_more() {
    // SPIFFE X509-SVID §2–4.
    let authority = authority();
    let csr = request();
    let issued = authority.issue(&csr, &id(WEB), Lifetime::Default, now()).unwrap();
    let [leaf, intermediate] = issued.chain_der.as_slice() else { panic!("a leaf and an intermediate") };
    let (_, leaf) = X509Certificate::from_der(leaf).unwrap();
    let (_, intermediate) = X509Certificate::from_der(intermediate).unwrap();

    assert_eq!(leaf.subject().iter().count(), 0);
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical, "an empty subject makes the name critical (RFC 5280 §4.1.2.6)");
    assert!(matches!(names.value.general_names.as_slice(), [GeneralName::URI(uri)] if *uri == WEB));
    let constraints = leaf.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && !constraints.value.ca);
    let usage = leaf.key_usage().unwrap().unwrap();
    assert!(usage.critical);
    assert_eq!(usage.value.flags, 1, "digitalSignature and no other");
    let extended = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && extended.client_auth && !extended.any && extended.other.is_empty());
    assert!(leaf.iter_extensions().any(|extension| {
        matches!(
            extension.parsed_extension(),
            ParsedExtension::AuthorityKeyIdentifier(aki) if aki.key_identifier.is_some()
        )
    }));
    leaf.verify_signature(Some(intermediate.public_key())).unwrap();
    assert_eq!(Serial::from_bytes(leaf.raw_serial()), issued.serial);

    let (_, asked) = x509_parser::certification_request::X509CertificationRequest::from_der(&csr).unwrap();
    assert_eq!(leaf.public_key().raw, asked.certification_request_info.subject_pki.raw);

    assert_eq!(issued.not_before, now() - Authority::BACKDATE);
    assert_eq!(issued.not_after, now() + Lifetime::DEFAULT);
    assert_eq!(issued.renew_after, now() - Authority::BACKDATE / 2 + Lifetime::DEFAULT / 2);
    let stated = leaf.validity();
    assert_eq!(later(0) - Authority::BACKDATE, SystemTime::from(stated.not_before.to_datetime()));
    assert_eq!(issued.not_after, SystemTime::from(stated.not_after.to_datetime()));
    assert!(!issued.clamped);
}

#[test]
fn cas_are_marked_as_such_name_their_domain_and_sign_no_further_than_they_must() {
    let authority = authority();
    for (der, depth, years) in [(&authority.root.der, 1, 10), (&authority.intermediate.der, 0, 1)] {
        let (_, ca) = X509Certificate::from_der(der).unwrap();
        let constraints = ca.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical && constraints.value.ca);
        assert_eq!(constraints.value.path_len_constraint, Some(depth));
        let usage = ca.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.key_cert_sign() && !usage.value.digital_signature());
        let names = ca.subject_alternative_name().unwrap().unwrap().value;
        assert!(
            matches!(names.general_names.as_slice(), [GeneralName::URI(uri)] if *uri == "spiffe://weft.local")
        );
        let stated = ca.validity();
        let life = stated.not_after.timestamp() - stated.not_before.timestamp();
        assert_eq!(life, years * 365 * 24 * 3600 + 300);
        assert!(ca.raw_serial().len() <= 20);
    }
}

#[test]
fn peers_accept_what_it_issues_for_every_kind_of_key_it_takes() {
    let authority = authority();
    let bundle =
        TrustBundle::new(domain("weft.local"), 1, [authority.root().clone()], DenyList::default()).unwrap();
    let bundles = [bundle].into_iter().collect();
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let csr = spoiled(algorithm, |_| {});
        let issued = authority.issue(&csr, &id(WEB), Lifetime::Default, now()).unwrap();
        let chain: Vec<CertificateDer<'_>> =
            issued.chain_der.iter().map(|der| der.as_slice().into()).collect();
        for role in [Role::Client, Role::Server] {
            let peer = verify_peer(&bundles, &chain, role, unix_now()).unwrap();
            assert_eq!((peer.id, peer.serial), (id(WEB), issued.serial.clone()), "{algorithm:?}");
        }
    }
}

#[test]
fn a_request_that_asks_for_more_than_a_leaf_of_its_own_name_is_refused() {
    let uri = |uri: &str| uri_name(uri);
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let names = |names: Vec<SanType>| p256(|params| params.subject_alt_names = names);
    let mut broken = request();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let two_requests = [request(), request()].concat();
    // A key usage that cannot be parsed: BIT STRING cut short.
    let unreadable = CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![0x03, 0x05, 0x01]);
    let cases: Vec<(&str, Vec<u8>, Result<(), &str>)> = vec![
        ("nothing named", request(), Ok(())),
        ("its own name", names(vec![uri(WEB)]), Ok(())),
        (
            "a common name, which is ignored",
            p256(|p| p.distinguished_name.push(DnType::CommonName, CART)),
            Ok(()),
        ),
        (
            "an extended usage, which is ignored",
            p256(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]),
            Ok(()),
        ),
        ("not a CA, said aloud", p256(|p| p.is_ca = IsCa::ExplicitNoCa), Ok(())),
        ("CA", p256(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), Err("csr_wants_ca")),
        (
            "CA of depth 0 and its own name",
            p256(|p| {
                p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
                p.subject_alt_names = vec![uri_name(WEB)];
            }),
            Err("csr_wants_ca"),
        ),
        ("keyCertSign", p256(|p| p.key_usages = vec![KeyUsagePurpose::KeyCertSign]), Err("csr_wants_ca")),
        ("cRLSign", p256(|p| p.key_usages = vec![KeyUsagePurpose::CrlSign]), Err("csr_wants_ca")),
        ("another's name", names(vec![uri(CART)]), Err("csr_wants_other_name")),
        (
            "the control plane's name",
            names(vec![uri("spiffe://weft.local/weft/control-plane")]),
            Err("csr_wants_other_name"),
        ),
        (
            "its name in another domain",
            names(vec![uri("spiffe://other.mesh/ns/shop/sa/web")]),
            Err("csr_wants_other_name"),
        ),
        (
            "its name in upper case",
            names(vec![uri("SPIFFE://weft.local/ns/shop/sa/web")]),
            Err("csr_wants_other_name"),
        ),
        ("its name and another's", names(vec![uri(WEB), uri(CART)]), Err("csr_wants_other_name")),
        ("its name twice", names(vec![uri(WEB), uri(WEB)]), Err("csr_wants_other_name")),
        ("its name and a DNS name", names(vec![uri(WEB), dns("web")]), Err("csr_wants_other_name")),
        ("a DNS name", names(vec![dns("web")]), Err("csr_wants_other_name")),
        (
            "an address",
            names(vec![SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into())]),
            Err("csr_wants_other_name"),
        ),
        ("an unreadable usage", p256(|p| p.custom_extensions = vec![unreadable]), Err("csr_malformed")),
        ("RSA 2048", spoiled(&rcgen::PKCS_RSA_SHA256, |_| {}), Err("csr_key_type")),
        ("P-521", spoiled(&rcgen::PKCS_ECDSA_P521_SHA512, |_| {}), Err("csr_key_type")),
        ("RSA 1024", hex(RSA_1024), Err("csr_key_type")),
        ("P-256, point compressed", hex(P256_COMPRESSED), Err("csr_key_type")),
        ("secp256k1", hex(SECP256K1), Err("csr_key_type")),
        ("a broken signature", broken, Err("csr_bad_signature")),
        ("two requests", two_requests, Err("csr_malformed")),
        ("nothing", vec![], Err("csr_malformed")),
        ("text", b"-----BEGIN CERTIFICATE REQUEST-----".to_vec(), Err("csr_malformed")),
        ("16 KiB of zeros", vec![0; MAX_CSR_BYTES], Err("csr_malformed")),
        ("1 MB", vec![0x30; 1 << 20], Err("csr_too_large")),
        (
            "20 KiB of names",
            names((0..1000).map(|n| dns(&format!("host-{n}.example"))).collect()),
            Err("csr_too_large"),
        ),
    ];
    for (what, csr, want) in cases {
        let got = issue(&csr);
        assert_eq!(got.as_ref().map(|_| ()).map_err(IssueError::label), want, "{what}");
        if let Err(error) = got {
            assert!(error.is_callers_fault(), "{what}");
        } else if let Ok(issued) = got {
            let chain: Vec<CertificateDer<'_>> = issued.chain_der.into_iter().map(Into::into).collect();
            assert_eq!(crate::verify::peer_identity(&chain), Ok(id(WEB)), "{what}");
        }
    }
}

#[test]
fn a_signature_by_another_key_proves_nothing() {
    // The key of one request under the signature of another.
    let (ours, stolen) = (request(), request());
    let spki = |csr: &[u8]| {
        let (_, csr) = x509_parser::certification_request::X509CertificationRequest::from_der(csr).unwrap();
        csr.certification_request_info.subject_pki.raw.to_vec()
    };
    let (from, to) = (spki(&ours), spki(&stolen));
    let at = ours.windows(from.len()).position(|window| window == from).unwrap();
    let mut forged = ours;
    forged[at..at + to.len()].copy_from_slice(&to);
    assert!(matches!(issue(&forged), Err(IssueError::BadSignature)));
}

#[test]
fn only_workloads_of_its_own_domain_get_leaves() {
    let authority = authority();
    let reserved = SpiffeId::control_plane(&domain("weft.local"));
    for (identity, want) in [
        (reserved.clone(), "not_a_workload"),
        (id("spiffe://weft.local/admin"), "not_a_workload"),
        (id("spiffe://weft.local/ns/a/sa/b/c"), "not_a_workload"),
        (id("spiffe://other.mesh/ns/shop/sa/web"), "other_trust_domain"),
    ] {
        let refused = authority.issue(&request(), &identity, Lifetime::Default, now()).unwrap_err();
        assert_eq!(refused.label(), want, "{identity}");
    }
    let issued = authority.issue_control_plane(&request(), now()).unwrap();
    let chain: Vec<CertificateDer<'_>> = issued.chain_der.into_iter().map(Into::into).collect();
    assert_eq!(crate::verify::peer_identity(&chain), Ok(reserved));
}

#[test]
fn a_life_outside_policy_is_brought_into_it_and_said_so() {
    const MINUTE: u64 = 60;
    const YEAR_100: i64 = 100 * 365 * 24 * 3600;
    let authority = authority();
    for (asked, life, clamped) in [
        (0, DAY, false),
        (-5, DAY, false),
        (i64::MIN, DAY, false),
        (1, 10 * MINUTE, true),
        (599, 10 * MINUTE, true),
        (600, 10 * MINUTE, false),
        (3600, HOUR, false),
        (86_400, DAY, false),
        (86_401, DAY, true),
        (YEAR_100, DAY, true),
        (i64::MAX, DAY, true),
    ] {
        let issued = authority.issue(&request(), &id(WEB), Lifetime::from_seconds(asked), now()).unwrap();
        assert_eq!((issued.not_after, issued.clamped), (later(life), clamped), "asked {asked} s");
    }
    let zero = authority.issue(&request(), &id(WEB), Lifetime::Asked(Duration::ZERO), now()).unwrap();
    assert_eq!((zero.not_after, zero.clamped), (later(DAY), false));
}

#[test]
fn no_leaf_outlives_its_issuer_and_none_is_signed_that_could_not_live() {
    let authority = authority();
    let end = authority.intermediate_not_after();
    let before = |seconds| end - Duration::from_secs(seconds);
    for (left, want) in
        [(DAY + 1, Some(false)), (DAY, Some(false)), (DAY - 1, Some(true)), (600, Some(true)), (599, None)]
    {
        let got = authority.issue(&request(), &id(WEB), Lifetime::Default, before(left));
        match (got, want) {
            (Ok(issued), Some(clamped)) => {
                assert!(issued.not_after <= end, "{left}");
                assert_eq!(issued.clamped, clamped, "{left}");
            }
            (Err(error @ IssueError::IssuerExpiring { .. }), None) => assert!(!error.is_callers_fault()),
            (got, _) => panic!("{left} s before the end: {got:?}"),
        }
    }
    let after = authority.issue(&request(), &id(WEB), Lifetime::Default, end + Duration::from_secs(1));
    assert!(matches!(after, Err(IssueError::IssuerExpiring { .. })));
}

#[test]
fn an_authority_with_an_absurd_clock_signs_nothing() {
    let authority = authority();
    for clock in
        [SystemTime::UNIX_EPOCH, later(300 * 365 * DAY), SystemTime::UNIX_EPOCH - Duration::from_secs(1)]
    {
        let refused = authority.issue(&request(), &id(WEB), Lifetime::Default, clock);
        assert!(matches!(refused, Err(IssueError::Clock)), "{clock:?}");
        assert!(matches!(Authority::mint(&domain("weft.local"), clock), Err(AuthorityError::Clock)));
    }
}

#[test]
fn serial_numbers_never_repeat_even_for_one_key() {
    let authority = authority();
    let csr = request();
    let serials: HashSet<_> = (0..2000)
        .map(|_| authority.issue(&csr, &id(WEB), Lifetime::Default, now()).unwrap().serial)
        .collect();
    assert_eq!(serials.len(), 2000);
    assert!(serials.iter().all(|serial| serial.as_bytes().len() <= 20));
    let top_bits = serials.iter().filter(|serial| serial.as_bytes().len() == 20);
    assert!(top_bits.clone().count() > 1900, "about 159 bits are random");
    assert!(top_bits.clone().all(|serial| serial.as_bytes()[0] < 0x80));
}

#[test]
fn the_intermediate_is_renewed_at_half_of_its_life_and_old_leaves_stay_good() {
    let authority = authority();
    let old = authority.issue(&request(), &id(WEB), Lifetime::Default, later(182 * DAY)).unwrap();
    assert!(authority.renew_intermediate(later(182 * DAY)).unwrap().is_none());
    let renewed = authority.renew_intermediate(later(183 * DAY)).unwrap().expect("due");
    assert_eq!(renewed.root(), authority.root());
    assert_eq!(renewed.intermediate_not_after(), later((183 + 365) * DAY));
    let new = renewed.issue(&request(), &id(WEB), Lifetime::Default, later(183 * DAY)).unwrap();
    assert_ne!(old.chain_der[1], new.chain_der[1]);

    let bundle = TrustBundle::new(domain("weft.local"), 1, [renewed.root().clone()], DenyList::default());
    let bundles = [bundle.unwrap()].into_iter().collect();
    let then = rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(NOW + 183 * DAY));
    for issued in [old, new] {
        let chain: Vec<CertificateDer<'_>> = issued.chain_der.into_iter().map(Into::into).collect();
        verify_peer(&bundles, &chain, Role::Client, then).unwrap();
    }

    // The last intermediate ends with its root, and then the root has to be rotated.
    let late = authority.renew_intermediate(later(3649 * DAY)).unwrap().expect("due");
    assert_eq!(late.intermediate_not_after(), authority.root_not_after());
    let too_late = authority.renew_intermediate(later(3649 * DAY + 1));
    assert!(matches!(too_late, Err(AuthorityError::RootExpiring)));
}

#[test]
fn an_authority_comes_back_from_its_pem_and_signs_as_before() {
    let authority = authority();
    let pem = authority.to_pem();
    let back = Authority::from_pem(&domain("weft.local"), &pem).unwrap();
    assert_eq!(back.to_pem(), pem);
    assert_eq!(back.root_not_after(), authority.root_not_after());
    assert_eq!(back.intermediate_not_after(), authority.intermediate_not_after());
    let issued = back.issue(&request(), &id(WEB), Lifetime::Default, now()).unwrap();
    assert_eq!(issued.chain_der[1], authority.intermediate.der.to_vec());

    let offline = AuthorityPem { root_key: None, ..pem };
    let back = Authority::from_pem(&domain("weft.local"), &offline).unwrap();
    back.issue(&request(), &id(WEB), Lifetime::Default, now()).unwrap();
    assert!(back.renew_intermediate(now()).unwrap().is_none());
    assert!(matches!(back.renew_intermediate(later(200 * DAY)), Err(AuthorityError::NoRootKey)));
}

#[test]
fn parts_that_do_not_belong_together_are_no_authority() {
    let (pem, other) = (authority().to_pem(), authority().to_pem());
    let leaf = authority().issue(&request(), &id(WEB), Lifetime::Default, now()).unwrap();
    let leaf = certificate_pem(&CertificateDer::from(leaf.chain_der[0].as_slice()));
    let cases: Vec<(&str, AuthorityPem, &str)> = vec![
        ("an empty root", AuthorityPem { root_certificate: String::new(), ..pem.clone() }, "Pem"),
        (
            "a key for a root",
            AuthorityPem { root_certificate: pem.intermediate_key.clone(), ..pem.clone() },
            "Pem",
        ),
        ("a leaf for a root", AuthorityPem { root_certificate: leaf.clone(), ..pem.clone() }, "NotOurCa"),
        (
            "a leaf for an intermediate",
            AuthorityPem { intermediate_certificate: leaf, ..pem.clone() },
            "NotOurCa",
        ),
        (
            "another root",
            AuthorityPem {
                root_certificate: other.root_certificate.clone(),
                root_key: other.root_key.clone(),
                ..pem.clone()
            },
            "NotSignedByRoot",
        ),
        ("another root key", AuthorityPem { root_key: other.root_key, ..pem.clone() }, "OtherKey"),
        ("another key", AuthorityPem { intermediate_key: other.intermediate_key, ..pem.clone() }, "OtherKey"),
        ("no key", AuthorityPem { intermediate_key: String::new(), ..pem.clone() }, "Pem"),
    ];
    for (what, pem, want) in cases {
        let error = Authority::from_pem(&domain("weft.local"), &pem).unwrap_err();
        assert!(format!("{error:?}").starts_with(want), "{what}: {error:?}");
    }
    let elsewhere = Authority::from_pem(&domain("other.mesh"), &pem);
    assert!(matches!(elsewhere, Err(AuthorityError::NotOurCa { .. })));
}

#[test]
fn nothing_that_is_printed_shows_a_key() {
    let authority = authority();
    let pem = authority.to_pem();
    let secrets = [pem.root_key.clone().unwrap(), pem.intermediate_key.clone()];
    let printed = format!("{authority:?} {pem:?}");
    for line in secrets.iter().flat_map(|secret| secret.lines()).filter(|line| !line.starts_with('-')) {
        assert!(!printed.contains(line));
    }
    assert!(!printed.contains("PRIVATE"));
}

#[test]
fn nesting_without_end_exhausts_nothing() {
    // Parsers that recurse once per level run out of stack; both lengths, definite and not, in every place
    // that is read before the signature is.
    let open = [0x30, 0x80].repeat(8000);
    let mut shut = Vec::new();
    while shut.len() < 15_000 {
        shut = tlv(0x30, &shut);
    }
    let valid = request();
    let (_, csr) = x509_parser::certification_request::X509CertificationRequest::from_der(&valid).unwrap();
    let key = csr.certification_request_info.subject_pki.raw;
    let version = [2, 1, 0];
    let extension_request = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
    for nested in [open, shut] {
        for info in [
            [version.as_slice(), &nested].concat(),
            [version.as_slice(), &[0x30, 0], &nested].concat(),
            [version.as_slice(), &[0x30, 0], key, &tlv(0xa0, &nested)].concat(),
            [version.as_slice(), &[0x30, 0], key, &tlv(0xa0, &tlv(0x30, &nested))].concat(),
            [
                version.as_slice(),
                &[0x30, 0],
                key,
                &tlv(0xa0, &tlv(0x30, &[extension_request.as_slice(), &tlv(0x31, &nested)].concat())),
            ]
            .concat(),
        ] {
            let signature = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2, 3, 2, 0, 0];
            let csr = tlv(0x30, &[tlv(0x30, &info).as_slice(), &signature].concat());
            assert!(issue(csr.get(..MAX_CSR_BYTES).unwrap_or(&csr)).is_err());
            let certificate = [CertificateDer::from(csr)];
            assert!(crate::verify::peer_identity(&certificate).is_err());
        }
        assert!(crate::verify::peer_identity(&[CertificateDer::from(nested)]).is_err());
    }
}

/// DER's tag, length, value.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [[tag, 0x82].as_slice(), &length, value].concat()
}

proptest! {
    #[test]
    fn no_bytes_of_a_caller_panic_the_authority(csr: Vec<u8>) {
        prop_assert!(shared().issue(&csr, &id(WEB), Lifetime::Default, now()).is_err());
    }

    #[test]
    fn a_request_with_one_byte_changed_gets_nothing_for_another_key_or_name(
        at: prop::sample::Index, flip in 1u8..,
    ) {
        let mut csr = SHARED_CSR.clone();
        let at = at.index(csr.len());
        csr[at] ^= flip;
        // What is signed cannot change. A parser may overlook a change in the wrapping, which means nothing.
        if let Ok(issued) = shared().issue(&csr, &id(WEB), Lifetime::Default, now()) {
            let (_, leaf) = X509Certificate::from_der(&issued.chain_der[0]).unwrap();
            let spki = leaf.public_key().raw;
            prop_assert!(SHARED_CSR.windows(spki.len()).any(|window| window == spki), "byte {}", at);
            let chain: Vec<CertificateDer<'_>> = issued.chain_der.into_iter().map(Into::into).collect();
            prop_assert_eq!(crate::verify::peer_identity(&chain), Ok(id(WEB)));
        }
    }

    #[test]
    fn whatever_is_asked_a_leaf_lives_within_policy_and_within_its_issuer(
        asked: i64, days in 0u64..365, second in 0u64..86_400,
    ) {
        let authority = shared();
        let then = later(days * DAY + second);
        let issued = authority.issue(&SHARED_CSR, &id(WEB), Lifetime::from_seconds(asked), then);
        match issued {
            Ok(issued) => {
                let life = issued.not_after.duration_since(then).unwrap();
                prop_assert!((Lifetime::MIN..=Lifetime::MAX).contains(&life));
                prop_assert!(issued.not_after <= authority.intermediate_not_after());
                prop_assert!(issued.not_before < issued.renew_after && issued.renew_after < issued.not_after);
            }
            Err(IssueError::IssuerExpiring { .. }) => {
                prop_assert!(then + Lifetime::MIN > authority.intermediate_not_after());
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

static SHARED_CSR: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(request);

fn shared() -> &'static Authority {
    static AUTHORITY: std::sync::LazyLock<Authority> = std::sync::LazyLock::new(authority);
    &AUTHORITY
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .flat_map(|line| line.as_bytes().as_chunks::<2>().0)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Well formed and rightly signed, with a key that is too short.
const RSA_1024: &str = "
    3082013f3081a9020100300030819f300d06092a864886f70d010101050003818d0030818902818100c653875eb696848b76
    560e525ad9e20cbbb0cdb69d1d8176415b190e92f5f4eb92185a3da657e8989572dec72a761e0f168626d6943fcf838bebd2
    0c08896601dc0680105cf392da271c479a6d6db1a6cf8ef6dc78f4fe147c51a000c9a24a9aa96c128d77187f9693d3e65d09
    7b0af161b9fff95c0a354e6f8c7b86234b7ec70203010001a000300d06092a864886f70d01010b05000381810082d2d4024d
    bd8e96d92a8b166c891be605c0037e6897e08b50b059b1d46d453ce15d6d762209356cc860daef0639461e8894c0f1b4d1c0
    1f6feebfc3d75176601ffb585298f12a89ce1883cc2546f098a25de04d235be88c5931aa4f4c8add0e9917d714ebb0cef817
    368522d25996a467757b2fde24622348d24537654f4caa
";
/// Well formed and rightly signed, with the point in compressed form.
const P256_COMPRESSED: &str = "
    30819a304202010030003039301306072a8648ce3d020106082a8648ce3d030107032200037f1dbe4dbbaf9312db8369f110
    9662ca43e35cc68ce422c1d10776ddfa36550ca000300a06082a8648ce3d0403020348003045022100df0cef6366f5819726
    61859da061cbb612bc304805385e65ed0f236fac15973c0220637f765a1b481ece397fa061ad8e4af2c30f605019f84e1e6a
    f5f8137b48e591
";
/// Well formed and rightly signed, on a curve that TLS does not have.
const SECP256K1: &str = "
    3081b8305f02010030003056301006072a8648ce3d020106052b8104000a034200046ab9bc23a1b8e51b4226341503af9507
    f5e67e00bfaabb7bb2f77416b44a04b3bd1155ab0d6606ba99c9a8b3a445776253dcf92fa40b8353926b401bde9eca9ca000
    300a06082a8648ce3d0403020349003046022100e2e0781a7f065872c3db29dfe55318a49b223714fd6f232bda3658da9275
    e3e8022100b2373cc9c4dab3a71ed234bdb592e67b424c7af9bd2dab5605055af7271e11cc
";
