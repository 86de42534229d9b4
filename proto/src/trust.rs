//! Whom a proxy believes, as it crosses the wire: plain parts, because reading certificates is `weft-certs`'
//! business and the protocol does not depend on it.

use weft_policy::identity::{SpiffeId, TrustDomain};

/// The trust of one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Whose.
    pub domain: TrustDomain,
    /// Grows with every change. An older one never replaces a newer one.
    pub sequence: u64,
    /// X.509 roots in DER, sorted by their bytes. None: trust nobody.
    pub anchors: Vec<Vec<u8>>,
    /// Serial numbers of certificates that are refused: big-endian, sorted.
    pub denied_serials: Vec<Vec<u8>>,
    /// Identities that are refused whatever their certificate says; sorted.
    pub denied_identities: Vec<SpiffeId>,
}

impl Trust {
    /// A domain that trusts nobody yet.
    #[must_use]
    pub const fn of(domain: TrustDomain, sequence: u64) -> Self {
        Self {
            domain,
            sequence,
            anchors: Vec::new(),
            denied_serials: Vec::new(),
            denied_identities: Vec::new(),
        }
    }

    /// The same with its lists in order and without repetition, so that equal trust is an equal value.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        for list in [&mut self.anchors, &mut self.denied_serials] {
            list.sort_unstable();
            list.dedup();
        }
        self.denied_identities.sort_unstable();
        self.denied_identities.dedup();
        self
    }
}
