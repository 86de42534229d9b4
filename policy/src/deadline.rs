//! How long a request may take: the whole of it, and each try.
//!
//! Gateway API GEP-1742: `request` covers everything including retries, `backendRequest` one try, zero
//! switches a timeout off. Only the wait for response headers is bounded: a stream that has begun is the
//! application's business.

use std::time::Duration;

use crate::moment::Moment;

/// The two timeouts of a rule. `None` is not set, `Some(ZERO)` is switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// From the request's head to the response's head, retries and waits included.
    pub request: Option<Duration>,
    /// The same for one try.
    pub backend_request: Option<Duration>,
}

impl Timeouts {
    /// A rule's own timeouts, completed field by field from the backend's.
    #[must_use]
    pub fn or(self, fallback: Self) -> Self {
        Self {
            request: self.request.or(fallback.request),
            backend_request: self.backend_request.or(fallback.backend_request),
        }
    }

    /// When a request that began at `start` must have its response head. `None`: whenever it comes.
    #[must_use]
    pub fn deadline(&self, start: Moment) -> Option<Moment> {
        bounded(self.request).map(|limit| start + limit)
    }

    /// When a try that begins now must have its response head: the earlier of its own limit and the request's.
    #[must_use]
    pub fn try_deadline(&self, start: Moment, now: Moment) -> Option<Moment> {
        let own = bounded(self.backend_request).map(|limit| now + limit);
        match (own, self.deadline(start)) {
            (Some(own), Some(whole)) => Some(own.min(whole)),
            (own, whole) => own.or(whole),
        }
    }
}

/// Zero means "no timeout" (GEP-1742), not "at once".
fn bounded(limit: Option<Duration>) -> Option<Duration> {
    limit.filter(|limit| !limit.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_try_ends_with_its_own_limit_or_the_requests_whichever_is_first() {
        // (request, backendRequest, elapsed before this try) -> deadline after the start
        let table = [
            ((None, None, 0), None),
            ((Some(500), None, 0), Some(500)),
            ((None, Some(200), 50), Some(250)),
            ((Some(500), Some(200), 100), Some(300)),
            ((Some(500), Some(200), 400), Some(500)),
            ((Some(0), Some(200), 400), Some(600)), // "0s" switches the request timeout off
            ((Some(0), Some(0), 400), None),
        ];
        for ((request, backend, elapsed), want) in table {
            let timeouts = Timeouts { request: request.map(ms), backend_request: backend.map(ms) };
            let start = Moment::START + ms(1000);
            let got = timeouts.try_deadline(start, start + ms(elapsed));
            assert_eq!(got, want.map(|at| start + ms(at)), "{request:?} {backend:?} {elapsed}");
        }
    }
}
