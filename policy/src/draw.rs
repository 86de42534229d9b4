//! Chance as an argument: a sequence of numbers that follows from its seed.
//!
//! The proxy seeds one per request from its generator and logs the seed, so that `meshctl explain --draw`
//! repeats the very choice that was made.

/// A deterministic sequence of random-looking numbers (SplitMix64: Steele, Lea, Flood, "Fast splittable
/// pseudorandom number generators", OOPSLA 2014). Good for spreading load, useless for secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw(u64);

impl Draw {
    /// The sequence that follows from `seed`.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Where the sequence stands: `from_seed` of it continues from here.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.0
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`, or 0 where `bound` is 0. Lemire's multiply-and-shift: its bias is below
    /// `bound / 2^64`, far under what weights up to 16 million can show.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.bits() as u128 * bound as u128) >> 64) as u64
    }

    /// A number in `[0, 1)` with 53 random bits.
    pub const fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}
