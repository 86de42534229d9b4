//! A renewal changes what new connections use and leaves the open ones alone.

use std::io::{Read, Write};

use super::*;
use crate::authority::{Authority, Lifetime};
use crate::bundle::{DenyList, TrustBundle, TrustBundles};
use crate::forge::*;
use crate::request::KeyAndRequest;
use crate::tls::MAX_CLIENTS;
use crate::verify::peer;

fn credentials(authority: &Authority, uri: &str) -> Credentials {
    let request = KeyAndRequest::generate().unwrap();
    let issued = authority.issue(&request.csr_der, &id(uri), Lifetime::Default, now()).unwrap();
    Credentials::new(issued.chain_der, &request.key).unwrap()
}

fn mesh() -> (Authority, Tls) {
    let authority = Authority::mint(&domain("weft.local"), now()).unwrap();
    let bundle =
        TrustBundle::new(domain("weft.local"), 1, [authority.root().clone()], DenyList::default()).unwrap();
    (authority, Tls::with_time(trusting([bundle]), Clock::at(NOW)))
}

#[test]
fn a_renewal_drops_no_connection_and_the_next_one_uses_it() {
    let (authority, tls) = mesh();
    let web = Identity::unknown(tls.clone());
    let cart = Identity::unknown(tls);
    assert!(web.current().is_none());
    let expect = Expect::Exactly(id(CART));
    let first = credentials(&authority, WEB);
    let second = credentials(&authority, WEB);
    assert_eq!(web.swap(first.clone()).number(), 1);
    cart.swap(credentials(&authority, CART));

    let connect = || {
        let client = web.current().unwrap().client(&expect, Hop::Http2);
        handshake(client, cart.current().unwrap().sidecar_server()).completed()
    };
    let (mut old_client, mut old_server) = connect();
    assert_eq!(web.swap(second.clone()).number(), 2);
    cart.swap(credentials(&authority, CART));
    let (_, new_server) = connect();

    let serial =
        |server: &rustls::ServerConnection| peer(server.peer_certificates().unwrap()).unwrap().serial;
    assert_eq!(serial(&old_server), first.us().serial);
    assert_eq!(serial(&new_server), second.us().serial);

    let mut wire = Vec::new();
    old_client.writer().write_all(b"still here").unwrap();
    old_client.write_tls(&mut wire).unwrap();
    old_server.read_tls(&mut wire.as_slice()).unwrap();
    old_server.process_new_packets().unwrap();
    let mut heard = [0; 10];
    old_server.reader().read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"still here");
}

#[test]
fn a_configuration_is_built_once_per_generation_value_of_trust_peer_and_hop() {
    let (authority, tls) = mesh();
    let web = Identity::unknown(tls);
    let one = web.swap(credentials(&authority, WEB));
    let cart = Expect::Exactly(id(CART));
    let config = one.client(&cart, Hop::Http2);
    assert!(Arc::ptr_eq(&config, &one.client(&cart, Hop::Http2)));
    assert!(!Arc::ptr_eq(&config, &one.client(&cart, Hop::Tcp)));
    assert!(!Arc::ptr_eq(&config, &one.client(&Expect::AnyOf(vec![id(CART)]), Hop::Http2)));
    assert!(Arc::ptr_eq(&one.sidecar_server(), &one.sidecar_server()));
    let two = web.swap(credentials(&authority, WEB));
    assert!(!Arc::ptr_eq(&config, &two.client(&cart, Hop::Http2)));
    let server = two.sidecar_server();
    web.tls().trust().replace(TrustBundles::default());
    assert!(!Arc::ptr_eq(&server, &two.sidecar_server()));
}

#[test]
fn a_thousand_peers_and_one_are_not_remembered_for_ever() {
    let (authority, tls) = mesh();
    let generation = Identity::unknown(tls).swap(credentials(&authority, WEB));
    for n in 0..=MAX_CLIENTS {
        let expect = Expect::Exactly(id(&format!("spiffe://weft.local/ns/shop/sa/w{n}")));
        let _built = generation.client(&expect, Hop::Http2);
        assert!(generation.sessions().clients() <= MAX_CLIENTS);
    }
}
