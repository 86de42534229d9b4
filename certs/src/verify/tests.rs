//! Every way in which a certificate can be wrong, presented by a client to a server and by a server to a
//! client, in real handshakes: the reason is told apart, the alert is right, and nobody gets in.

use std::time::Duration;

use proptest::prelude::*;
use rcgen::{BasicConstraints, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use rustls::AlertDescription;

use super::*;
use crate::bundle::TrustBundle;
use crate::forge::*;
use crate::tls::{Hop, Tls};

/// A mesh with one good root, a federated domain with its own, and a deny list.
struct Mesh {
    ours: Forge,
    theirs: Forge,
    tls: Tls,
}

fn mesh(denied: DenyList) -> Mesh {
    let (ours, theirs) = (Forge::new(), Forge::new());
    let trust =
        trusting([ours.bundle("weft.local", denied), theirs.bundle("other.mesh", DenyList::default())]);
    let tls = Tls::with_time(trust, Clock::at(NOW));
    Mesh { ours, theirs, tls }
}

/// Refused with this label and alert, whichever end presents it.
#[track_caller]
fn refused(mesh: &Mesh, what: &str, presented: &Forged, label: &str, alert: AlertDescription) {
    let good = mesh.ours.leaf(CART);
    let credentials = credentials(&good);
    let strict = mesh.tls.server(&credentials, &[Hop::Http2], ClientAuth::Required);
    let as_client = handshake(presented.client(&mesh.tls, CART, Hop::Http2), strict);
    let reason = as_client.server.as_ref().err().and_then(PeerRefused::of_handshake);
    assert_eq!(reason.as_ref().map(PeerRefused::label), Some(label), "{what} as client: {reason:?}");
    assert_eq!(as_client.alert_to_client(), Some(alert), "{what} as client");

    let client = mesh.tls.client(&credentials, Expect::Exactly(id(WEB)), Hop::Http2);
    let as_server = handshake(client, presented.server(Hop::Http2));
    let reason = as_server.client.as_ref().err().and_then(PeerRefused::of_handshake);
    assert_eq!(reason.as_ref().map(PeerRefused::label), Some(label), "{what} as server: {reason:?}");
    assert_eq!(as_server.alert_to_server(), Some(alert), "{what} as server");
    assert!(!reason.unwrap().to_string().is_empty());
}

fn credentials(forged: &Forged) -> crate::tls::Credentials {
    crate::tls::Credentials::forged(&forged.0)
}

#[test]
fn a_good_peer_is_who_its_leaf_says_at_both_ends() {
    let mesh = mesh(DenyList::default());
    for (client, server) in [(WEB, CART), (CART, WEB)] {
        let client_leaf = mesh.ours.leaf(client);
        let server_config = mesh.tls.server(
            &credentials(&mesh.ours.leaf(server)),
            &Hop::BETWEEN_SIDECARS,
            ClientAuth::Required,
        );
        let (c, s) = handshake(client_leaf.client(&mesh.tls, server, Hop::Tcp), server_config).completed();
        assert_eq!(peer_identity(s.peer_certificates().unwrap()), Ok(id(client)));
        let seen = peer(c.peer_certificates().unwrap()).unwrap();
        assert_eq!((seen.id, seen.not_after), (id(server), later(HOUR)));
    }
}

#[test]
fn a_federated_peer_is_judged_by_its_own_roots() {
    let mesh = mesh(DenyList::default());
    let uri = "spiffe://other.mesh/ns/shop/sa/web";
    let server = mesh.tls.server(&credentials(&mesh.ours.leaf(CART)), &[Hop::Http2], ClientAuth::Required);
    handshake(mesh.theirs.leaf(uri).client(&mesh.tls, CART, Hop::Http2), server).completed();
}

#[test]
fn names_of_other_types_may_stand_beside_the_one_uri() {
    let mesh = mesh(DenyList::default());
    let leaf = mesh.ours.leaf_with(WEB, |leaf| {
        leaf.subject_alt_names.push(SanType::DnsName("web.shop.svc".try_into().unwrap()));
    });
    assert_eq!(peer_identity(leaf.chain()), Ok(id(WEB)));
    let no_usages_stated = mesh.ours.leaf_with(WEB, |leaf| leaf.extended_key_usages.clear());
    let bundles = mesh.tls.trust().current();
    for chain in [leaf.chain(), no_usages_stated.chain()] {
        assert_eq!(verify_peer(&bundles, chain, Role::Client, unix_now()).unwrap().id, id(WEB));
    }
}

#[test]
fn a_leaf_that_breaks_a_rule_of_x509_svid_is_refused_for_that_rule() {
    use AlertDescription as Alert;
    let mesh = mesh(DenyList::default());
    let ours = &mesh.ours;
    let ago = |seconds| later(0) - Duration::from_secs(seconds);
    let cases: Vec<(&str, Forged, &str, Alert)> = vec![
        (
            "expired",
            ours.leaf_with(WEB, |leaf| leaf.not_after = ago(1).into()),
            "expired",
            Alert::CertificateExpired,
        ),
        (
            "not yet valid",
            ours.leaf_with(WEB, |leaf| leaf.not_before = later(60).into()),
            "not_yet_valid",
            Alert::CertificateExpired,
        ),
        (
            "a domain without a bundle",
            ours.leaf("spiffe://stranger/ns/shop/sa/web"),
            "unknown_trust_domain",
            Alert::CertificateUnknown,
        ),
        ("self-signed", Forge::self_signed(WEB), "self_signed", Alert::CertificateUnknown),
        ("another mesh of the same name", Forge::new().leaf(WEB), "untrusted", Alert::UnknownCA),
        ("domain A's root for a name in domain B", mesh.theirs.leaf(WEB), "untrusted", Alert::UnknownCA),
        (
            "domain B's name under our root",
            ours.leaf("spiffe://other.mesh/ns/shop/sa/web"),
            "untrusted",
            Alert::UnknownCA,
        ),
        (
            "no intermediate",
            ours.leaf(WEB).with_chain(|chain| chain.truncate(1)),
            "chain_incomplete",
            Alert::CertificateUnknown,
        ),
        (
            "no SAN",
            ours.leaf_with(WEB, |leaf| leaf.subject_alt_names.clear()),
            "no_spiffe_id",
            Alert::CertificateUnknown,
        ),
        (
            "a DNS SAN only",
            ours.leaf_with(WEB, |leaf| {
                leaf.subject_alt_names = vec![SanType::DnsName("weft.local".try_into().unwrap())];
            }),
            "no_spiffe_id",
            Alert::CertificateUnknown,
        ),
        (
            "an e-mail that reads like an ID",
            ours.leaf_with(WEB, |leaf| {
                leaf.subject_alt_names = vec![SanType::Rfc822Name(WEB.try_into().unwrap())];
            }),
            "no_spiffe_id",
            Alert::CertificateUnknown,
        ),
        (
            "two URI SANs",
            ours.leaf_with(WEB, |leaf| leaf.subject_alt_names.push(uri_name(CART))),
            "many_spiffe_ids",
            Alert::CertificateUnknown,
        ),
        (
            "the same URI SAN twice",
            ours.leaf_with(WEB, |leaf| leaf.subject_alt_names.push(uri_name(WEB))),
            "many_spiffe_ids",
            Alert::CertificateUnknown,
        ),
        (
            "a SPIFFE ID and a web address",
            ours.leaf_with(WEB, |leaf| leaf.subject_alt_names.push(uri_name("https://example.com"))),
            "many_spiffe_ids",
            Alert::CertificateUnknown,
        ),
        (
            "a leaf that is a CA",
            ours.leaf_with(WEB, |leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            "ca_as_leaf",
            Alert::CertificateUnknown,
        ),
        ("the intermediate", ours.intermediate_as_leaf(), "ca_as_leaf", Alert::CertificateUnknown),
        ("the root", ours.root_as_leaf(), "ca_as_leaf", Alert::CertificateUnknown),
        (
            "for servers only",
            ours.leaf_with(WEB, |leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            "extended_key_usage",
            Alert::UnsupportedCertificate,
        ),
        (
            "for clients only",
            ours.leaf_with(WEB, |leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            "extended_key_usage",
            Alert::UnsupportedCertificate,
        ),
        (
            "for code",
            ours.leaf_with(WEB, |leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]),
            "extended_key_usage",
            Alert::UnsupportedCertificate,
        ),
        (
            "may sign certificates",
            ours.leaf_with(WEB, |leaf| leaf.key_usages.push(KeyUsagePurpose::KeyCertSign)),
            "key_usage",
            Alert::CertificateUnknown,
        ),
        (
            "may sign revocations",
            ours.leaf_with(WEB, |leaf| leaf.key_usages.push(KeyUsagePurpose::CrlSign)),
            "key_usage",
            Alert::CertificateUnknown,
        ),
        (
            "may not sign handshakes",
            ours.leaf_with(WEB, |leaf| leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement]),
            "key_usage",
            Alert::CertificateUnknown,
        ),
        (
            "no key usage",
            ours.leaf_with(WEB, |leaf| leaf.key_usages.clear()),
            "key_usage",
            Alert::CertificateUnknown,
        ),
        (
            "more intermediates than are looked at",
            ours.leaf(WEB).with_chain(|chain| chain.extend(vec![ours.root.clone(); 20])),
            "chain_too_long",
            Alert::CertificateUnknown,
        ),
        (
            "a critical extension that nobody knows",
            ours.leaf_with(WEB, |leaf| {
                let mut extension =
                    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
                extension.set_criticality(true);
                leaf.custom_extensions.push(extension);
            }),
            "critical_extension",
            Alert::BadCertificate,
        ),
    ];
    for (what, presented, label, alert) in cases {
        refused(&mesh, what, &presented, label, alert);
    }
}

#[test]
fn a_uri_that_is_no_spiffe_id_is_nobody() {
    let mesh = mesh(DenyList::default());
    let long = format!("spiffe://weft.local/{}", "a".repeat(2048));
    for uri in [
        "SPIFFE://weft.local/ns/shop/sa/web",
        "Spiffe://weft.local/ns/shop/sa/web",
        "spiffe://WEFT.local/ns/shop/sa/web",
        "spiffe://weft.local/ns/shop/sa/web\0.evil",
        "spiffe://weft.local\0/ns/shop/sa/web",
        "spiffe://weft.local/ns/shop/sa/web?as=root",
        "spiffe://weft.local/ns/shop/sa/web#x",
        "spiffe://root@weft.local/ns/shop/sa/web",
        "spiffe://weft.local:443/ns/shop/sa/web",
        "spiffe://weft.local/ns/../sa/web",
        "spiffe://weft.local/ns/%2e%2e/sa/web",
        "spiffe://weft.local/ns/shop/sa/web/",
        "spiffe://weft.local",
        "https://weft.local/ns/shop/sa/web",
        "",
        &long,
    ] {
        refused(&mesh, uri, &mesh.ours.leaf(uri), "bad_spiffe_id", AlertDescription::CertificateUnknown);
    }
}

#[test]
fn a_chain_whose_intermediate_breaks_a_rule_is_refused() {
    use AlertDescription as Alert;
    // A URI name constraint, permitted subtree `weft.local`, written by hand: rcgen cannot (RFC 5280
    // §4.2.1.10). webpki does not evaluate it and refuses (RUSTSEC-2026-0098), even though the leaf is
    // inside.
    let uri_constraint = {
        let mut der = vec![0x30, 0x10, 0xa0, 0x0e, 0x30, 0x0c, 0x86, 0x0a];
        der.extend_from_slice(b"weft.local");
        let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], der);
        extension.set_criticality(true);
        extension
    };
    let expired = later(0) - Duration::from_secs(1);
    let cases: Vec<(&str, Forge, &str, Alert)> = vec![
        (
            "expired intermediate",
            Forge::with_intermediate(|ca| ca.not_after = expired.into()),
            "expired",
            Alert::CertificateExpired,
        ),
        (
            "intermediate that is no CA",
            Forge::with_intermediate(|ca| ca.is_ca = IsCa::ExplicitNoCa),
            "issuer_not_ca",
            Alert::CertificateUnknown,
        ),
        (
            "URI name constraint",
            Forge::with_intermediate(|ca| ca.custom_extensions.push(uri_constraint)),
            "name_constraint",
            Alert::CertificateUnknown,
        ),
    ];
    for (what, forge, label, alert) in cases {
        let trust = trusting([forge.bundle("weft.local", DenyList::default())]);
        let tls = Tls::with_time(trust, Clock::at(NOW));
        let presented = forge.leaf(WEB);
        let seen = verify_peer(&tls.trust().current(), presented.chain(), Role::Client, unix_now());
        assert_eq!(seen.as_ref().map_err(PeerRefused::label), Err(label), "{what}: {seen:?}");
        let error = seen.unwrap_err().into_rustls(unix_now());
        let rustls::Error::InvalidCertificate(kind) = error else { panic!("{what}: {error:?}") };
        assert_eq!(AlertDescription::from(kind), alert, "{what}");
    }
}

