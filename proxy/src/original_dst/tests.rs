//! Loops are recognised however they are spelled; what is not a loop is left alone. The kernel's side of it is
//! tested in `tests/redirect.rs`, in a network namespace with real rules.

use std::net::UdpSocket;

use tokio::net::TcpListener;

use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A pod: data ports on the wildcard, an admin port on loopback.
fn own() -> OwnListeners {
    let listeners =
        ["0.0.0.0:15001", "[::]:15001", "[::]:15006", "0.0.0.0:15006", "127.0.0.1:15000", "[::1]:15000"];
    OwnListeners::new(listeners.map(addr), ["10.9.0.2", "fd00:9::2"].map(|ip| ip.parse().unwrap()))
}

#[test]
fn a_destination_that_is_the_proxy_is_refused_in_every_spelling() {
    let loops = [
        "127.0.0.1:15001",
        "127.0.0.2:15001",
        "127.255.255.254:15006",
        "0.0.0.0:15001",
        "[::]:15001",
        "[::1]:15006",
        "[::ffff:127.0.0.1]:15001",
        "[::ffff:0.0.0.0]:15001",
        "10.9.0.2:15006",
        "[::ffff:10.9.0.2]:15001",
        "[fd00:9::2]:15006",
        // The admin port, through any name that reaches it.
        "127.0.0.1:15000",
        "[::ffff:127.0.0.1]:15000",
        "[::1]:15000",
        "0.0.0.0:15000",
        "[::]:15000",
    ];
    for dst in loops {
        assert!(matches!(OriginalDst::named(addr(dst), &own()), Err(NoOriginalDst::Loop { .. })), "{dst}");
    }
}

#[test]
fn a_wildcard_listener_is_known_under_addresses_that_nobody_told_of() {
    let own = OwnListeners::new([addr("0.0.0.0:15006"), addr("[::]:15006")], []);
    for far in ["192.0.2.1:9", "[2001:db8::1]:9"] {
        let any = if far.contains('[') { "[::]:0" } else { "0.0.0.0:0" };
        let here = UdpSocket::bind(any).and_then(|socket| {
            socket.connect(far)?;
            socket.local_addr()
        });
        let Ok(here) = here else {
            eprintln!("skipped: this host has no route to {far}");
            continue;
        };
        assert!(own.contains(SocketAddr::new(here.ip(), 15006)), "{here}");
        assert!(!own.contains(SocketAddr::new(here.ip(), 15007)), "{here}");
        assert!(!own.contains(SocketAddr::new(addr(far).ip(), 15006)), "{far}");
    }
}

#[test]
fn only_this_host_is_this_host() {
    for here in ["127.0.0.1:4000", "127.0.0.2:4000", "[::1]:4000", "[::ffff:127.0.0.1]:4000"] {
        assert!(is_from_this_host(addr(here)), "{here}");
    }
    for there in ["203.0.113.9:4000", "198.51.100.7:4000", "[::ffff:198.51.100.7]:4000", "[2001:db8::1]:4000"]
    {
        assert!(!is_from_this_host(addr(there)), "{there}");
    }
}

#[test]
fn the_same_port_on_another_host_is_no_loop() {
    // Another pod's proxy listens on the same numbers; so may an application elsewhere.
    for dst in ["10.9.0.3:15001", "[fd00:9::3]:15006", "10.9.0.2:8080", "127.0.0.1:8080", "10.9.0.2:15000"] {
        assert_eq!(OriginalDst::named(addr(dst), &own()).unwrap().addr(), addr(dst), "{dst}");
    }
}

#[test]
fn a_connection_that_nobody_redirected_is_a_loop_even_on_an_address_we_were_not_told_of() {
    let nothing_known = OwnListeners::default();
    for (dst, local) in [
        ("192.0.2.7:15006", "192.0.2.7:15006"),
        ("192.0.2.7:15006", "[::ffff:192.0.2.7]:15006"),
        ("[fe80::1]:15006", "[fe80::1]:15006"),
        ("0.0.0.0:15006", "127.0.0.1:15006"),
    ] {
        let judged = OriginalDst::judge(addr(dst), addr(local), &nothing_known);
        assert!(matches!(judged, Err(NoOriginalDst::Loop { .. })), "{dst} at {local}");
    }
}

#[test]
fn a_v4_mapped_destination_is_an_ipv4_destination() {
    let dst = OriginalDst::judge(addr("[::ffff:10.96.0.7]:80"), addr("[::1]:15001"), &own()).unwrap();
    assert_eq!(dst.addr(), addr("10.96.0.7:80"));
}

#[tokio::test]
async fn a_connection_straight_to_the_listener_has_no_destination() {
    for bind in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
        let Ok(listener) = TcpListener::bind(bind).await else {
            eprintln!("skipped {bind}: this host has no IPv6");
            continue;
        };
        let at = listener.local_addr().unwrap();
        let _client = TcpStream::connect(at).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let own = OwnListeners::new([at], []);
        // A loop where connections are tracked, unknown where they are not; a destination in neither case.
        let error = OriginalDst::of_redirected(&accepted, &own).expect_err("nothing redirected it");
        assert!(error.to_string().contains("proxy"), "{error}");
    }
}
