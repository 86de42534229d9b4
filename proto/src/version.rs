//! What a resource is called by its content: a version is a hash of the body, a digest a sum over versions.
//!
//! Any replica, before and after any restart, must give the same content the same version, or every proxy would
//! fetch everything again. So the function is part of the protocol: XXH3 with seed 0, as specified since xxHash
//! 0.8.0, over bytes that this crate's encoder makes canonical. Golden tests pin it; it never changes within
//! `weft.v1`. It is no cryptography: who could forge a body holds the control plane's certificate already.

use std::ops::{AddAssign, SubAssign};

use crate::v1::Type;

/// The version of a body: the XXH3-64 of its bytes.
#[must_use]
pub fn of(body: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(body)
}

/// What somebody holds of one type, in 16 bytes: the sum modulo 2^128 of one hash per (type, name, version).
///
/// A sum, because it does not depend on order and one resource comes or goes in O(1). Two sides that hold the
/// same have the same digest; two that differ have different ones but for a chance of about 2^-128.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Digest(u128);

impl Digest {
    /// Nothing held.
    pub const EMPTY: Self = Self(0);

    /// The digest of one resource: XXH3-128 over type (4 bytes, big-endian), version (8) and name.
    #[must_use]
    pub fn of(kind: Type, name: &str, version: u64) -> Self {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        hash.update(&(kind as i32).to_be_bytes());
        hash.update(&version.to_be_bytes());
        hash.update(name.as_bytes());
        Self(hash.digest128())
    }

    /// As it crosses the wire: big-endian.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From the wire; `None` unless there are 16 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(u128::from_be_bytes(bytes.try_into().ok()?)))
    }
}

impl AddAssign for Digest {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl SubAssign for Digest {
    fn sub_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }
}

impl FromIterator<Self> for Digest {
    fn from_iter<I: IntoIterator<Item = Self>>(parts: I) -> Self {
        let mut sum = Self::EMPTY;
        parts.into_iter().for_each(|part| sum += part);
        sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_hash_is_the_one_that_other_releases_use() {
        // The hashes of nothing are in xxHash's own test vectors; the rest was computed once.
        assert_eq!(of(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(xxhash_rust::xxh3::xxh3_128(b""), 0x99aa_06d3_0147_98d8_6001_c324_468d_497f);
        assert_eq!(of(b"weft"), GOLDEN_WEFT);
        let digest = Digest::of(Type::Service, "shop/api", 7);
        assert_eq!(u128::from_be_bytes(digest.to_bytes()), GOLDEN_DIGEST);
    }

    #[test]
    fn a_digest_tells_type_name_and_version_apart() {
        let base = Digest::of(Type::Service, "shop/api", 7);
        for other in [
            Digest::of(Type::Routes, "shop/api", 7),
            Digest::of(Type::Service, "shop/apj", 7),
            Digest::of(Type::Service, "shop/api", 8),
            Digest::EMPTY,
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn only_sixteen_bytes_are_a_digest() {
        for len in [0, 8, 15, 17, 32] {
            assert_eq!(Digest::from_bytes(&vec![1; len]), None, "{len}");
        }
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_what_is_taken_away_was_never_there(
            held in prop::collection::vec(("[a-z]{1,8}/[a-z]{1,8}", any::<u64>()), 0..20),
            extra in any::<u64>(),
        ) {
            let one = |(name, version): &(String, u64)| Digest::of(Type::Endpoints, name, *version);
            let forward: Digest = held.iter().map(one).collect();
            let mut backward: Digest = held.iter().rev().map(one).collect();
            prop_assert_eq!(forward, backward);
            backward += Digest::of(Type::Trust, "td", extra);
            backward -= Digest::of(Type::Trust, "td", extra);
            prop_assert_eq!(forward, backward);
            prop_assert_eq!(Digest::from_bytes(&forward.to_bytes()), Some(forward));
        }
    }

    const GOLDEN_WEFT: u64 = 0x15d0_5235_f130_4082;
    const GOLDEN_DIGEST: u128 = 0x6180_9dd6_7422_6ec3_8c4c_fc3f_3197_ece6;
}
