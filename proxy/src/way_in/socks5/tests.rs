//! What clients send, honest and hostile, and what they get back.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, duplex};

use super::*;

/// Runs the handshake over a whole input. What was found, what was written, and what was left unread.
fn play(input: &[u8]) -> (Option<Result<Target, Refused>>, Vec<u8>, &[u8]) {
    let mut handshake = Handshake::default();
    let (mut step, mut written, mut rest) = (handshake.first(), vec![], input);
    loop {
        let next = match step {
            Step::Connect(target) => return (Some(Ok(target)), written, rest),
            Step::Write(bytes) => {
                written.extend_from_slice(bytes);
                handshake.next(&[])
            }
            Step::Want(count) => {
                assert!((1..=MAX_WANT).contains(&count), "wants {count} bytes");
                let Some((wanted, left)) = rest.split_at_checked(count) else { return (None, written, rest) };
                rest = left;
                handshake.next(wanted)
            }
        };
        step = match next {
            Ok(step) => step,
            Err(refused) => {
                written.extend_from_slice(refused.answer());
                return (Some(Err(refused)), written, rest);
            }
        };
    }
}

const HELLO: &[u8] = &[5, 1, 0];

fn request(head: &[u8], address: &[u8], port: u16) -> Vec<u8> {
    [HELLO, head, address, &port.to_be_bytes()].concat()
}

fn named(name: &[u8], port: u16) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    request(&[5, 1, 0, 3, length], name, port)
}

#[test]
fn a_client_reaches_an_address_or_a_name() {
    let v6 = "fd00::7".parse::<Ipv6Addr>().unwrap().octets();
    let mapped = "::ffff:10.0.0.7".parse::<Ipv6Addr>().unwrap().octets();
    for (input, want) in [
        (request(&[5, 1, 0, 1], &[10, 0, 0, 7], 80), "10.0.0.7:80"),
        (request(&[5, 1, 0, 4], &v6, 443), "[fd00::7]:443"),
        (request(&[5, 1, 0, 4], &mapped, 443), "10.0.0.7:443"),
        (named(b"Shop.Mesh.", 8080), "shop.mesh:8080"),
        // Clients that have "remote DNS" on send literal addresses as names.
        (named(b"10.0.0.7", 80), "10.0.0.7:80"),
        (named(b"fd00::7", 80), "[fd00::7]:80"),
    ] {
        let (found, written, rest) = play(&input);
        assert_eq!(found.unwrap().unwrap().to_string(), want);
        assert_eq!((written.as_slice(), rest), (&[5, 0][..], &[][..]), "{want}");
    }
}

#[test]
fn what_follows_the_request_is_not_read() {
    let input = [named(b"shop.mesh", 80), b"GET / HTTP/1.1\r\n".to_vec()].concat();
    assert_eq!(play(&input).2, b"GET / HTTP/1.1\r\n");
}

#[test]
fn every_refusal_is_answered_with_the_code_of_the_rfc() {
    let failed = |code| vec![5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0];
    let general = || failed(1);
    let cases: Vec<(Vec<u8>, Refused, Vec<u8>)> = vec![
        (b"GET / HTTP/1.1\r\n".to_vec(), Refused::NotSocks5, vec![]),
        (vec![4, 1, 0, 80, 10, 0, 0, 7, 0], Refused::NotSocks5, vec![]),
        (vec![5, 0], Refused::NoMethod, vec![5, 0xff]),
        (vec![5, 2, 1, 2], Refused::NoMethod, vec![5, 0xff]),
        (request(&[5, 2, 0, 1], &[10, 0, 0, 7], 80), Refused::Command, failed(7)),
        (request(&[5, 3, 0, 1], &[10, 0, 0, 7], 80), Refused::Command, failed(7)),
        (request(&[5, 1, 0, 2], &[10, 0, 0, 7], 80), Refused::AddressKind, failed(8)),
        (request(&[5, 1, 7, 1], &[10, 0, 0, 7], 80), Refused::NotSocks5, vec![5, 0]),
        (request(&[4, 1, 0, 1], &[10, 0, 0, 7], 80), Refused::NotSocks5, vec![5, 0]),
        (request(&[5, 1, 0, 1], &[10, 0, 0, 7], 0), Refused::Target(BadTarget::Port), general()),
        (named(b"", 80), Refused::Target(BadTarget::Host), general()),
        (named(b"shop.mesh", 0), Refused::Target(BadTarget::Port), general()),
        (named(b"a\r\nb", 80), Refused::Target(BadTarget::Host), general()),
        (named(b"\xff\xfe", 80), Refused::Target(BadTarget::Host), general()),
        (named(&[b'a'; 255], 80), Refused::Target(BadTarget::Host), general()),
        (named(b"2130706433", 80), Refused::Target(BadTarget::Host), general()),
    ];
    for (input, want, answer) in cases {
        let (found, written, _) = play(&input);
        assert_eq!(found, Some(Err(want)), "{input:?}");
        assert_eq!(written, answer, "{input:?}");
    }
}

#[test]
fn a_failed_connection_becomes_the_reply_that_says_why() {
    for (kind, want) in [
        (io::ErrorKind::ConnectionRefused, Reply::ConnectionRefused),
        (io::ErrorKind::NetworkUnreachable, Reply::NetworkUnreachable),
        (io::ErrorKind::TimedOut, Reply::HostUnreachable),
        (io::ErrorKind::Other, Reply::GeneralFailure),
    ] {
        assert_eq!(Reply::from_connect_error(&kind.into()), want);
    }
}

proptest! {
    #[test]
    fn no_input_panics_and_a_cut_input_only_waits(input in prop::collection::vec(any::<u8>(), 0..600), cut in 0_usize..600) {
        let (whole, ..) = play(&input);
        let (part, ..) = play(&input[..cut.min(input.len())]);
        prop_assert!(part.is_none() || part == whole);
    }

    #[test]
    fn no_request_panics(tail in prop::collection::vec(any::<u8>(), 0..300), kind in 0_u8..6) {
        play(&[HELLO, &[5, 1, 0, kind], &tail].concat());
    }
}

#[tokio::test]
async fn the_driver_speaks_it_and_leaves_the_rest_in_the_stream() {
    // One byte at a time, both ways.
    let (client, mut server) = duplex(1);
    let (mut hear, mut say) = tokio::io::split(client);
    let serve = async {
        let target = accept(&mut server).await.unwrap();
        reply(&mut server, Reply::Succeeded).await.unwrap();
        let mut data = [0; 5];
        server.read_exact(&mut data).await.unwrap();
        (target.to_string(), data)
    };
    let talk = async {
        say.write_all(&[named(b"shop.mesh", 80), b"hello".to_vec()].concat()).await.unwrap();
    };
    let mut heard = [0; 12];
    let (served, (), listened) = tokio::join!(serve, talk, hear.read_exact(&mut heard));
    listened.unwrap();
    assert_eq!(served, ("shop.mesh:80".to_owned(), *b"hello"));
    assert_eq!(heard, [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_is_lost_and_not_waited_for() {
    let (mut client, mut server) = duplex(64);
    client.write_all(&[5, 1, 0, 5, 1]).await.unwrap();
    drop(client);
    assert!(matches!(accept(&mut server).await, Err(NotAccepted::Lost { .. })));
}
