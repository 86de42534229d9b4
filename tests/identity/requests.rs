//! Signing requests that ask for more than their sender is, with tokens that are good: the authority refuses, or issues
//! exactly the identity of the token and not a word more.

use std::time::{Duration, SystemTime};

use tonic::Code;
use weft_certs::verify::peer;
use weft_tests::figures::report;
use weft_tests::mesh::Mesh;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::counters::only;
use crate::der::{bits, boolean, explicit, extension, integer, name, named_bits, oid, sequence, set, tlv};
use crate::enrolment::{enrol, outcomes, request, token};
use crate::forge::{
    CODE_SIGNING, CRL_SIGN, KEY_CERT_SIGN, Key, San, algorithm, alt_names, curve_key, dsa_key, rsa_algorithm,
    rsa_key,
};

const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";

/// PKCS#10, before it is signed.
struct Request {
    version: u8,
    subject: Vec<u8>,
    key: Vec<u8>,
    attributes: Vec<Vec<u8>>,
    algorithm: Vec<u8>,
}

impl Request {
    fn of(key: &Key) -> Self {
        let (subject, key) = (name(""), key.public());
        Self { version: 0, subject, key, attributes: Vec::new(), algorithm: algorithm(ECDSA_SHA256) }
    }

    fn signed(&self, by: &Key) -> Vec<u8> {
        let attributes = explicit(0, &self.attributes.concat());
        let body = sequence(&[&integer(&[self.version]), &self.subject, &self.key, &attributes]);
        sequence(&[&body, &self.algorithm, &bits(&by.sign(&body))])
    }
}

fn asking_for(extensions: &[Vec<u8>]) -> Vec<u8> {
    attribute(EXTENSION_REQUEST, extensions)
}

fn attribute(id: &str, extensions: &[Vec<u8>]) -> Vec<u8> {
    sequence(&[&oid(id), &set(&[&sequence(&[&extensions.concat()])])])
}

fn named(names: &[San]) -> Vec<u8> {
    extension("2.5.29.17", false, &alt_names(names))
}

/// A request that is good but for what `spoil` does to it.
fn spoiled(spoil: impl FnOnce(&mut Request)) -> Vec<u8> {
    let key = Key::new();
    let mut request = Request::of(&key);
    spoil(&mut request);
    request.signed(&key)
}

fn with(extensions: &[Vec<u8>]) -> Vec<u8> {
    spoiled(|request| request.attributes.push(asking_for(extensions)))
}

fn good() -> Vec<u8> {
    spoiled(|_| {})
}

fn of_key(key: Vec<u8>) -> Vec<u8> {
    spoiled(|request| request.key = key)
}

