//! Every answer a proxy makes itself, in one exhaustive table: status, gRPC status, `weft-error` token, which
//! is also the metric label and the log field.
//!
//! It stands here and not in the proxy so that `meshctl explain` gives the very answer the proxy would.

use http::StatusCode;

/// Why a proxy answers a request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// The head breaks HTTP, or says something in two ways.
    BadRequest,
    /// The path can be read in more than one way, and what happens to the request depends on how.
    AmbiguousPath,
    /// Head, field count or field size over the limit.
    HeadTooLarge,
    /// The target is longer than the limit.
    TargetTooLong,
    /// The head, or more of the body, did not arrive in time.
    HeadTimeout,
    /// A version of HTTP that is not spoken here.
    BadVersion,
    /// A method, transfer coding or upgrade this proxy does not carry.
    NotSupported,
    /// `Expect` says something other than `100-continue`.
    BadExpectation,
    /// The request would come back to this proxy.
    Loop,
    /// A peer asks for a port that the workload has not declared.
    UnknownPort,
    /// Routes apply to the service and none matches.
    NoRoute,
    /// The backend reference leads nowhere, or the weights sum to zero.
    InvalidBackend,
    /// A filter nobody here knows.
    UnsupportedFilter,
    /// An authorization policy, or the lack of one that allows.
    Denied,
    /// Plaintext where mTLS is required.
    PlaintextDenied,
    /// Policy has not arrived yet.
    NoPolicy,
    /// The destination is outside the mesh and going there is not allowed.
    UnknownDestination,
    /// The control plane did not say in time where this goes.
    DiscoveryTimeout,
    /// Too many requests wait for discovery.
    DiscoveryOverload,
    /// No endpoint at all.
    NoEndpoint,
    /// Endpoints, but every breaker is open.
    BreakersOpen,
    /// The backend's limit on connections, pending or requests.
    OverLimit,
    /// No connection could be opened.
    ConnectFailed,
    /// The far end did not prove to be who it must be.
    WrongIdentity,
    /// The connection was lost before a response head.
    UpstreamReset,
    /// What came back was not HTTP.
    BadResponse,
    /// The request's whole time was up.
    RequestTimeout,
    /// A try's time was up, and there was none left.
    TryTimeout,
    /// This proxy is shutting down.
    Draining,
    /// This proxy is out of a resource of its own.
    Overloaded,
    /// A defect here; the log has it.
    Internal,
}

/// What a refusal looks like on the wire and in telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// gRPC status, for gRPC requests: sent with HTTP status 200 (gRPC over HTTP/2, "Responses").
    pub grpc_status: u8,
    /// Value of `weft-error`, of the metric label and of the log field.
    pub token: &'static str,
    /// One sentence for the body, for a person.
    pub text: &'static str,
}

impl Refusal {
    /// Every refusal, in the order of declaration.
    pub const ALL: [Self; 31] = [
        Self::BadRequest,
        Self::AmbiguousPath,
        Self::HeadTooLarge,
        Self::TargetTooLong,
        Self::HeadTimeout,
        Self::BadVersion,
        Self::NotSupported,
        Self::BadExpectation,
        Self::Loop,
        Self::UnknownPort,
        Self::NoRoute,
        Self::InvalidBackend,
        Self::UnsupportedFilter,
        Self::Denied,
        Self::PlaintextDenied,
        Self::NoPolicy,
        Self::UnknownDestination,
        Self::DiscoveryTimeout,
        Self::DiscoveryOverload,
        Self::NoEndpoint,
        Self::BreakersOpen,
        Self::OverLimit,
        Self::ConnectFailed,
        Self::WrongIdentity,
        Self::UpstreamReset,
        Self::BadResponse,
        Self::RequestTimeout,
        Self::TryTimeout,
        Self::Draining,
        Self::Overloaded,
        Self::Internal,
    ];