#[test]
fn a_denied_serial_identity_or_issuer_is_refused_at_the_next_handshake() {
    let mesh = mesh(DenyList::default());
    let leaf = mesh.ours.leaf(WEB);
    let serial = peer(leaf.chain()).unwrap().serial;
    let issuer = x509_parser::parse_x509_certificate(&leaf.chain()[1]).unwrap().1;
    let issuer = Serial::from_bytes(issuer.raw_serial());
    let server = mesh.tls.server(&credentials(&mesh.ours.leaf(CART)), &[Hop::Http2], ClientAuth::Required);
    for (what, denied) in [
        ("serial", DenyList { serials: [serial].into(), ..DenyList::default() }),
        ("identity", DenyList { identities: [id(WEB)].into(), ..DenyList::default() }),
        ("issuer", DenyList { serials: [issuer].into(), ..DenyList::default() }),
    ] {
        let client = leaf.client(&mesh.tls, CART, Hop::Http2);
        mesh.tls.trust().replace([mesh.ours.bundle("weft.local", DenyList::default())].into_iter().collect());
        let (client_end, _) = handshake(client.clone(), server.clone()).completed();
        assert_eq!(client_end.handshake_kind(), Some(rustls::HandshakeKind::Full));

        let our_own = what == "issuer";
        mesh.tls.trust().replace([mesh.ours.bundle("weft.local", denied)].into_iter().collect());
        // The same client configuration: there is no session to resume past the deny list.
        let after = handshake(client, server.clone());
        if our_own {
            // Both ends have leaves of that issuer: the client refuses first.
            let reason = after.client.as_ref().err().and_then(PeerRefused::of_handshake);
            assert_eq!(reason, Some(PeerRefused::Denied), "{what}");
        } else {
            let reason = after.server.as_ref().err().and_then(PeerRefused::of_handshake);
            assert_eq!(reason, Some(PeerRefused::Denied), "{what}");
            assert_eq!(after.alert_to_client(), Some(AlertDescription::CertificateRevoked), "{what}");
        }
        // An open connection is judged again with the certificates that it was made with.
        let again = verify_peer(&mesh.tls.trust().current(), leaf.chain(), Role::Client, unix_now());
        assert_eq!(again, Err(PeerRefused::Denied), "{what}");
    }
}