/// What is refused, and why. `me` is whom the token is for.
fn refused(me: &str) -> Vec<(&'static str, Vec<u8>, &'static str, Code)> {
    use Code::{InvalidArgument, PermissionDenied};
    let own = || San::uri(me);
    let mut all = Vec::new();
    let names = [
        ("another service account", vec![San::uri("spiffe://weft.local/ns/shop/sa/admin")]),
        ("another namespace", vec![San::uri("spiffe://weft.local/ns/bank/sa/w")]),
        ("another trust domain", vec![San::uri("spiffe://other.mesh/ns/shop/sa/w")]),
        ("the control plane", vec![San::uri("spiffe://weft.local/weft/control-plane")]),
        ("itself in upper case", vec![San::uri(&me.to_uppercase())]),
        ("itself and NUL", vec![San::uri(&format!("{me}\0"))]),
        ("itself twice", vec![own(), own()]),
        ("itself and somebody else", vec![own(), San::uri("spiffe://weft.local/ns/shop/sa/admin")]),
        ("itself and a host", vec![own(), San::Dns("api.shop.svc.cluster.local")]),
        ("itself and an address", vec![own(), San::Ip([10, 0, 0, 1])]),
        ("itself and a mailbox", vec![own(), San::Email("root@weft.local")]),
        ("a host", vec![San::Dns("*.shop.svc.cluster.local")]),
        ("an address", vec![San::Ip([10, 0, 0, 1])]),
        ("nobody, in so many words", vec![]),
    ];
    for (what, names) in names {
        all.push((what, with(&[named(&names)]), "csr_wants_other_name", PermissionDenied));
    }
    let admin = || named(&[San::uri("spiffe://weft.local/ns/shop/sa/admin")]);
    let twice = spoiled(|request| {
        request.attributes = vec![asking_for(&[named(&[own()])]), asking_for(&[admin()])];
    });
    all.push((
        "somebody else in a second list of extensions",
        twice,
        "csr_wants_other_name",
        PermissionDenied,
    ));
    let usage = |bit| extension("2.5.29.15", true, &named_bits(&[bit]));
    for (what, asked) in [
        ("to be a CA", extension("2.5.29.19", true, &sequence(&[&boolean(true)]))),
        ("to sign certificates", usage(KEY_CERT_SIGN)),
        ("to sign revocations", usage(CRL_SIGN)),
    ] {
        all.push((what, with(&[asked]), "csr_wants_ca", PermissionDenied));
    }

    let compressed = {
        let key = Key::new().public();
        let point = [&[2][..], &key[key.len() - 64..key.len() - 32]].concat();
        sequence(&[&sequence(&[&oid("1.2.840.10045.2.1"), &oid("1.2.840.10045.3.1.7")]), &bits(&point)])
    };
    for (what, key) in [
        ("RSA with 512 bits", rsa_key(512)),
        ("RSA with 1024 bits", rsa_key(1024)),
        ("RSA with 2048 bits", rsa_key(2048)),
        ("P-192", curve_key("1.2.840.10045.3.1.1", 24)),
        ("P-224", curve_key("1.3.132.0.33", 28)),
        ("secp256k1", curve_key("1.3.132.0.10", 32)),
        ("P-521", curve_key("1.3.132.0.35", 66)),
        ("a point in compressed form", compressed),
        ("DSA", dsa_key()),
        ("X25519, which signs nothing", sequence(&[&algorithm("1.3.101.110"), &bits(&[9; 32])])),
    ] {
        all.push((what, of_key(key), "csr_key_type", InvalidArgument));
    }
    all.push((
        "a point on no curve",
        of_key(curve_key("1.2.840.10045.3.1.7", 32)),
        "csr_bad_signature",
        InvalidArgument,
    ));
    let key = Key::new();
    let foreign = Request::of(&key).signed(&Key::new());
    all.push(("another's key", foreign, "csr_bad_signature", InvalidArgument));
    let mut flipped = good();
    *flipped.last_mut().unwrap() ^= 1;
    all.push(("a signature with a bit turned over", flipped, "csr_bad_signature", InvalidArgument));
    let none = sequence(&[&good()[4..good().len() - 76], &algorithm(ECDSA_SHA256), &bits(&[])]);
    all.push(("no signature", none, "csr_malformed", InvalidArgument));
    for (what, said) in [
        ("a signature that calls itself SHA-1", algorithm("1.2.840.10045.4.1")),
        ("a signature that calls itself RSA", rsa_algorithm("1.2.840.113549.1.1.11")),
    ] {
        all.push((what, spoiled(|request| request.algorithm = said), "csr_bad_signature", InvalidArgument));
    }

    let deep = (0..4000)
        .fold(Vec::new(), |inner: Vec<u8>, _| if inner.len() > 15_000 { inner } else { tlv(0x30, &inner) });
    for (what, bytes, reason) in [
        ("nothing", Vec::new(), "csr_malformed"),
        ("zeros", vec![0; 500], "csr_malformed"),
        ("a length beyond its end", vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], "csr_malformed"),
        ("half a request", good()[..100].to_vec(), "csr_malformed"),
        ("something after the end", [good(), b"x".to_vec()].concat(), "csr_malformed"),
        ("two requests", [good(), good()].concat(), "csr_malformed"),
        ("text", b"-----BEGIN CERTIFICATE REQUEST-----".to_vec(), "csr_malformed"),
        ("four thousand boxes in each other", deep, "csr_malformed"),
        ("17 KiB", vec![0x30; 17 * 1024], "csr_too_large"),
        ("an extension that cannot be read", with(&[extension("2.5.29.19", true, b"?")]), "csr_malformed"),
    ] {
        all.push((what, bytes, reason, InvalidArgument));
    }
    all
}

