//! Nobody makes the stores grow, and no bytes but our own are a ticket.

use proptest::prelude::*;
use rustls::HandshakeKind;
use rustls::server::StoresServerSessions;

use super::*;
use crate::bundle::DenyList;
use crate::forge::*;
use crate::tls::session::given::MAX_GIVEN;
use crate::tls::session::kept::{FEW, MAX_FAR_ENDS, MAX_IN_ALL, MAX_TICKETS};

fn addr(port: u16) -> SocketAddr {
    ([10, 0, 0, 7], port).into()
}

/// Sessions of a client, and a server that hands out `tickets` at every handshake.
fn generous(tickets: usize) -> (Sessions, Arc<ServerConfig>) {
    let forge = Forge::new();
    let tls = Tls::with_time(trusting([forge.bundle("weft.local", DenyList::default())]), Clock::at(NOW));
    let sidecar = |uri: &str| Sessions::new(tls.clone(), Credentials::forged(&forge.leaf(uri).0));
    let mut server = ServerConfig::clone(&sidecar(CART).server());
    server.send_tls13_tickets = tickets;
    (sidecar(WEB), Arc::new(server))
}

#[test]
fn a_server_that_gives_many_tickets_is_owed_the_youngest_few() {
    let (sessions, server) = generous(50);
    let expect = Expect::Exactly(id(CART));
    for _ in 0..3 {
        let client = sessions.client_at(&expect, Hop::Tcp, addr(1));
        handshake(client, server.clone()).completed();
        assert_eq!(sessions.kept.count(), (1, MAX_TICKETS));
    }
}

#[test]
fn many_generous_servers_are_each_owed_a_few() {
    let (sessions, server) = generous(50);
    let expect = Expect::Exactly(id(CART));
    for port in 1..=100 {
        let client = sessions.client_at(&expect, Hop::Tcp, addr(port));
        handshake(client, server.clone()).completed();
    }
    let (far_ends, tickets) = sessions.kept.count();
    assert_eq!(far_ends, 100);
    assert!((MAX_IN_ALL..MAX_IN_ALL + 100 * FEW).contains(&tickets), "{tickets}");
}

#[test]
fn far_ends_beyond_the_bound_take_the_place_of_others() {
    let (sessions, server) = generous(1);
    let expect = Expect::Exactly(id(CART));
    // All at one server, which is what addresses are to a test.
    let meet = |port| {
        let client = sessions.client_at(&expect, Hop::Tcp, addr(port));
        handshake(client, server.clone()).completed().0.handshake_kind()
    };
    for port in 1..=300 {
        assert_eq!(meet(port), Some(HandshakeKind::Full));
    }
    assert_eq!(sessions.kept.count(), (MAX_FAR_ENDS, MAX_FAR_ENDS));
    assert_eq!(meet(300), Some(HandshakeKind::Resumed), "the newest is never the one that makes room");
}

#[test]
fn a_ticket_is_used_once() {
    let (sessions, server) = generous(0);
    let expect = Expect::Exactly(id(CART));
    let mut once = ServerConfig::clone(&server);
    once.send_tls13_tickets = 1;
    let meet = |server: &Arc<ServerConfig>| {
        let client = sessions.client_at(&expect, Hop::Tcp, addr(1));
        handshake(client, Arc::clone(server)).completed().0.handshake_kind()
    };
    meet(&Arc::new(once));
    assert_eq!(meet(&server), Some(HandshakeKind::Resumed));
    assert_eq!(sessions.kept.count(), (0, 0));
    assert_eq!(meet(&server), Some(HandshakeKind::Full));
}

/// Its clock, and the trust it was made under.
fn given() -> (Given, Arc<Clock>, Tls) {
    let clock = Clock::at(NOW);
    let tls = Tls::with_time(trusting([]), clock.clone());
    let given = Given::new(&tls, tls.trust().current(), later(DAY));
    (given, clock, tls)
}

#[test]
fn a_session_opens_once_for_an_hour_until_our_leaf_expires_or_trust_changes() {
    let (given, clock, tls) = given();
    let put = || given.put(b"ticket".to_vec(), b"session".to_vec());
    for (issued, asked, opens) in [
        (0, 0, true),
        (0, 3599, true),
        (0, 3600, false),
        (1, 0, false),
        (DAY - 10, DAY - 1, true),
        (DAY - 10, DAY, false),
    ] {
        clock.set(NOW + issued);
        assert!(put());
        clock.set(NOW + asked);
        assert_eq!(given.take(b"ticket").is_some(), opens, "of {issued} at {asked}");
        assert_eq!(given.take(b"ticket"), None, "a second time");
    }
    clock.set(NOW + DAY);
    assert!(!put(), "nobody could make one with us now");

    clock.set(NOW);
    assert!(put());
    tls.trust().replace(TrustBundles::default());
    assert_eq!(given.take(b"ticket"), None);
    assert!(!put());
}

#[test]
fn any_number_of_callers_is_kept_in_bounds() {
    let (given, _, _) = given();
    for n in 0..3 * MAX_GIVEN {
        assert!(given.put(n.to_be_bytes().to_vec(), vec![7; 1024]));
    }
    assert_eq!(given.count(), MAX_GIVEN);
    assert!(given.take(&(3 * MAX_GIVEN - 1).to_be_bytes()).is_some(), "the newest is there");
}

proptest! {
    #[test]
    fn bytes_that_we_did_not_give_are_no_ticket(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let (given, _, _) = given();
        given.put(vec![7; 32], b"session".to_vec());
        prop_assert_eq!(given.take(&bytes), None);
        prop_assert_eq!(given.get(&bytes), None);
        prop_assert_eq!(given.count(), 1);
    }
}