#[test]
fn a_deny_list_belongs_to_its_own_domain() {
    let denied = DenyList { identities: [id("spiffe://other.mesh/ns/a/sa/b")].into(), ..DenyList::default() };
    let mesh = mesh(denied);
    let leaf = mesh.theirs.leaf("spiffe://other.mesh/ns/a/sa/b");
    assert!(verify_peer(&mesh.tls.trust().current(), leaf.chain(), Role::Client, unix_now()).is_ok());
}

#[test]
fn a_good_peer_that_is_not_the_expected_one_is_refused() {
    let mesh = mesh(DenyList::default());
    let us = credentials(&mesh.ours.leaf(WEB));
    let server = mesh.ours.leaf(CART).server(Hop::Http2);
    let other = "spiffe://weft.local/ns/shop/sa/other";
    for (expect, accepted) in [
        (Expect::Exactly(id(CART)), true),
        (Expect::AnyOf(vec![id(other), id(CART)]), true),
        (Expect::Exactly(id(other)), false),
        (Expect::Exactly(id("spiffe://weft.local/ns/shop/sa/cart2")), false),
        (Expect::Exactly(id("spiffe://weft.local/ns/shop/sa/Cart")), false),
        (Expect::AnyOf(vec![id(other)]), false),
        (Expect::AnyOf(Vec::new()), false),
    ] {
        let result = handshake(mesh.tls.client(&us, expect.clone(), Hop::Http2), server.clone());
        if accepted {
            result.completed();
        } else {
            let reason = result.client.err().as_ref().and_then(PeerRefused::of_handshake);
            let Some(PeerRefused::WrongIdentity { presented, .. }) = reason else {
                panic!("{expect:?}: {reason:?}")
            };
            assert_eq!(presented, id(CART));
        }
    }
}