#[tokio::test]
async fn no_request_for_more_than_a_leaf_of_its_own_name_gets_one_and_the_token_stays_good() {
    let mesh = Mesh::start("").await;
    let count = refused("").len();
    assert!(count >= 40, "only {count} requests");
    for nth in 0..count {
        // Each on behalf of a workload of its own, so that none is slowed down for what another did.
        let (workload, me) = (format!("w{nth}"), format!("spiffe://weft.local/ns/shop/sa/w{nth}"));
        let (what, csr, reason, code) = refused(&me).swap_remove(nth);
        let token = token(&mesh, &workload, &workload, 1).await;
        let workload = format!("shop/{workload}");
        let before = outcomes(&mesh).await;
        let status = enrol(&mesh, request(&token, &workload, csr)).await.expect_err(what);
        assert_eq!(status.code(), code, "{what}: {status}");
        assert!(
            !status.message().contains("admin") && !status.message().contains("other.mesh"),
            "{what}: {status}"
        );
        only(what, &before, reason, async || outcomes(&mesh).await).await;
        let certificate = enrol(&mesh, request(&token, &workload, good())).await.unwrap_or_else(|status| {
            panic!("{what} used the token up: {status}");
        });
        assert_eq!(certificate.identity, me, "{what}");
    }
    report(9, format!("{count} bad signing requests, 0 signed"), true);
}

#[tokio::test]
async fn what_a_request_may_not_decide_is_not_in_the_certificate() {
    let mesh = Mesh::start("").await;
    let purpose = extension("2.5.29.37", false, &tlv(0x30, &oid(CODE_SIGNING)));
    let microsoft =
        attribute("1.3.6.1.4.1.311.2.1.14", &[named(&[San::uri("spiffe://weft.local/ns/shop/sa/admin")])]);
    let year = 365 * 86_400;
    let cases: Vec<(&str, Vec<u8>, Option<i64>)> = vec![
        ("a common name", spoiled(|it| it.subject = name("spiffe://weft.local/ns/shop/sa/admin")), None),
        ("a common name with NUL", spoiled(|it| it.subject = name("admin\0.shop")), None),
        ("other usages", with(&[purpose]), None),
        ("extensions as somebody else asks for them", spoiled(|it| it.attributes.push(microsoft)), None),
        ("a serial number of its own", with(&[extension("2.5.29.14", false, &tlv(4, &[1; 20]))]), None),
        ("another version", spoiled(|it| it.version = 5), None),
        ("a hundred years", good(), Some(100 * year)),
        ("all the time there is", good(), Some(i64::MAX)),
        ("less than no time", good(), Some(-year)),
        ("no time", good(), Some(0)),
        ("a second", good(), Some(1)),
    ];
    for (nth, (what, csr, seconds)) in cases.into_iter().enumerate() {
        let workload = format!("w{nth}");
        let token = token(&mesh, &workload, &workload, 1).await;
        let mut request = request(&token, &format!("shop/{workload}"), csr);
        request.lifetime = seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        let certificate = enrol(&mesh, request).await.unwrap_or_else(|status| panic!("{what}: {status}"));
        let me = format!("spiffe://weft.local/ns/shop/sa/{workload}");
        assert_eq!(certificate.identity, me, "{what}");

        let der = &certificate.chain_der[0];
        let who = peer(&[der.clone().into()]).unwrap();
        assert_eq!(who.id.as_str(), me, "{what}");
        let left = who.not_after.duration_since(SystemTime::now()).unwrap();
        assert!(
            left <= Duration::from_secs(86_400) && left >= Duration::from_secs(9 * 60),
            "{what}: {left:?}"
        );
        let (_, leaf) = X509Certificate::from_der(der).unwrap();
        assert_eq!(leaf.subject().iter().count(), 0, "{what}");
        let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert!(matches!(names.as_slice(), [GeneralName::URI(uri)] if *uri == me), "{what}: {names:?}");
        assert!(!leaf.is_ca(), "{what}");
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && usage.client_auth && !usage.code_signing, "{what}");
        assert!(leaf.raw_serial().len() >= 16, "{what}");
    }
}

#[tokio::test]
async fn a_request_of_a_megabyte_is_not_even_read() {
    let mesh = Mesh::start("").await;
    let token = token(&mesh, "web", "web", 1).await;
    let status = enrol(&mesh, request(&token, "shop/web", vec![0x30; 1 << 20])).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    enrol(&mesh, request(&token, "shop/web", good())).await.unwrap();
}
