//! Nobody makes the stores grow, and no bytes but our own are a ticket.

use proptest::prelude::*;
use rustls::HandshakeKind;
use rustls::server::ProducesTickets;

use super::*;
use crate::bundle::DenyList;
use crate::forge::*;
use crate::tls::session::kept::{MAX_FAR_ENDS, MAX_TICKETS};

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
fn sealed() -> (Sealed, Arc<Clock>, Tls) {
    let clock = Clock::at(NOW);
    let tls = Tls::with_time(trusting([]), clock.clone());
    let sealed = Sealed::new(&tls, tls.trust().current(), later(DAY)).unwrap();
    (sealed, clock, tls)
}

#[test]
fn a_ticket_opens_for_an_hour_until_our_leaf_expires_or_trust_changes() {
    let (sealed, clock, tls) = sealed();
    let ticket = sealed.encrypt(b"session").unwrap();
    for (second, opens) in [(0, true), (3599, true), (3600, false)] {
        clock.set(NOW + second);
        assert_eq!(sealed.decrypt(&ticket).is_some(), opens, "after {second} seconds");
    }
    clock.set(NOW - 1);
    assert_eq!(sealed.decrypt(&ticket), None, "one from the future");
    for (before_the_end, lifetime) in [(DAY, LIFETIME), (3601, LIFETIME), (10, 10), (1, 1)] {
        clock.set(NOW + DAY - before_the_end);
        assert_eq!(sealed.lifetime(), lifetime);
        let ticket = sealed.encrypt(b"session").unwrap();
        assert_eq!(sealed.decrypt(&ticket).as_deref(), Some(b"session".as_slice()));
    }
    clock.set(NOW + DAY);
    assert_eq!(sealed.encrypt(b"session"), None);

    clock.set(NOW);
    let ticket = sealed.encrypt(b"session").unwrap();
    tls.trust().replace(TrustBundles::default());
    assert_eq!((sealed.encrypt(b"session"), sealed.decrypt(&ticket)), (None, None));
}

proptest! {
    #[test]
    fn bytes_that_we_did_not_seal_are_no_ticket(
        bytes in prop::collection::vec(any::<u8>(), 0..2048),
        at: prop::sample::Index,
        flip in 1u8..,
    ) {
        let (sealed, _, _) = sealed();
        let mut ticket = sealed.encrypt(&bytes).unwrap();
        prop_assert_eq!(sealed.decrypt(&bytes), None);
        let at = at.index(ticket.len());
        prop_assert_eq!(sealed.decrypt(&ticket[..at]), None);
        ticket[at] ^= flip;
        prop_assert_eq!(sealed.decrypt(&ticket), None);
    }
}
