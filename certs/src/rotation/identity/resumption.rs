//! A resumed session grants what a full handshake would grant at that moment, and nothing beyond it.

use std::net::SocketAddr;
use std::ops::DerefMut;

use rustls::{ClientConnection, ConnectionCommon, HandshakeKind, NamedGroup, ServerConnection};

use super::*;
use crate::authority::{Authority, Serial};
use crate::bundle::{DenyList, TrustBundle, TrustBundles, TrustStore};
use crate::forge::*;
use crate::tls::SESSION_LIFETIME;
use crate::verify::{Peer, PeerRefused};

/// Two sidecars that hold each its own trust, under one clock.
struct Pair {
    forge: Forge,
    clock: Arc<Clock>,
    web: Identity,
    cart: Identity,
    expect: Expect,
}

fn pair() -> Pair {
    let forge = Forge::new();
    let clock = Clock::at(NOW);
    let sidecar = |uri: &str| {
        let trust = trusting([forge.bundle("weft.local", DenyList::default())]);
        let identity = Identity::unknown(Tls::with_time(trust, clock.clone()));
        identity.swap(leaf(&forge, uri, DAY));
        identity
    };
    let (web, cart) = (sidecar(WEB), sidecar(CART));
    Pair { web, cart, expect: Expect::Exactly(id(CART)), clock, forge }
}