#[test]
fn an_empty_bundle_distrusts_everybody() {
    let mesh = mesh(DenyList::default());
    let leaf = mesh.ours.leaf(WEB);
    let empty = TrustBundle::new(domain("weft.local"), 2, [], DenyList::default()).unwrap();
    let bundles = [empty].into_iter().collect();
    let seen = verify_peer(&bundles, leaf.chain(), Role::Client, unix_now());
    assert_eq!(seen, Err(PeerRefused::Untrusted));
    let seen = verify_peer(&TrustBundles::default(), leaf.chain(), Role::Client, unix_now());
    assert_eq!(seen, Err(PeerRefused::UnknownTrustDomain { presented: id(WEB) }));
}

#[test]
fn nobody_is_nobody() {
    assert_eq!(peer_identity(&[]), Err(PeerRefused::NoCertificate));
    let mesh = mesh(DenyList::default());
    let trailing = [mesh.ours.leaf(WEB).chain()[0].as_ref(), b"x"].concat();
    for der in [vec![], vec![0x30], vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], trailing] {
        assert_eq!(peer_identity(&[CertificateDer::from(der)]), Err(PeerRefused::Malformed));
    }
}

#[test]
fn every_reason_survives_its_way_through_rustls_with_its_label() {
    for reason in [
        PeerRefused::NoCertificate,
        PeerRefused::Malformed,
        PeerRefused::ChainTooLong,
        PeerRefused::CaAsLeaf,
        PeerRefused::NoSpiffeId,
        PeerRefused::ManySpiffeIds,
        PeerRefused::BadSpiffeId(weft_policy::identity::BadIdentity::Path),
        PeerRefused::KeyUsage,
        PeerRefused::ExtendedKeyUsage,
        PeerRefused::UnknownTrustDomain { presented: id(WEB) },
        PeerRefused::Untrusted,
        PeerRefused::SerialNumber,
        PeerRefused::WeakKey,
        PeerRefused::SelfSigned,
        PeerRefused::ChainIncomplete,
        PeerRefused::BadSignature,
        PeerRefused::WeakAlgorithm,
        PeerRefused::IssuerNotCa,
        PeerRefused::IssuerMayNotSign,
        PeerRefused::PathLength,
        PeerRefused::NameConstraint(webpki::Error::NameConstraintViolation),
        PeerRefused::CriticalExtension,
        PeerRefused::ReservedIdentity,
        PeerRefused::Path(webpki::Error::EmptyEkuExtension),
        PeerRefused::Expired { not_after: Some(now()) },
        PeerRefused::Expired { not_after: None },
        PeerRefused::NotYetValid { not_before: Some(now()) },
        PeerRefused::NotYetValid { not_before: None },
        PeerRefused::Denied,
        PeerRefused::WrongIdentity { expected: CART.to_owned(), presented: id(WEB) },
        PeerRefused::RootNotPinned,
    ] {
        let error = reason.clone().into_rustls(unix_now());
        assert_eq!(PeerRefused::of_handshake(&error), Some(reason.clone()));
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        assert_eq!(PeerRefused::of_io(&error).as_ref().map(PeerRefused::label), Some(reason.label()));
    }
    assert_eq!(PeerRefused::of_handshake(&rustls::Error::HandshakeNotComplete), None);
    assert_eq!(PeerRefused::of_io(&std::io::Error::other("reset")), None);
}

