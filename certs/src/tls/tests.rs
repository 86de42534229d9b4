//! What a handshake agrees on, who is let in without a certificate, and a first enrolment by a root's hash.

use std::io::Read;

use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion, ServerConnection,
};
use weft_policy::identity::SpiffeId;

use super::*;
use crate::authority::{Authority, Lifetime};
use crate::bundle::{DenyList, RootHash, TrustBundle, TrustBundles};
use crate::forge::*;
use crate::request::KeyAndRequest;
use crate::verify::peer_identity;

/// An authority, two workloads and a control plane with certificates from it, and a clock to move.
struct Mesh {
    authority: Authority,
    clock: Arc<Clock>,
    tls: Tls,
    web: Credentials,
    cart: Credentials,
    control_plane: Credentials,
}

fn mesh() -> Mesh {
    let authority = Authority::mint(&domain("weft.local"), now()).unwrap();
    let clock = Clock::at(NOW);
    let tls = Tls::with_time(trusting([bundle(&authority)]), clock.clone());
    let (web, cart) = (workload(&authority, WEB), workload(&authority, CART));
    let request = KeyAndRequest::generate().unwrap();
    let issued = authority.issue_control_plane(&request.csr_der, now()).unwrap();
    let control_plane =
        Credentials::new(issued.chain_der, &request.key).unwrap().presenting_root(authority.root());
    Mesh { authority, clock, tls, web, cart, control_plane }
}

fn bundle(authority: &Authority) -> TrustBundle {
    TrustBundle::new(authority.domain().clone(), 1, [authority.root().clone()], DenyList::default()).unwrap()
}

fn workload(authority: &Authority, uri: &str) -> Credentials {
    let request = KeyAndRequest::generate().unwrap();
    let issued = authority.issue(&request.csr_der, &id(uri), Lifetime::Default, now()).unwrap();
    Credentials::new(issued.chain_der, &request.key).unwrap()
}

fn reason<T>(end: &Result<T, rustls::Error>) -> Option<&'static str> {
    end.as_ref().err().and_then(PeerRefused::of_handshake).map(|refused| refused.label())
}

#[test]
fn two_sidecars_agree_on_tls_1_3_with_the_hybrid_group_and_no_session_to_resume() {
    let mesh = mesh();
    let server = mesh.tls.server(&mesh.cart, &Hop::BETWEEN_SIDECARS, ClientAuth::Required);
    for hop in Hop::BETWEEN_SIDECARS {
        let client = mesh.tls.client(&mesh.web, Expect::Exactly(id(CART)), hop);
        for _ in 0..2 {
            let (client, server) = handshake(client.clone(), server.clone()).completed();
            assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
            assert_eq!(
                client.negotiated_key_exchange_group().map(|group| group.name()),
                Some(NamedGroup::X25519MLKEM768)
            );
            assert_eq!(Hop::negotiated(client.alpn_protocol()), Some(hop));
            assert_eq!(Hop::negotiated(server.alpn_protocol()), Some(hop));
            assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(client.tls13_tickets_received(), 0);
            assert_eq!(peer_identity(server.peer_certificates().unwrap()), Ok(id(WEB)));
            assert_eq!(peer_identity(client.peer_certificates().unwrap()), Ok(id(CART)));
        }
    }
}

#[test]
fn groups_stand_in_the_order_of_preference() {
    let groups: Vec<_> = provider().kx_groups.iter().map(|group| group.name()).collect();
    assert_eq!(groups, [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1]);
}

#[test]
fn a_client_that_offers_only_foreign_protocols_is_refused() {
    let mesh = mesh();
    let server = mesh.tls.server(&mesh.cart, &Hop::BETWEEN_SIDECARS, ClientAuth::Required);
    let client = mesh.tls.client(&mesh.web, Expect::Exactly(id(CART)), Hop::ControlPlane);
    let result = handshake(client.clone(), server.clone());
    assert!(matches!(result.server, Err(rustls::Error::NoApplicationProtocol)), "{:?}", result.server);
    assert_eq!(result.alert_to_client(), Some(AlertDescription::NoApplicationProtocol));

    // One that offers none is let in by rustls, and told apart by the caller.
    let mut silent = ClientConfig::clone(&client);
    silent.alpn_protocols.clear();
    let (_, server) = handshake(Arc::new(silent), server).completed();
    assert_eq!(Hop::negotiated(server.alpn_protocol()), None);
}