    /// Status, gRPC status and label together, with no `_` arm: a new refusal does not compile until answered.
    /// gRPC codes follow "HTTP to gRPC Status Code Mapping", except where a more exact one is known.
    #[must_use]
    pub const fn answer(self) -> Answer {
        use grpc::{
            DEADLINE_EXCEEDED, INTERNAL, INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED,
            UNAVAILABLE, UNIMPLEMENTED,
        };
        let (status, grpc_status, token, text) = match self {
            Self::BadRequest => (400, INVALID_ARGUMENT, "bad_request", "the request is not valid HTTP"),
            Self::AmbiguousPath => (
                400,
                INVALID_ARGUMENT,
                "ambiguous_path",
                "servers read this path in different ways, and a policy here looks at paths",
            ),
            Self::HeadTooLarge => {
                (431, INVALID_ARGUMENT, "head_too_large", "the request's head is too large")
            }
            Self::TargetTooLong => {
                (414, INVALID_ARGUMENT, "target_too_long", "the request's target is too long")
            }
            Self::HeadTimeout => {
                (408, DEADLINE_EXCEEDED, "head_timeout", "the request took too long to arrive")
            }
            Self::BadVersion => {
                (505, UNIMPLEMENTED, "bad_version", "HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here")
            }
            Self::NotSupported => {
                (501, UNIMPLEMENTED, "not_supported", "this method, coding or upgrade is not carried")
            }
            Self::BadExpectation => {
                (417, INVALID_ARGUMENT, "bad_expectation", "only 100-continue can be expected")
            }
            Self::Loop => (508, UNAVAILABLE, "loop", "the request would come back to this proxy"),
            Self::UnknownPort => {
                (421, UNAVAILABLE, "unknown_port", "the workload has not declared the port that is asked for")
            }
            Self::NoRoute => (404, UNIMPLEMENTED, "no_route", "no rule of the service's routes matches"),
            Self::InvalidBackend => {
                (500, UNAVAILABLE, "invalid_backend", "the matching rule has no valid backend")
            }
            Self::UnsupportedFilter => (
                500,
                UNAVAILABLE,
                "unsupported_filter",
                "the matching rule has a filter that is not supported",
            ),
            Self::Denied => (403, PERMISSION_DENIED, "denied", "authorization policy denies this request"),
            Self::PlaintextDenied => {
                (403, PERMISSION_DENIED, "plaintext_denied", "this port accepts mutual TLS only")
            }
            Self::NoPolicy => (503, UNAVAILABLE, "no_policy", "policy has not arrived at this proxy yet"),
            Self::UnknownDestination => (
                502,
                UNAVAILABLE,
                "unknown_destination",
                "the destination is outside the mesh and not allowed",
            ),
            Self::DiscoveryTimeout => {
                (503, UNAVAILABLE, "discovery_timeout", "the control plane did not answer in time")
            }
            Self::DiscoveryOverload => {
                (503, UNAVAILABLE, "discovery_overload", "too many requests wait for the control plane")
            }
            Self::NoEndpoint => (503, UNAVAILABLE, "no_endpoint", "the backend has no endpoint"),
            Self::BreakersOpen => {
                (503, UNAVAILABLE, "breakers_open", "every endpoint's circuit breaker is open")
            }
            Self::OverLimit => (503, UNAVAILABLE, "over_limit", "the backend's limit is reached"),
            Self::ConnectFailed => (503, UNAVAILABLE, "connect_failed", "no connection to the backend"),
            Self::WrongIdentity => (503, UNAVAILABLE, "wrong_identity", "the backend is not who it must be"),
            Self::UpstreamReset => (502, UNAVAILABLE, "upstream_reset", "the backend closed the connection"),
            Self::BadResponse => (502, INTERNAL, "bad_response", "the backend's response is not valid HTTP"),
            Self::RequestTimeout => (504, DEADLINE_EXCEEDED, "request_timeout", "the request's time is up"),
            Self::TryTimeout => (504, DEADLINE_EXCEEDED, "try_timeout", "the backend did not answer in time"),
            Self::Draining => (503, UNAVAILABLE, "draining", "this proxy is shutting down"),
            Self::Overloaded => (503, RESOURCE_EXHAUSTED, "overloaded", "this proxy is out of resources"),
            Self::Internal => (500, INTERNAL, "internal", "a defect in this proxy; its log has more"),
        };
        let Ok(status) = StatusCode::from_u16(status) else {
            panic!("every status above is a valid literal")
        };
        Answer { status, grpc_status, token, text }
    }
}

/// The gRPC codes used above, by the names of the gRPC specification.
mod grpc {
    pub(super) const INVALID_ARGUMENT: u8 = 3;
    pub(super) const DEADLINE_EXCEEDED: u8 = 4;
    pub(super) const PERMISSION_DENIED: u8 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u8 = 8;
    pub(super) const UNIMPLEMENTED: u8 = 12;
    pub(super) const INTERNAL: u8 = 13;
    pub(super) const UNAVAILABLE: u8 = 14;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_refusal_has_its_own_token() {
        let tokens: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.answer().token).collect();
        assert_eq!(tokens.len(), Refusal::ALL.len());
    }

    #[test]
    fn no_refusal_looks_like_success() {
        for refusal in Refusal::ALL {
            let answer = refusal.answer();
            assert!(answer.status.as_u16() >= 400 && answer.grpc_status != 0, "{refusal:?}");
        }
    }
}
