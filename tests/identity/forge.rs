//! A certificate authority without scruples: it has the keys of a running mesh, and signs whatever it is told.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{KeyPair, PublicKeyData, SigningKey as _};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::der::{
    bits, boolean, explicit, extension, integer, name, named_bits, octets, oid, sequence, time, tlv,
};

pub(crate) const DIGITAL_SIGNATURE: u8 = 0;
pub(crate) const KEY_AGREEMENT: u8 = 4;
pub(crate) const KEY_CERT_SIGN: u8 = 5;
pub(crate) const CRL_SIGN: u8 = 6;
pub(crate) const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
pub(crate) const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
pub(crate) const CODE_SIGNING: &str = "1.3.6.1.5.5.7.3.3";
pub(crate) const HOUR: i64 = 3600;

const EC: &str = "1.2.840.10045.2.1";
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";

/// Who signs: a name and a key, and the certificate that says so.
pub(crate) struct Ca {
    pub(crate) certificate: CertificateDer<'static>,
    /// As it stands in the certificates that it signs.
    pub(crate) name: Vec<u8>,
    pub(crate) key: Key,
    /// What a peer sends between a leaf of this one and the root.
    pub(crate) above: Vec<CertificateDer<'static>>,
}

impl Ca {
    /// The intermediate and the root of the mesh whose state directory this is.
    pub(crate) fn stolen_from(state: &Path) -> (Self, Self) {
        let file = |ending: &str| {
            let files = std::fs::read_dir(state.join("ca")).unwrap().map(|file| file.unwrap().path());
            let found = files.into_iter().find(|file| file.to_string_lossy().ends_with(ending));
            std::fs::read_to_string(found.unwrap()).unwrap()
        };
        let intermediate = Self::of(&file("-intermediate.pem"), &file("-intermediate.pem"), Vec::new());
        let root = Self::of(&file("-root.pem"), &file("-root-key.pem"), Vec::new());
        (intermediate, root)
    }

    fn of(certificate: &str, key: &str, above: Vec<CertificateDer<'static>>) -> Self {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let name = X509Certificate::from_der(&certificate).unwrap().1.subject().as_raw().to_vec();
        let from = key.find("-----BEGIN PRIVATE KEY").unwrap();
        Self { certificate, name, key: Key(Arc::new(KeyPair::from_pem(&key[from..]).unwrap())), above }
    }

    /// One that nobody knows, under a name of its own choice.
    pub(crate) fn unknown(named: &[u8]) -> Self {
        let key = Key::new();
        let mut spec = Spec::ca(&key);
        (spec.issuer, spec.subject) = (Some(named.to_vec()), named.to_vec());
        let certificate = spec.signed(&key, named);
        Self { certificate, name: named.to_vec(), key, above: Vec::new() }
    }

    /// One below this one.
    pub(crate) fn below(&self, change: impl FnOnce(&mut Spec)) -> Self {
        let key = Key::new();
        let mut spec = Spec::ca(&key);
        spec.subject = name("between");
        change(&mut spec);
        let certificate = spec.signed(&self.key, &self.name);
        let mut above = vec![self.certificate.clone()];
        above.extend(self.above.clone());
        Self { certificate, name: spec.subject, key, above }
    }

    /// A good leaf, then spoiled.
    pub(crate) fn leaf(&self, uri: &str, spoil: impl FnOnce(&mut Spec)) -> Presented {
        let key = Key::new();
        let mut spec = Spec::leaf(uri, &key);
        spoil(&mut spec);
        let leaf = spec.signed(&self.key, &self.name);
        Presented { chain: self.chain(leaf), key: key.for_tls() }
    }