proptest! {
    #[test]
    fn no_bytes_of_a_peer_panic_the_reader(der: Vec<u8>) {
        let chain = [CertificateDer::from(der)];
        let _ = peer_identity(&chain);
        let _ = verify_peer(&TrustBundles::default(), &chain, Role::Client, unix_now());
    }

    #[test]
    fn a_leaf_with_one_byte_changed_is_never_accepted(at: prop::sample::Index, flip in 1u8..) {
        let forge = forge();
        let mut chain = forge.1.chain().to_vec();
        let mut der = chain[0].to_vec();
        let at = at.index(der.len());
        der[at] ^= flip;
        chain[0] = CertificateDer::from(der);
        let _ = peer_identity(&chain);
        prop_assert!(verify_peer(&forge.2, &chain, Role::Server, unix_now()).is_err(), "byte {}", at);
    }
}

/// Made once: a thousand cases of one leaf.
fn forge() -> &'static (Forge, Forged, TrustBundles) {
    static FORGE: std::sync::OnceLock<(Forge, Forged, TrustBundles)> = std::sync::OnceLock::new();
    FORGE.get_or_init(|| {
        let forge = Forge::new();
        let leaf = forge.leaf(WEB);
        let bundles = [forge.bundle("weft.local", DenyList::default())].into_iter().collect();
        (forge, leaf, bundles)
    })
}
