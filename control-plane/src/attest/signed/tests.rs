//! Tokens as an API server signs them, and each way to make one that it has not signed.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::cluster::{Claims, NotVouched};
use super::*;

const NOW: u64 = 1_800_000_000;

/// An API server's key, and what it has published of it.
pub(in crate::attest) struct Signer {
    pair: Pair,
    pub(in crate::attest) jwk: Value,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Signer {
    pub(in crate::attest) fn p256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let jwk = json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "x": x, "y": y});
        Self { pair: Pair::Ec(pair), jwk }
    }

    fn rsa(kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        let (n, e) = (public.modulus(), public.exponent());
        let text = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        let jwk = json!({"kty": "RSA", "use": "sig", "kid": kid, "alg": "RS256",
            "n": text(n.big_endian_without_leading_zero()), "e": text(e.big_endian_without_leading_zero())});
        Self { pair: Pair::Rsa(pair.into()), jwk }
    }

    pub(in crate::attest) fn token(&self, header: &Value, body: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(body));
        let signature = match &self.pair {
            Pair::Ec(pair) => pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
                    .unwrap();
                signature
            }
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

pub(in crate::attest) fn body(until: u64) -> Value {
    json!({"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:shop:api", "aud": ["weft-ca"],
        "exp": until, "iat": until - 3600, "nbf": until - 3600,
        "kubernetes.io": {"namespace": "shop", "pod": {"name": "api-1", "uid": "u-1"},
            "serviceaccount": {"name": "api", "uid": "a-1"}, "warnafter": until - 60}})
}

fn keys(published: &[&Value]) -> Keys {
    let set = serde_json::from_value(json!({"keys": published})).unwrap();
    Keys::read(Configuration { issuer: "https://kubernetes.default.svc".to_owned() }, &set)
}

#[test]
fn what_the_api_server_has_signed_says_what_it_would_say_itself() {
    for (signer, alg) in [(Signer::p256("k1"), "ES256"), (Signer::rsa("k1"), "RS256")] {
        let token = signer.token(&json!({"alg": alg, "kid": "k1"}), &body(NOW + 10));
        let review = keys(&[&signer.jwk]).review(&token, "weft-ca", NOW).unwrap();
        let claims = Claims::read(&review, "weft-ca").unwrap();
        assert_eq!((&*claims.namespace, &*claims.service_account), ("shop", "api"), "{alg}");
        assert_eq!((&*claims.pod, &*claims.uid), ("api-1", "u-1"), "{alg}");
    }
}

#[test]
fn every_way_to_cheat_with_a_signature_comes_to_nothing() {
    let (ours, theirs, rsa) = (Signer::p256("k1"), Signer::p256("k1"), Signer::rsa("k2"));
    let keys = keys(&[&ours.jwk, &rsa.jwk]);
    let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    let good = ours.token(&header("ES256", "k1"), &body(NOW + 10));
    assert!(keys.review(&good, "weft-ca", NOW).is_ok());
    let parts: Vec<&str> = good.split('.').collect();
    let other = URL_SAFE_NO_PAD.encode(body(NOW + 99).to_string());
    let cases = [
        ("nothing", String::new(), NotSigned::Malformed),
        ("one part", "x".to_owned(), NotSigned::Malformed),
        ("no JSON", "eA.eA.eA".to_owned(), NotSigned::Malformed),
        ("not signed", ours.token(&header("none", "k1"), &body(NOW + 10)), NotSigned::BadSignature),
        ("no signature", format!("{}.{}.", parts[0], parts[1]), NotSigned::BadSignature),
        ("half a signature", good[..good.len() - 42].to_owned(), NotSigned::BadSignature),
        ("another body", format!("{}.{other}.{}", parts[0], parts[2]), NotSigned::BadSignature),
        ("a fourth part", format!("{good}.{}", parts[2]), NotSigned::BadSignature),
        ("padded", format!("{good}=="), NotSigned::Malformed),
        (
            "another's key of our name",
            theirs.token(&header("ES256", "k1"), &body(NOW + 10)),
            NotSigned::BadSignature,
        ),
        (
            "an algorithm with a shared secret",
            ours.token(&header("HS256", "k1"), &body(NOW + 10)),
            NotSigned::BadSignature,
        ),
        (
            "the algorithm of another key",
            rsa.token(&header("ES256", "k2"), &body(NOW + 10)),
            NotSigned::BadSignature,
        ),
        (
            "a key that is not published",
            ours.token(&header("ES256", "k3"), &body(NOW + 10)),
            NotSigned::UnknownKey,
        ),
        ("no key's name", ours.token(&json!({"alg": "ES256"}), &body(NOW + 10)), NotSigned::UnknownKey),
    ];
    for (case, token, expected) in cases {
        assert_eq!(keys.review(&token, "weft-ca", NOW).unwrap_err(), expected, "{case}");
    }
}

#[test]
fn what_is_signed_and_does_not_hold_here_and_now_comes_to_nothing() {
    let signer = Signer::p256("k1");
    let keys = keys(&[&signer.jwk]);
    let with = |pointer: &str, value: Value| {
        let mut body = body(NOW + 10);
        *body.pointer_mut(pointer).unwrap() = value;
        let token = signer.token(&json!({"alg": "ES256", "kid": "k1"}), &body);
        keys.review(&token, "weft-ca", NOW)
    };
    for (pointer, value, expected) in [
        ("/exp", json!(NOW), NotSigned::NotNow),
        ("/exp", json!("tomorrow"), NotSigned::Malformed),
        ("/nbf", json!(NOW + 3600), NotSigned::NotNow),
        ("/iss", json!("https://elsewhere"), NotSigned::OtherIssuer),
        ("/sub", json!("system:serviceaccount:shop:admin"), NotSigned::Contradiction),
        ("/kubernetes.io/namespace", json!("bank"), NotSigned::Contradiction),
        ("/kubernetes.io/serviceaccount", Value::Null, NotSigned::Contradiction),
        ("/aud", json!("weft-ca"), NotSigned::Malformed),
    ] {
        assert_eq!(with(pointer, value.clone()).unwrap_err(), expected, "{pointer} {value}");
    }
    for (pointer, value, expected) in [
        ("/aud", json!(["vault"]), NotVouched::OtherAudience),
        ("/aud", json!([]), NotVouched::OtherAudience),
        ("/kubernetes.io/pod", Value::Null, NotVouched::NotBound),
        ("/kubernetes.io/pod/uid", json!(""), NotVouched::NotBound),
    ] {
        let review = with(pointer, value.clone()).unwrap();
        assert_eq!(Claims::read(&review, "weft-ca").unwrap_err(), expected, "{pointer} {value}");
    }
}

#[test]
fn keys_that_cannot_be_used_are_left_out_and_the_others_are_used() {
    let signer = Signer::p256("k1");
    let mut short = signer.jwk.clone();
    short["x"] = json!("AA");
    let odd = [
        json!({}),
        json!({"kty": "oct", "kid": "k1", "k": "AA"}),
        json!({"kty": "RSA", "kid": "k1", "n": "!"}),
        short,
    ];
    let all: Vec<&Value> = odd.iter().chain([&signer.jwk]).collect();
    let token = signer.token(&json!({"alg": "ES256", "kid": "k1"}), &body(NOW + 10));
    assert!(keys(&all).review(&token, "weft-ca", NOW).is_ok());
}

proptest! {
    #[test]
    fn whatever_is_sent_for_a_token_nothing_breaks(token in "[a-zA-Z0-9_.=-]{0,200}") {
        let _refused = keys(&[]).review(&token, "weft-ca", NOW);
    }
}
