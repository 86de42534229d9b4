//! What carries every byte: TLS records, encrypted by whichever library does it in fewer instructions on this processor.
//!
//! aws-lc has AES-GCM for processors with AVX-512, and for those with neither that nor VAES. For what lies between, a good
//! part of the servers in use, it takes the oldest way, and ring has one of its own. Everything else of a connection, keys,
//! signatures and hashes, is aws-lc's wherever it runs. The same bytes come out of both, which the tests hold them to.

use std::sync::LazyLock;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::crypto::cipher::{
    self, AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError, make_tls13_aad,
};
use rustls::{
    ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite, Tls13CipherSuite,
};

/// The suites of the mesh, the cheapest first.
pub(crate) fn suites() -> Vec<SupportedCipherSuite> {
    let aes = if is_between() {
        [&BY_RING_128, &BY_RING_256].map(|suite| SupportedCipherSuite::Tls13(LazyLock::force(suite)))
    } else {
        [cipher_suite::TLS13_AES_128_GCM_SHA256, cipher_suite::TLS13_AES_256_GCM_SHA384]
    };
    aes.into_iter().chain([cipher_suite::TLS13_CHACHA20_POLY1305_SHA256]).collect()
}

/// Whether this is a processor that ring does better on.
fn is_between() -> bool {
    #[cfg(target_arch = "x86_64")]
    let between = is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("vpclmulqdq")
        && is_x86_feature_detected!("avx2")
        && !is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    let between = false;
    between
}

static BY_RING_128: LazyLock<Tls13CipherSuite> =
    LazyLock::new(|| by_ring(cipher_suite::TLS13_AES_128_GCM_SHA256, const { &Gcm(&AES_128_GCM) }));
static BY_RING_256: LazyLock<Tls13CipherSuite> =
    LazyLock::new(|| by_ring(cipher_suite::TLS13_AES_256_GCM_SHA384, const { &Gcm(&AES_256_GCM) }));

/// The suite with its records by ring, and all else as it was.
fn by_ring(suite: SupportedCipherSuite, gcm: &'static Gcm) -> Tls13CipherSuite {
    let suite = suite.tls13().expect("a suite of TLS 1.3, by its name");
    Tls13CipherSuite {
        common: rustls::crypto::CipherSuiteCommon { ..suite.common },
        hkdf_provider: suite.hkdf_provider,
        aead_alg: gcm,
        quic: None,
    }
}

/// AES-GCM with keys of one length.
struct Gcm(&'static Algorithm);

impl Gcm {
    fn direction(&self, key: &AeadKey, iv: Iv) -> Direction {
        let key = UnboundKey::new(self.0, key.as_ref()).expect("a key is as long as `key_len` says");
        Direction { key: LessSafeKey::new(key), iv }
    }
}

impl Tls13AeadAlgorithm for Gcm {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(self.direction(&key, iv))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(self.direction(&key, iv))
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    /// Nobody here takes keys out of a connection.
    fn extract_keys(&self, _: AeadKey, _: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// One direction of a connection, with the key of the moment.
struct Direction {
    key: LessSafeKey,
    iv: Iv,
}

impl Direction {
    /// Unique, as the number of a record is (RFC 8446 §5.3).
    fn nonce(&self, seq: u64) -> Nonce {
        let nonce: [u8; NONCE_LEN] = cipher::Nonce::new(&self.iv, seq).0;
        Nonce::assume_unique_for_key(nonce)
    }
}

impl MessageEncrypter for Direction {
    fn encrypt(&mut self, msg: OutboundPlainMessage<'_>, seq: u64) -> Result<OutboundOpaqueMessage, Error> {
        let length = self.encrypted_payload_len(msg.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&msg.payload);
        payload.extend_from_slice(&msg.typ.to_array());
        let aad = Aad::from(make_tls13_aad(length));
        self.key
            .seal_in_place_append_tag(self.nonce(seq), aad, &mut payload)
            .map_err(|_| Error::EncryptError)?;
        // What is seen of a record of TLS 1.3 says that it is one of TLS 1.2 (RFC 8446 §5.2).
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, payload))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len + size_of::<u8>() + self.key.algorithm().tag_len()
    }
}

impl MessageDecrypter for Direction {
    fn decrypt<'a>(
        &mut self,
        mut msg: InboundOpaqueMessage<'a>,
        seq: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let payload = &mut msg.payload;
        let aad = Aad::from(make_tls13_aad(payload.len()));
        let opened = self.key.open_in_place(self.nonce(seq), aad, payload);
        let length = opened.map_err(|_| Error::DecryptError)?.len();
        payload.truncate(length);
        msg.into_tls13_unpadded_message()
    }
}

#[cfg(test)]
mod tests;
