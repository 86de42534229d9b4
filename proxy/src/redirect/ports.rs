//! A port or a range of ports, as an operator writes it (`9999`, `4567-4568`) and as nft reads it.

use std::fmt;
use std::str::FromStr;

/// Ports from `first` to `last`, both included. Never empty, never port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// One port. `None` for port 0.
    #[must_use]
    pub fn one(port: u16) -> Option<Self> {
        (port != 0).then_some(Self { first: port, last: port })
    }

    /// Sorts, and joins what overlaps or touches: nft refuses a set whose intervals overlap.
    pub(super) fn merge(ranges: &mut Vec<Self>) {
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let joins = next.first <= kept.last.saturating_add(1);
            if joins {
                kept.last = kept.last.max(next.last);
            }
            joins
        });
    }
}

impl FromStr for PortRange {
    type Err = BadPortRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadPortRange(text.to_owned());
        let port = |part: &str| part.trim().parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(bad);
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        if first > last {
            return Err(bad());
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return write!(f, "{}", self.first);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// The text is neither a port nor a range of ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no port: write one port (9999) or a range, the lower one first (4567-4568), from 1 to 65535"
)]
pub struct BadPortRange(String);
