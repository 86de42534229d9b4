//! What a proxy has written for itself, told from what somebody else has written: a keyed hash by the key of its own
//! certificate. Whoever can make one can pose as the proxy anyway.

use aws_lc_rs::hmac::{self, HMAC_SHA256};

use crate::request::PrivateKey;

/// A keyed hash of some bytes: 32 of them.
pub type Seal = [u8; SEAL];

/// How long a [`Seal`] is.
pub const SEAL: usize = 32;

/// Makes seals.
#[derive(Clone)]
pub(crate) struct Sealer(hmac::Key);

impl Sealer {
    /// By a private key, which is used for nothing but to derive another: the same secret never does two things.
    pub(crate) fn of(key: &PrivateKey) -> Self {
        let secret = hmac::Key::new(HMAC_SHA256, key.secret_der());
        Self(hmac::Key::new(HMAC_SHA256, hmac::sign(&secret, b"weft: what a proxy keeps").as_ref()))
    }

    pub(crate) fn seal(&self, bytes: &[u8]) -> Seal {
        let tag = hmac::sign(&self.0, bytes);
        tag.as_ref().try_into().expect("a hash of SHA-256 has 32 bytes")
    }

    /// In constant time.
    pub(crate) fn is_by_us(&self, bytes: &[u8], seal: &[u8]) -> bool {
        hmac::verify(&self.0, bytes, seal).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::KeyAndRequest;

    #[test]
    fn a_seal_is_of_these_bytes_and_by_this_key() {
        let [ours, other] = [(); 2].map(|()| Sealer::of(&KeyAndRequest::generate().unwrap().key));
        let seal = ours.seal(b"bytes");
        assert!(ours.is_by_us(b"bytes", &seal));
        assert!(!ours.is_by_us(b"byteS", &seal) && !other.is_by_us(b"bytes", &seal));
        for bit in 0..8 * SEAL {
            let mut changed = seal;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!ours.is_by_us(b"bytes", &changed), "bit {bit}");
        }
        assert!(!ours.is_by_us(b"bytes", &seal[..SEAL - 1]) && !ours.is_by_us(b"bytes", b""));
    }
}
