//! A service account token, verified by the API server's published keys (OpenID Connect discovery, RFC 7517 and 7519) and
//! without asking it: who signed, for whom, until when, bound to which pod. It comes to the same form as an answer to a
//! `TokenReview`, and is judged by the same rules.
//!
//! What a key is decides by which algorithm a token is verified. What the token says of that only has to agree.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::cluster::{POD_NAME, POD_UID, Review, ReviewStatus, User};

/// The keys by which an API server signs tokens, and the name that it signs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    issuer: String,
    keys: Vec<(String, Key)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    /// RS256
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// ES256: an uncompressed point.
    P256(Vec<u8>),
    /// ES384
    P384(Vec<u8>),
}

/// `/.well-known/openid-configuration`, as much of it as is read.
#[derive(Clone, Debug, Deserialize)]
pub struct Configuration {
    /// What every token says it is from.
    pub issuer: String,
}

/// `/openid/v1/jwks`
#[derive(Clone, Debug, Deserialize)]
pub struct KeySet {
    keys: Vec<Jwk>,
}

/// RFC 7517 §4, RFC 7518 §6.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Jwk {
    kty: String,
    kid: String,
    crv: String,
    n: String,
    e: String,
    x: String,
    y: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Header {
    alg: String,
    kid: String,
}

/// What is signed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    iss: String,
    sub: String,
    aud: Vec<String>,
    exp: u64,
    nbf: u64,
    #[serde(rename = "kubernetes.io")]
    bound: Bound,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Bound {
    namespace: String,
    pod: Option<Named>,
    serviceaccount: Option<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
    uid: String,
}

/// Why a token is not one that the API server has signed for somebody now. The API server itself may know more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// Not three parts of base64 with JSON in them.
    #[error("it is no signed token")]
    Malformed,
    /// By no key that is known.
    #[error("it is signed by a key that the API server has not published, or not yet")]
    UnknownKey,
    /// By somebody else.
    #[error("its signature is not of the key that it names")]
    BadSignature,
    /// From somebody else.
    #[error("it is of another issuer than this API server")]
    OtherIssuer,
    /// Too late, or too early.
    #[error("it has expired, or does not hold yet")]
    NotNow,
    /// Its parts do not agree with one another.
    #[error("it says two things of whose it is")]
    Contradiction,
}

impl Keys {
    /// Takes what an API server has published. What is no key by which it may sign is left out.
    #[must_use]
    pub fn read(configuration: Configuration, set: &KeySet) -> Self {
        let keys = set.keys.iter().take(MOST_KEYS).filter_map(|jwk| Some((jwk.kid.clone(), Key::read(jwk)?)));
        Self { issuer: configuration.issuer, keys: keys.collect() }
    }

    /// What an API server would say of the token, if it has signed it and it holds `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn review(&self, token: &str, audience: &str, now: u64) -> Result<Review, NotSigned> {
        let (signed, signature) = token.rsplit_once('.').ok_or(NotSigned::Malformed)?;
        let (header, body) = signed.split_once('.').ok_or(NotSigned::Malformed)?;
        let header: Header = json(header)?;
        let (_, key) = self.keys.iter().find(|(kid, _)| *kid == header.kid).ok_or(NotSigned::UnknownKey)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| NotSigned::Malformed)?;
        if header.alg != key.algorithm() || !key.has_signed(signed.as_bytes(), &signature) {
            return Err(NotSigned::BadSignature);
        }
        let body: Body = json(body)?;
        if body.iss != self.issuer || self.issuer.is_empty() {
            return Err(NotSigned::OtherIssuer);
        }
        if now >= body.exp || now.saturating_add(LEEWAY) < body.nbf {
            return Err(NotSigned::NotNow);
        }
        let account = body.bound.serviceaccount.unwrap_or_default();
        if body.sub != format!("system:serviceaccount:{}:{}", body.bound.namespace, account.name) {
            return Err(NotSigned::Contradiction);
        }
        let pod = body.bound.pod.unwrap_or_default();
        let extra =
            [(POD_NAME, pod.name), (POD_UID, pod.uid)].into_iter().filter(|(_, value)| !value.is_empty());
        let extra: BTreeMap<_, _> = extra.map(|(name, value)| (name.to_owned(), vec![value])).collect();
        Ok(Review {
            status: ReviewStatus {
                authenticated: true,
                audiences: Some(body.aud.into_iter().filter(|said| said == audience).collect()),
                user: User { username: body.sub, extra: Some(extra) },
            },
        })
    }
}

impl Key {
    fn read(jwk: &Jwk) -> Option<Self> {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let point = |size: usize| {
            let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
            // 4: both coordinates follow (SEC 1 §2.3.3).
            (x.len() == size && y.len() == size).then(|| [&[4][..], &x, &y].concat())
        };
        match (jwk.kty.as_str(), jwk.crv.as_str()) {
            ("RSA", _) => Some(Self::Rsa { n: bytes(&jwk.n)?, e: bytes(&jwk.e)? }),
            ("EC", "P-256") => point(32).map(Self::P256),
            ("EC", "P-384") => point(48).map(Self::P384),
            _ => None,
        }
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RS256",
            Self::P256(_) => "ES256",
            Self::P384(_) => "ES384",
        }
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            Self::P384(point) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature).is_ok()
            }
        }
    }
}

fn json<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, NotSigned> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| NotSigned::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| NotSigned::Malformed)
}

/// An API server has one key, and two while it is replaced.
const MOST_KEYS: usize = 32;
/// By which its clock may be ahead of ours, in seconds.
const LEEWAY: u64 = 60;

#[cfg(test)]
pub(in crate::attest) mod tests;
