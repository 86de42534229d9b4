//! How much may be under way to a backend at once. A queue without a bound only turns an overload into
//! timeouts, so what is over a limit is refused at once.

use super::Limits;
use crate::live::InUse;

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The field of [`Limits`], by its name.
    pub limit: &'static str,
    /// What it says.
    pub max: u32,
    /// How much is under way.
    pub in_use: u32,
}

/// The limit that one more request, or one more opaque connection where `http` is false, would break. A request
/// may share a connection, so the limit on connections is its pool's to keep.
#[must_use]
pub fn exceeded(limits: &Limits, in_use: InUse, http: bool) -> Option<Exceeded> {
    let reached = |limit, max, in_use| (max > 0 && in_use >= max).then_some(Exceeded { limit, max, in_use });
    if http {
        reached("max_requests", limits.max_requests, in_use.requests)
            .or_else(|| reached("max_pending", limits.max_pending, in_use.pending))
    } else {
        reached("max_connections", limits.max_connections, in_use.connections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_is_reached_is_named_and_zero_is_no_limit() {
        let limits = Limits { max_connections: 3, max_pending: 2, max_requests: 5 };
        let in_use = |connections, pending, requests| InUse { connections, pending, requests };
        let table = [
            (limits, in_use(0, 0, 0), true, None),
            (limits, in_use(9, 1, 4), true, None),
            (limits, in_use(0, 0, 5), true, Some("max_requests")),
            (limits, in_use(0, 2, 4), true, Some("max_pending")),
            (limits, in_use(2, 9, 9), false, None),
            (limits, in_use(3, 0, 0), false, Some("max_connections")),
            (Limits::default(), in_use(9, 9, 9), true, None),
            (Limits::default(), in_use(9, 9, 9), false, None),
        ];
        for (limits, in_use, http, want) in table {
            assert_eq!(exceeded(&limits, in_use, http).map(|over| over.limit), want, "{in_use:?} {http}");
        }
    }
}