#[test]
fn a_client_without_a_certificate_gets_in_only_where_it_may_enrol() {
    let mesh = mesh();
    let nobody =
        || mesh.tls.enrolling_client(Expect::Exactly(SpiffeId::control_plane(mesh.authority.domain())));
    let strict = mesh.tls.server(&mesh.control_plane, &[Hop::ControlPlane], ClientAuth::Required);
    let result = handshake(nobody(), strict);
    assert_eq!(reason(&result.server), Some("no_certificate"));
    assert_eq!(result.alert_to_client(), Some(AlertDescription::CertificateRequired));

    let enrolment = mesh.tls.server(&mesh.control_plane, &[Hop::ControlPlane], ClientAuth::Optional);
    let (_, server) = handshake(nobody(), enrolment.clone()).completed();
    assert!(server.peer_certificates().is_none());

    // One with a certificate is somebody there too, and a bad certificate is worse than none.
    let control_plane = Expect::Exactly(SpiffeId::control_plane(mesh.authority.domain()));
    let somebody = mesh.tls.client(&mesh.web, control_plane.clone(), Hop::ControlPlane);
    let (_, server) = handshake(somebody, enrolment.clone()).completed();
    assert_eq!(peer_identity(server.peer_certificates().unwrap()), Ok(id(WEB)));
    let stranger = workload(&Authority::mint(&domain("weft.local"), now()).unwrap(), WEB);
    let result = handshake(mesh.tls.client(&stranger, control_plane, Hop::ControlPlane), enrolment);
    assert_eq!(reason(&result.server), Some("untrusted"));
}

#[test]
fn a_join_token_finds_its_control_plane_by_the_roots_hash_alone() {
    let mesh = mesh();
    let ours = RootHash::of(mesh.authority.root());
    let other = Authority::mint(&domain("weft.local"), now()).unwrap();
    let foreign = Authority::mint(&domain("other.mesh"), now()).unwrap();
    let foreign_control_plane = {
        let request = KeyAndRequest::generate().unwrap();
        let issued = foreign.issue_control_plane(&request.csr_der, now()).unwrap();
        Credentials::new(issued.chain_der, &request.key).unwrap().presenting_root(foreign.root())
    };
    let without_root = {
        let request = KeyAndRequest::generate().unwrap();
        let issued = mesh.authority.issue_control_plane(&request.csr_der, now()).unwrap();
        Credentials::new(issued.chain_der, &request.key).unwrap()
    };
    let posing = mesh.web.presenting_root(mesh.authority.root());
    // A chain of another mesh that carries our root beside it: the hash is there, the path to it is not.
    let decorated = {
        let request = KeyAndRequest::generate().unwrap();
        let issued = other.issue_control_plane(&request.csr_der, now()).unwrap();
        Credentials::new(issued.chain_der, &request.key).unwrap().presenting_root(mesh.authority.root())
    };
    let leaf = RootHash::of(&mesh.control_plane.chain()[0]);
    let intermediate = RootHash::of(&mesh.control_plane.chain()[1]);
    // Nothing is trusted beforehand: the pin is all there is.
    let tls = Tls::with_time(trusting([]), Clock::at(NOW));
    for (what, presented, pinned, want) in [
        ("the pinned root", &mesh.control_plane, ours, None),
        ("a pinned intermediate, which signed the leaf", &mesh.control_plane, intermediate, None),
        ("another root", &mesh.control_plane, RootHash::of(other.root()), Some("root_not_pinned")),
        ("the leaf itself", &mesh.control_plane, leaf, Some("root_not_pinned")),
        ("the root not sent", &without_root, ours, Some("root_not_pinned")),
        ("a workload of ours posing as the control plane", &posing, ours, Some("wrong_identity")),
        ("our root beside another's chain", &decorated, ours, Some("untrusted")),
        (
            "another domain's control plane",
            &foreign_control_plane,
            RootHash::of(foreign.root()),
            Some("wrong_identity"),
        ),
    ] {
        let pin = PinnedRoot { domain: domain("weft.local"), root: pinned };
        let server = mesh.tls.server(presented, &[Hop::ControlPlane], ClientAuth::Optional);
        let result = handshake(tls.pinned_client(&pin), server);
        assert_eq!(reason(&result.client), want, "{what}: {:?}", result.client);
    }
}

#[test]
fn trust_changes_under_a_configuration_that_is_in_use() {
    let mesh = mesh();
    let server = mesh.tls.server(&mesh.cart, &[Hop::Http2], ClientAuth::Required);
    let client = mesh.tls.client(&mesh.web, Expect::Exactly(id(CART)), Hop::Http2);
    handshake(client.clone(), server.clone()).completed();
    mesh.tls.trust().replace(TrustBundles::default());
    let result = handshake(client.clone(), server.clone());
    assert_eq!(reason(&result.client), Some("unknown_trust_domain"));
    mesh.tls.trust().update(&bundle(&mesh.authority)).unwrap();
    handshake(client, server).completed();
}

#[test]
fn a_certificate_expires_by_the_verifiers_clock() {
    let mesh = mesh();
    let server = mesh.tls.server(&mesh.cart, &[Hop::Http2], ClientAuth::Required);
    let client = mesh.tls.client(&mesh.web, Expect::Exactly(id(CART)), Hop::Http2);
    for (clock, want) in [
        (NOW - 301, Some("not_yet_valid")),
        (NOW - 300, None),
        (NOW + DAY, None),
        (NOW + DAY + 1, Some("expired")),
        (NOW, None),
    ] {
        mesh.clock.set(clock);
        assert_eq!(reason(&handshake(client.clone(), server.clone()).client), want, "at {clock}");
    }
}