/// Credentials that hold for `seconds` from now.
fn leaf(forge: &Forge, uri: &str, seconds: u64) -> Credentials {
    Credentials::forged(&forge.leaf_with(uri, |leaf| leaf.not_after = later(seconds).into()).0)
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

const HERE: &str = "10.0.0.7:15006";

/// How a connection came about and whom each end sees, judged as its owner has to.
struct Met {
    kind: HandshakeKind,
    client: Result<Peer, PeerRefused>,
    server: Result<Peer, PeerRefused>,
}

impl Pair {
    fn client(&self) -> Arc<ClientConfig> {
        self.web.current().unwrap().sidecar_client(&self.expect, Hop::Tcp, addr(HERE))
    }

    fn server(&self) -> Arc<ServerConfig> {
        self.cart.current().unwrap().sidecar_server()
    }

    fn connect(&self) -> Met {
        self.connect_with(self.client(), self.server())
    }

    /// With configurations that somebody may have kept for too long.
    fn connect_with(&self, client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Met {
        let (client, server) = handshake(client, server).completed();
        self.met(&client, &server)
    }

    fn met(&self, client: &ClientConnection, server: &ServerConnection) -> Met {
        assert_eq!(client.handshake_kind(), server.handshake_kind());
        Met {
            kind: client.handshake_kind().unwrap(),
            client: self.cart.tls().client_of(server),
            server: self.web.tls().server_of(client, self.expect.clone()),
        }
    }

    /// Both trust `bundle` from now on.
    fn trust(&self, bundle: &TrustBundle) {
        for store in [self.web.tls().trust(), self.cart.tls().trust()] {
            store.replace([bundle.clone()].into_iter().collect());
        }
    }
}

#[test]
fn the_second_connection_resumes_and_both_ends_know_each_other_all_the_same() {
    let pair = pair();
    for (n, kind) in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed].iter().enumerate()
    {
        let (client, server) = handshake(pair.client(), pair.server()).completed();
        let met = pair.met(&client, &server);
        assert_eq!(met.kind, *kind, "connection {n}");
        assert_eq!(met.client.unwrap(), *pair.web.current().unwrap().credentials().us());
        assert_eq!(met.server.unwrap(), *pair.cart.current().unwrap().credentials().us());
        assert_eq!(server.peer_certificates(), Some(pair.web.current().unwrap().credentials().chain()));
        for alpn in [client.alpn_protocol(), server.alpn_protocol()] {
            assert_eq!(Hop::negotiated(alpn), Some(Hop::Tcp));
        }
        // A session that is resumed has keys of its own all the same.
        let group = client.negotiated_key_exchange_group().map(|group| group.name());
        assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
    }
}

#[test]
fn nothing_is_sent_before_the_handshake_even_where_it_could_be_resumed() {
    let pair = pair();
    pair.connect();
    assert_eq!(pair.server().max_early_data_size, 0);
    let name = rustls::pki_types::ServerName::try_from("cart.shop").unwrap();
    let mut client = ClientConnection::new(pair.client(), name).unwrap();
    assert!(client.early_data().is_none());
}

#[test]
fn a_session_is_for_the_far_end_the_hop_and_the_identity_that_it_was_made_with() {
    let pair = pair();
    let other = Expect::AnyOf(vec![id(CART)]);
    let us = pair.web.current().unwrap();
    let again = |config: Arc<ClientConfig>| pair.connect_with(config, pair.server()).kind;
    assert_eq!(again(pair.client()), HandshakeKind::Full);
    for (what, config) in [
        ("another port", us.sidecar_client(&pair.expect, Hop::Tcp, addr("10.0.0.7:15007"))),
        ("another host", us.sidecar_client(&pair.expect, Hop::Tcp, addr("10.0.0.8:15006"))),
        ("another hop", us.sidecar_client(&pair.expect, Hop::Http2, addr(HERE))),
        ("another expectation", us.sidecar_client(&other, Hop::Tcp, addr(HERE))),
        ("no sessions at all", us.client(&pair.expect, Hop::Tcp)),
        ("no sessions at all, again", us.client(&pair.expect, Hop::Tcp)),
    ] {
        assert_eq!(again(config), HandshakeKind::Full, "{what}");
    }
    assert_eq!(again(pair.client()), HandshakeKind::Resumed);
    // Whoever answers at the address must be who is meant: no earlier session vouches for it.
    let web = Expect::Exactly(id(WEB));
    let met = handshake(us.sidecar_client(&web, Hop::Tcp, addr(HERE)), pair.server());
    let refused = met.client.as_ref().err().and_then(PeerRefused::of_handshake);
    assert!(matches!(refused, Some(PeerRefused::WrongIdentity { .. })), "{refused:?}");
}

#[test]
fn a_resumed_session_is_whose_certificate_made_it_and_never_the_next_ones() {
    let pair = pair();
    pair.connect();
    let (old_client, old_server) = (pair.client(), pair.server());
    pair.web.swap(leaf(&pair.forge, WEB, DAY));
    let met = pair.connect();
    assert_eq!(met.kind, HandshakeKind::Full, "our own renewal");
    assert_eq!(met.client.unwrap().serial, pair.web.current().unwrap().credentials().us().serial);
    assert_eq!(pair.connect().kind, HandshakeKind::Resumed);

    pair.cart.swap(leaf(&pair.forge, CART, DAY));
    assert_eq!(pair.connect().kind, HandshakeKind::Full, "the server's renewal");
    // Whoever accepted with the earlier certificate still may, until it is gone.
    assert_eq!(pair.connect_with(old_client, old_server).kind, HandshakeKind::Resumed);
}

/// What may change, on either side, that ends every session.
fn changes(pair: &Pair) -> Vec<(&'static str, TrustBundle)> {
    let forge = &pair.forge;
    let another_root = Forge::new().root;
    let roots =
        |roots: Vec<_>| TrustBundle::new(domain("weft.local"), 1, roots, DenyList::default()).unwrap();
    let denied =
        DenyList { identities: [id("spiffe://weft.local/ns/shop/sa/else")].into(), ..DenyList::default() };
    vec![
        ("a root is added", roots(vec![forge.root.clone(), another_root])),
        ("a root is retired", roots(vec![forge.root.clone()])),
        ("somebody else is denied", forge.bundle("weft.local", denied)),
        ("the deny list is empty again", forge.bundle("weft.local", DenyList::default())),
    ]
}

#[test]
fn nothing_is_resumed_across_a_change_of_trust_on_either_side() {
    let pair = pair();
    pair.connect();
    for (what, bundle) in changes(&pair) {
        for side in [&pair.web, &pair.cart] {
            assert_eq!(pair.connect().kind, HandshakeKind::Resumed, "before: {what}");
            let (old_client, old_server) = (pair.client(), pair.server());
            side.tls().trust().replace([bundle.clone()].into_iter().collect());
            // Kept by hand, as somebody does who took them just before the change.
            assert_eq!(pair.connect_with(old_client, old_server).kind, HandshakeKind::Full, "kept: {what}");
            assert_eq!(pair.connect().kind, HandshakeKind::Full, "{what}");
            assert!(pair.connect().client.is_ok());
        }
    }
}

#[test]
fn the_same_bundle_said_again_ends_no_session() {
    let pair = pair();
    pair.connect();
    for side in [&pair.web, &pair.cart] {
        side.tls().trust().update(&pair.forge.bundle("weft.local", DenyList::default())).unwrap();
    }
    assert_eq!(pair.connect().kind, HandshakeKind::Resumed);
}

#[test]
fn who_is_denied_or_whose_root_is_gone_does_not_come_back_by_an_earlier_session() {
    let serial = |identity: &Identity| identity.current().unwrap().credentials().us().serial.clone();
    let issuer = |pair: &Pair| {
        let us = pair.web.current().unwrap();
        let intermediate = &us.credentials().chain()[1];
        Serial::from_bytes(x509_parser::parse_x509_certificate(intermediate).unwrap().1.raw_serial())
    };
    type Bundle = fn(&Pair, DenyList) -> TrustBundle;
    let same: Bundle = |pair, denied| pair.forge.bundle("weft.local", denied);
    let other: Bundle = |_, denied| Forge::new().bundle("weft.local", denied);
    for (what, list) in [("serial", 0), ("identity", 1), ("issuer", 2), ("root", 3)] {
        for keeps_by_hand in [false, true] {
            let pair = pair();
            pair.connect();
            assert_eq!(pair.connect().kind, HandshakeKind::Resumed);
            let kept = (pair.client(), pair.server());
            let (bundle, want) = match list {
                0 => (
                    same(&pair, DenyList { serials: [serial(&pair.web)].into(), ..DenyList::default() }),
                    "denied",
                ),
                1 => {
                    (same(&pair, DenyList { identities: [id(WEB)].into(), ..DenyList::default() }), "denied")
                }
                2 => (
                    same(&pair, DenyList { serials: [issuer(&pair)].into(), ..DenyList::default() }),
                    "denied",
                ),
                _ => (other(&pair, DenyList::default()), "untrusted"),
            };
            // Only the server hears of it: the client would resume with all it has.
            pair.cart.tls().trust().replace([bundle].into_iter().collect());
            let (client, server) = if keeps_by_hand { kept } else { (pair.client(), pair.server()) };
            let refused = handshake(client, server).server.err();
            let refused = refused.as_ref().and_then(PeerRefused::of_handshake).map(|refused| refused.label());
            assert_eq!(refused, Some(want), "{what}, kept by hand: {keeps_by_hand}");
        }
    }
}

#[test]
fn a_change_in_the_middle_of_a_resumed_handshake_is_seen_at_its_end() {
    for (denied, side) in [(WEB, 0), (CART, 1)] {
        let pair = pair();
        pair.connect();
        let name = rustls::pki_types::ServerName::try_from("routing.only.example").unwrap();
        let mut client = ClientConnection::new(pair.client(), name).unwrap();
        let mut server = ServerConnection::new(pair.server()).unwrap();
        carry(&mut client, &mut server);
        let list = DenyList { identities: [id(denied)].into(), ..DenyList::default() };
        pair.trust(&pair.forge.bundle("weft.local", list));
        carry(&mut server, &mut client);
        carry(&mut client, &mut server);
        carry(&mut server, &mut client);
        // To rustls it is a handshake like any other; the judgement at its end says what it is worth.
        let met = pair.met(&client, &server);
        assert_eq!(met.kind, HandshakeKind::Resumed);
        let judged = if side == 0 { met.client } else { met.server };
        assert_eq!(judged, Err(PeerRefused::Denied), "{denied}");
        assert_eq!(client.tls13_tickets_received(), 0, "no ticket for what has ended");
    }
}

/// What one end has to say, to the other.
fn carry<A, B>(
    from: &mut impl DerefMut<Target = ConnectionCommon<A>>,
    to: &mut impl DerefMut<Target = ConnectionCommon<B>>,
) {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut unread = wire.as_slice();
    while !unread.is_empty() {
        to.read_tls(&mut unread).unwrap();
        to.process_new_packets().unwrap();
    }
}

#[test]
fn a_session_ends_with_the_callers_certificate_the_servers_and_its_own_hour() {
    let hour = u64::from(SESSION_LIFETIME);
    type Moments<'m> = &'m [(u64, Result<HandshakeKind, &'m str>)];
    let cases: [(&str, u64, u64, Moments<'_>); 3] = [
        (
            "long certificates",
            DAY,
            DAY,
            &[(hour - 1, Ok(HandshakeKind::Resumed)), (2 * hour - 1, Ok(HandshakeKind::Full))],
        ),
        (
            "a short one of the caller",
            hour / 2,
            DAY,
            &[(hour / 2, Ok(HandshakeKind::Resumed)), (hour / 2 + 1, Err("expired"))],
        ),
        (
            "a short one of the server",
            DAY,
            hour / 2,
            &[(hour / 2 - 1, Ok(HandshakeKind::Resumed)), (hour / 2 + 1, Err("expired"))],
        ),
    ];
    for (what, client, server, moments) in cases {
        let pair = pair();
        pair.web.swap(leaf(&pair.forge, WEB, client));
        pair.cart.swap(leaf(&pair.forge, CART, server));
        pair.connect();
        for (second, want) in moments {
            pair.clock.set(NOW + second);
            let seen = pair.attempt();
            assert_eq!(seen, *want, "{what}, after {second} seconds");
        }
    }
}

impl Pair {
    /// The kind, if both ends are content with each other in the end; otherwise why not.
    fn attempt(&self) -> Result<HandshakeKind, &'static str> {
        let label = |error: &rustls::Error| PeerRefused::of_handshake(error).map(|refused| refused.label());
        let met = handshake(self.client(), self.server());
        let (client, server) = match (met.client, met.server) {
            (Ok(client), Ok(server)) => (client, server),
            (client, server) => {
                let errors = [client.err(), server.err()];
                return Err(errors.iter().flatten().find_map(label).expect("one of them says why"));
            }
        };
        let met = self.met(&client, &server);
        met.client.and(met.server).map(|_| met.kind).map_err(|refused| refused.label())
    }
}

#[test]
fn a_clock_that_was_put_back_resumes_nothing() {
    let pair = pair();
    pair.clock.set(NOW + 100);
    pair.connect();
    pair.clock.set(NOW);
    assert_eq!(pair.connect().kind, HandshakeKind::Full);
}

#[test]
fn a_ticket_of_another_server_of_the_same_identity_is_worth_nothing() {
    let pair = pair();
    let twin = Identity::unknown(Tls::with_time(Arc::clone(pair.cart.tls().trust()), pair.clock.clone()));
    twin.swap(pair.cart.current().unwrap().credentials().clone());
    pair.connect();
    let met = pair.connect_with(pair.client(), twin.current().unwrap().sidecar_server());
    assert_eq!(met.kind, HandshakeKind::Full);
}

#[test]
fn trust_that_is_gone_trusts_nobody_who_was_here_before() {
    let pair = pair();
    pair.connect();
    pair.cart.tls().trust().replace(TrustBundles::default());
    let refused = handshake(pair.client(), pair.server()).server.err();
    let refused = refused.as_ref().and_then(PeerRefused::of_handshake).map(|refused| refused.label());
    assert_eq!(refused, Some("unknown_trust_domain"));
}

#[test]
fn the_control_plane_is_met_by_full_handshakes_only() {
    let authority = Authority::mint(&domain("weft.local"), now()).unwrap();
    let trust = TrustBundle::new(domain("weft.local"), 1, [authority.root().clone()], DenyList::default());
    let store: Arc<TrustStore> = trusting([trust.unwrap()]);
    let tls = Tls::with_time(store, Clock::at(NOW));
    let key = crate::request::KeyAndRequest::generate().unwrap();
    let issued = authority.issue_control_plane(&key.csr_der, now()).unwrap();
    let control_plane = Credentials::new(issued.chain_der, &key.key).unwrap();
    let us = Identity::unknown(tls.clone());
    let key = crate::request::KeyAndRequest::generate().unwrap();
    let lifetime = crate::authority::Lifetime::Default;
    let issued = authority.issue(&key.csr_der, &id(WEB), lifetime, now()).unwrap();
    us.swap(Credentials::new(issued.chain_der, &key.key).unwrap());
    let expect = Expect::Exactly(weft_policy::identity::SpiffeId::control_plane(authority.domain()));
    let server = tls.server(&control_plane, &[Hop::ControlPlane], crate::verify::ClientAuth::Optional);
    for _ in 0..2 {
        let client = us.current().unwrap().client(&expect, Hop::ControlPlane);
        let (client, _) = handshake(client, server.clone()).completed();
        assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(client.tls13_tickets_received(), 0);
    }
}