    /// What is sent with a leaf of this one. A root is not sent along.
    pub(crate) fn chain(&self, leaf: CertificateDer<'static>) -> Vec<CertificateDer<'static>> {
        let mut chain = vec![leaf, self.certificate.clone()];
        chain.extend(self.above.clone());
        chain
    }
}

/// A P-256 key.
#[derive(Clone)]
pub(crate) struct Key(Arc<KeyPair>);

impl Key {
    pub(crate) fn new() -> Self {
        Self(Arc::new(KeyPair::generate().unwrap()))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).unwrap()
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    pub(crate) fn for_tls(&self) -> Arc<dyn SigningKey> {
        any_supported_type(&PrivateKeyDer::Pkcs8(self.0.serialize_der().into())).unwrap()
    }
}

/// What somebody presents, and what it signs handshakes with.
#[derive(Clone, Debug)]
pub(crate) struct Presented {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Arc<dyn SigningKey>,
}

impl Presented {
    pub(crate) fn with_chain(mut self, change: impl FnOnce(&mut Vec<CertificateDer<'static>>)) -> Self {
        change(&mut self.chain);
        self
    }

    /// The same chain, in the hands of somebody who has another key.
    pub(crate) fn stolen(mut self) -> Self {
        self.key = Key::new().for_tls();
        self
    }

    /// The same chain, and a signature that is wrong in its last byte.
    pub(crate) fn misspelt(mut self) -> Self {
        self.key = Arc::new(Misspelling(self.key));
        self
    }
}

/// Signs almost as the key that it has.
#[derive(Debug)]
struct Misspelling(Arc<dyn SigningKey>);

impl SigningKey for Misspelling {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        #[derive(Debug)]
        struct Wrong(Box<dyn Signer>);
        impl Signer for Wrong {
            fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
                let mut signature = self.0.sign(message)?;
                *signature.last_mut().unwrap() ^= 1;
                Ok(signature)
            }
            fn scheme(&self) -> SignatureScheme {
                self.0.scheme()
            }
        }
        Some(Box::new(Wrong(self.0.choose_scheme(offered)?)))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

/// One name of a SubjectAltName.
pub(crate) enum San {
    Uri(Vec<u8>),
    Dns(&'static str),
    Email(&'static str),
    Ip([u8; 4]),
}

impl San {
    pub(crate) fn uri(text: &str) -> Self {
        Self::Uri(text.as_bytes().to_vec())
    }

    fn der(&self) -> Vec<u8> {
        match self {
            Self::Email(text) => tlv(0x81, text.as_bytes()),
            Self::Dns(text) => tlv(0x82, text.as_bytes()),
            Self::Uri(bytes) => tlv(0x86, bytes),
            Self::Ip(bytes) => tlv(0x87, bytes),
        }
    }
}

/// A SubjectAltName of these.
pub(crate) fn alt_names(names: &[San]) -> Vec<u8> {
    let names: Vec<Vec<u8>> = names.iter().map(San::der).collect();
    sequence(&names.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Everything that a certificate says, before it is signed.
pub(crate) struct Spec {
    pub(crate) version: u8,
    pub(crate) serial: Vec<u8>,
    /// What it says it is signed with, inside and outside of what is signed.
    pub(crate) algorithm: (Vec<u8>, Vec<u8>),
    /// Another than the one who signs it.
    pub(crate) issuer: Option<Vec<u8>>,
    /// Seconds from now.
    pub(crate) life: (i64, i64),
    pub(crate) subject: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) names: Vec<San>,
    pub(crate) constraints: Option<(bool, Option<u8>)>,
    pub(crate) usage: Option<Vec<u8>>,
    pub(crate) purposes: Option<Vec<&'static str>>,
    pub(crate) more: Vec<Vec<u8>>,
    /// A bit of the signature to turn over.
    pub(crate) flip: bool,
}

impl Spec {
    fn leaf(uri: &str, key: &Key) -> Self {
        let algorithm = algorithm(ECDSA_SHA256);
        Self {
            version: 2,
            serial: [&[1][..], &key.public()[40..56]].concat(),
            algorithm: (algorithm.clone(), algorithm),
            issuer: None,
            life: (-HOUR, HOUR),
            subject: name(""),
            key: key.public(),
            names: vec![San::uri(uri)],
            constraints: Some((false, None)),
            usage: Some(vec![DIGITAL_SIGNATURE]),
            purposes: Some(vec![SERVER_AUTH, CLIENT_AUTH]),
            more: Vec::new(),
            flip: false,
        }
    }

    fn ca(key: &Key) -> Self {
        Self {
            names: Vec::new(),
            constraints: Some((true, None)),
            usage: Some(vec![KEY_CERT_SIGN, CRL_SIGN]),
            purposes: None,
            ..Self::leaf("", key)
        }
    }

    /// As a certificate, by whoever has `key` and is called `by`.
    pub(crate) fn signed(&self, key: &Key, by: &[u8]) -> CertificateDer<'static> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        let validity = sequence(&[&time(now + self.life.0), &time(now + self.life.1)]);
        let extensions = explicit(3, &sequence(&[&self.extensions().concat()]));
        let body = sequence(&[
            &explicit(0, &integer(&[self.version])),
            &integer(&self.serial),
            &self.algorithm.0,
            self.issuer.as_deref().unwrap_or(by),
            &validity,
            &self.subject,
            &self.key,
            &extensions,
        ]);
        let mut signature = key.sign(&body);
        if self.flip {
            *signature.last_mut().unwrap() ^= 1;
        }
        sequence(&[&body, &self.algorithm.1, &bits(&signature)]).into()
    }

    fn extensions(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        if !self.names.is_empty() {
            all.push(extension("2.5.29.17", self.subject == name(""), &alt_names(&self.names)));
        }
        if let Some((ca, depth)) = self.constraints {
            let depth = depth.map(|depth| integer(&[depth])).unwrap_or_default();
            let ca = if ca { boolean(true) } else { Vec::new() };
            all.push(extension("2.5.29.19", true, &sequence(&[&ca, &depth])));
        }
        if let Some(usage) = &self.usage {
            all.push(extension("2.5.29.15", true, &named_bits(usage)));
        }
        if let Some(purposes) = &self.purposes {
            let purposes: Vec<u8> = purposes.iter().flat_map(|purpose| oid(purpose)).collect();
            all.push(extension("2.5.29.37", false, &tlv(0x30, &purposes)));
        }
        all.extend(self.more.clone());
        all
    }
}

/// An AlgorithmIdentifier without parameters.
pub(crate) fn algorithm(id: &str) -> Vec<u8> {
    sequence(&[&oid(id)])
}

/// An AlgorithmIdentifier of RSA: parameters are NULL.
pub(crate) fn rsa_algorithm(id: &str) -> Vec<u8> {
    sequence(&[&oid(id), &tlv(5, &[])])
}

/// An RSA key of so many bits. Nobody has its other half: it is refused before that matters.
pub(crate) fn rsa_key(bits_long: usize) -> Vec<u8> {
    let mut modulus = vec![0x5a; bits_long / 8];
    modulus[0] = 0xc5;
    modulus[bits_long / 8 - 1] |= 1;
    let key = sequence(&[&integer(&[&[0], &modulus[..]].concat()), &integer(&[1, 0, 1])]);
    sequence(&[&rsa_algorithm("1.2.840.113549.1.1.1"), &bits(&key)])
}

/// A point of so many bytes, on the curve of this name. Whether it is on it nobody asks of a curve that is refused.
pub(crate) fn curve_key(curve: &str, coordinate: usize) -> Vec<u8> {
    let point = [&[4][..], &vec![0x17; 2 * coordinate]].concat();
    sequence(&[&sequence(&[&oid(EC), &oid(curve)]), &bits(&point)])
}

/// DSA, with numbers of no meaning.
pub(crate) fn dsa_key() -> Vec<u8> {
    let numbers = sequence(&[&integer(&[3]), &integer(&[5]), &integer(&[7])]);
    sequence(&[&sequence(&[&oid("1.2.840.10040.4.1"), &numbers]), &bits(&integer(&[2]))])
}

/// NameConstraints that permit these names only.
pub(crate) fn permitted(names: &[San]) -> Vec<u8> {
    let trees: Vec<u8> = names.iter().flat_map(|name| sequence(&[&name.der()])).collect();
    extension("2.5.29.30", true, &sequence(&[&tlv(0xa0, &trees)]))
}

/// A critical extension of nobody's.
pub(crate) fn unknown_extension() -> Vec<u8> {
    extension("1.3.6.1.4.1.99999.1", true, &octets(b"?"))
}
