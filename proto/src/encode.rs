//! Policy values out to the wire, in one canonical form.
//!
//! A resource's version is the hash of its bytes, so equal values must give equal bytes on every replica:
//! what is a set is sorted and said once, whatever order it was built in; what has an order keeps it; what is
//! empty or the default of the wire is written in the one way that [`decode`](crate::decode) reads back.
//! Nothing is checked here: a policy value cannot be invalid.

mod endpoints;
mod inbound;
mod routes;
mod service;

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use weft_policy::deadline::Timeouts;
use weft_policy::identity::SpiffeId;
use weft_policy::object::{Kind, ObjectRef, ServiceName, ServicePort};
use weft_policy::protocol::AppProtocol;
use weft_policy::retry::Retry;
use weft_policy::route::path::StringMatch;

use crate::field::MAX_SECONDS;
use crate::name::Key;
use crate::trust::Trust;
use crate::value::Value;
use crate::{v1, version};

pub use endpoints::{addr, endpoints};
pub(crate) use endpoints::{by_addr, groups, on_the_wire};
pub use inbound::inbound;
pub use routes::routes;
pub use service::service;

/// A value as it is published: typed, named, versioned, encoded once.
#[must_use]
pub fn resource(value: &Value) -> v1::Resource {
    let body = match value {
        Value::Trust(value) => bytes(&trust(value)),
        Value::Inbound(value) => bytes(&inbound(&value.inbound, &value.health)),
        Value::Endpoints(value) => bytes(&endpoints(value)),
        Value::Service(value) => bytes(&service(value)),
        Value::Routes(value) => bytes(&routes(value)),
    };
    named(&value.key(), body)
}

/// A body that is already encoded, under its name and version.
#[must_use]
pub fn named(key: &Key, body: Bytes) -> v1::Resource {
    v1::Resource {
        r#type: key.kind().into(),
        name: key.to_string(),
        version: version::of(&body),
        body,
        requires: Vec::new(),
    }
}

/// The bytes of a message. Canonical, because prost writes fields in the order of their numbers, leaves
/// defaults out, and no message here has a map.
#[must_use]
pub fn bytes(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Whom a proxy believes.
#[must_use]
pub fn trust(trust: &Trust) -> v1::Trust {
    let trust = trust.clone().sorted();
    v1::Trust {
        trust_domain: trust.domain.to_string(),
        sequence: trust.sequence,
        anchor_der: trust.anchors,
        denied_serial: trust.denied_serials,
        denied_identity: trust.denied_identities.iter().map(SpiffeId::to_string).collect(),
    }
}

pub(crate) fn object(object: &ObjectRef) -> v1::ObjectRef {
    let kind = match object.kind {
        Kind::Service => v1::Kind::Service,
        Kind::HttpRoute => v1::Kind::HttpRoute,
        Kind::GrpcRoute => v1::Kind::GrpcRoute,
        Kind::TrafficPolicy => v1::Kind::TrafficPolicy,
        Kind::AuthorizationPolicy => v1::Kind::AuthorizationPolicy,
        Kind::AuthenticationPolicy => v1::Kind::AuthenticationPolicy,
        Kind::Workload => v1::Kind::Workload,
    };
    v1::ObjectRef {
        kind: kind.into(),
        namespace: object.namespace.as_ref().into(),
        name: object.name.as_ref().into(),
    }
}

fn service_name(name: &ServiceName) -> v1::ServiceName {
    v1::ServiceName { namespace: name.namespace.as_ref().into(), name: name.name.as_ref().into() }
}

fn service_port(port: &ServicePort) -> v1::ServicePort {
    v1::ServicePort { service: Some(service_name(&port.service)), port: port.port.into() }
}

const fn protocol(protocol: AppProtocol) -> v1::AppProtocol {
    match protocol {
        AppProtocol::Detect => v1::AppProtocol::Detect,
        AppProtocol::Http1 => v1::AppProtocol::Http1,
        AppProtocol::Http2 => v1::AppProtocol::Http2,
        AppProtocol::Tls => v1::AppProtocol::Tls,
        AppProtocol::Opaque => v1::AppProtocol::Opaque,
    }
}

/// Saturates at ten thousand years, where the protobuf type ends.
fn duration(duration: Duration) -> prost_types::Duration {
    let duration = duration.min(Duration::from_secs(MAX_SECONDS));
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).expect("below MAX_SECONDS"),
        nanos: i32::try_from(duration.subsec_nanos()).expect("below 10^9"),
    }
}

/// Two timeouts that are not set are no message.
fn timeouts(timeouts: Timeouts) -> Option<v1::Timeouts> {
    (timeouts != Timeouts::default()).then(|| v1::Timeouts {
        request: timeouts.request.map(duration),
        backend_request: timeouts.backend_request.map(duration),
    })
}

fn retry(retry: &Retry) -> v1::Retry {
    v1::Retry {
        attempts: retry.attempts,
        statuses: sorted(retry.statuses.iter().copied().map(u32::from)),
        grpc_codes: sorted(retry.grpc_codes.iter().copied().map(u32::from)),
        on_timeout: retry.on_timeout,
        on_reset: retry.on_reset,
        non_idempotent: retry.non_idempotent,
        backoff: Some(duration(retry.backoff)),
        max_backoff: Some(duration(retry.max_backoff)),
    }
}

fn string_match(value: &StringMatch) -> v1::StringMatch {
    use v1::string_match::Kind;
    let kind = match value {
        StringMatch::Exact(text) => Kind::Exact(text.as_ref().into()),
        StringMatch::Regex(pattern) => Kind::Regex(pattern.as_str().into()),
    };
    v1::StringMatch { kind: Some(kind) }
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().into()
}

/// What is a set: in order, each once.
fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<_> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

#[cfg(test)]
mod tests;
