//! One end by ring, the other by aws-lc: what one writes the other reads, and what was changed on the way nobody does.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::PrivateKeyDer;
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig, ServerConnection,
};

use super::*;
use crate::forge::handshake;

fn ring(gcm: &'static LazyLock<Tls13CipherSuite>) -> SupportedCipherSuite {
    SupportedCipherSuite::Tls13(LazyLock::force(gcm))
}

/// A client and a server that have shaken hands, each with one suite.
fn connected(
    client: SupportedCipherSuite,
    server: SupportedCipherSuite,
) -> (ClientConnection, ServerConnection) {
    let provider =
        |suite| Arc::new(CryptoProvider { cipher_suites: vec![suite], ..aws_lc_rs::default_provider() });
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["routing.only.example".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider(client))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(provider(server))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    handshake(Arc::new(client), Arc::new(server)).completed()
}

/// Says something, and gives its records.
fn said<D>(end: &mut ConnectionCommon<D>, text: &[u8]) -> Vec<u8> {
    let (mut left, mut records) = (text, Vec::new());
    while !left.is_empty() {
        let taken = end.writer().write(left).unwrap();
        left = &left[taken..];
        while end.wants_write() {
            end.write_tls(&mut records).unwrap();
        }
    }
    records
}

/// What the other end makes of records.
fn heard<D>(end: &mut ConnectionCommon<D>, mut records: &[u8]) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    while !records.is_empty() {
        end.read_tls(&mut records).unwrap();
        end.process_new_packets()?;
        // That nothing more has come yet is no end.
        let _ = end.reader().read_to_end(&mut text);
    }
    Ok(text)
}

#[test]
fn what_ring_writes_aws_lc_reads_and_the_other_way_round() {
    let both = [
        (ring(&BY_RING_128), cipher_suite::TLS13_AES_128_GCM_SHA256),
        (ring(&BY_RING_256), cipher_suite::TLS13_AES_256_GCM_SHA384),
    ];
    for (ours, theirs) in both {
        assert_eq!(ours.suite(), theirs.suite());
        for (client, server) in [(ours, theirs), (theirs, ours), (ours, ours)] {
            let (mut client, mut server) = connected(client, server);
            for length in [1, 15, 16, 17, 255, 256, 4096, 16_383, 16_384, 16_385, 200_000] {
                let text: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
                let records = said(&mut client, &text);
                assert_eq!(heard(&mut server, &records), Ok(text.clone()), "{ours:?}: {length} bytes up");
                let records = said(&mut server, &text);
                assert_eq!(heard(&mut client, &records), Ok(text), "{ours:?}: {length} bytes down");
            }
            client.refresh_traffic_keys().unwrap();
            let records = said(&mut client, b"under another key");
            assert_eq!(heard(&mut server, &records).as_deref(), Ok(&b"under another key"[..]));
        }
    }
}

#[test]
fn a_record_that_was_changed_cut_or_sent_twice_is_not_opened() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 6] = [
        ("its first byte", |record| record[5] ^= 1),
        ("its last byte", |record| *record.last_mut().unwrap() ^= 0x80),
        ("its length, one less", |record| {
            record.pop();
            record[4] -= 1;
        }),
        ("nothing but a part of a tag", |record| {
            record.truncate(5 + 7);
            record[4] = 7;
        }),
        ("nothing at all", |record| {
            record.truncate(5);
            record[4] = 0;
        }),
        ("twice", |record| record.extend_from_within(..)),
    ];
    for (what, change) in changes {
        let (mut client, mut server) = connected(ring(&BY_RING_128), ring(&BY_RING_128));
        let mut record = said(&mut client, b"pay 10 to alice");
        change(&mut record);
        assert_eq!(heard(&mut server, &record), Err(Error::DecryptError), "{what}");
    }
}