#[test]
fn a_client_that_knows_only_tls_1_2_is_refused_with_protocol_version() {
    let mesh = mesh();
    let server = mesh.tls.server(&mesh.cart, &Hop::BETWEEN_SIDECARS, ClientAuth::Required);
    let mut server = ServerConnection::new(server).unwrap();
    server.read_tls(&mut tls12_client_hello().as_slice()).unwrap();
    let refused = server.process_new_packets().unwrap_err();
    assert!(matches!(refused, rustls::Error::PeerIncompatible(_)), "{refused:?}");
    let mut sent = Vec::new();
    server.write_tls(&mut sent).unwrap();
    // Alert record, TLS 1.2 on the wire, 2 bytes: fatal, protocol_version (RFC 8446 §6.2).
    assert_eq!(sent, [21, 3, 3, 0, 2, 2, 70]);
}

#[test]
fn bytes_that_are_not_tls_end_the_connection_and_nothing_else() {
    let mesh = mesh();
    let config = mesh.tls.server(&mesh.cart, &Hop::BETWEEN_SIDECARS, ClientAuth::Required);
    for bytes in
        [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0; 64], vec![22, 3, 1, 255, 255, 0], vec![0x16; 18_000]]
    {
        let mut server = ServerConnection::new(config.clone()).unwrap();
        let mut unread = bytes.as_slice();
        while !unread.is_empty() && server.read_tls(&mut unread).is_ok_and(|read| read > 0) {
            if server.process_new_packets().is_err() {
                break;
            }
        }
        assert!(server.is_handshaking());
        assert!(server.reader().read(&mut [0; 1]).is_err(), "nothing reaches the application");
    }
}

#[test]
fn a_key_of_another_certificate_is_no_credentials() {
    let mesh = mesh();
    let request = KeyAndRequest::generate().unwrap();
    let issued = mesh.authority.issue(&request.csr_der, &id(WEB), Lifetime::Default, now()).unwrap();
    let other = KeyAndRequest::generate().unwrap().key;
    let refused = Credentials::new(issued.chain_der.clone(), &other);
    assert!(matches!(refused, Err(BadCredentials::Key(_))), "{refused:?}");
    let refused = Credentials::new(vec![], &request.key);
    assert!(matches!(refused, Err(BadCredentials::Leaf(PeerRefused::NoCertificate))), "{refused:?}");
    let intermediate_first = issued.chain_der.iter().rev().cloned().collect();
    let refused = Credentials::new(intermediate_first, &request.key);
    assert!(matches!(refused, Err(BadCredentials::Leaf(PeerRefused::CaAsLeaf))), "{refused:?}");
    assert_eq!(Credentials::new(issued.chain_der, &request.key).unwrap().us().id, id(WEB));
}

#[test]
fn early_data_and_tickets_are_off_on_both_sides() {
    let mesh = mesh();
    let server = mesh.tls.server(&mesh.cart, &Hop::BETWEEN_SIDECARS, ClientAuth::Required);
    assert_eq!((server.max_early_data_size, server.send_tls13_tickets), (0, 0));
    assert!(!server.ticketer.enabled());
    let client = mesh.tls.client(&mesh.web, Expect::Exactly(id(CART)), Hop::Http2);
    assert!(!client.enable_early_data);
    let name = ServerName::try_from("cart.shop").unwrap();
    assert!(ClientConnection::new(client, name).unwrap().early_data().is_none());
}

/// As a TLS 1.2 client sends it (RFC 5246 §7.4.1.2), with `weft/1-h2` for ALPN and no `supported_versions`.
fn tls12_client_hello() -> Vec<u8> {
    let mut extensions = Vec::new();
    extensions.extend([0, 10, 0, 4, 0, 2, 0, 23]); // supported_groups: secp256r1
    extensions.extend([0, 11, 0, 2, 1, 0]); // ec_point_formats: uncompressed
    extensions.extend([0, 13, 0, 4, 0, 2, 4, 3]); // signature_algorithms: ecdsa_secp256r1_sha256
    extensions.extend([0, 16, 0, 12, 0, 10, 9]);
    extensions.extend(b"weft/1-h2");
    extensions.extend([0, 23, 0, 0]); // extended_master_secret

    let mut body = vec![3, 3];
    body.extend([7; 32]); // random
    body.push(0); // session id
    body.extend([0, 2, 0xc0, 0x2b]); // TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    body.extend([1, 0]); // no compression
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);

    let length = u16::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1];
    record.extend((length + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend(length.to_be_bytes());
    record.extend(body);
    record
}
