//! The wire in to policy values: everything is checked here, once, and nothing after it is checked again.
//!
//! What a newer control plane says and this build does not know is rejected with the path of the field, and the
//! proxy keeps its last good version of that one resource. Where the resource says who may call, what is not
//! understood denies instead (see [`inbound()`]). Lists, texts and patterns are bounded; messages cannot nest
//! deeper than their schema, and prost bounds what it skips.
#![expect(
    clippy::needless_pass_by_value,
    reason = "a decoder consumes its message, whether it moves out of it or not"
)]

mod endpoints;
mod inbound;
mod routes;
mod service;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use http::HeaderName;
use prost::Message;
use weft_policy::deadline::Timeouts;
use weft_policy::object::{Kind, ObjectRef, ServiceName, ServicePort};
use weft_policy::protocol::AppProtocol;
use weft_policy::retry::Retry;
use weft_policy::route::path::{Pattern, StringMatch};

use crate::feature::missing_features;
use crate::field::{Named, Rejected, duration, list, parsed, port, required, set, text, unknown};
use crate::name::{Key, is_segment};
use crate::trust::Trust;
use crate::value::{Enforced, Value};
use crate::{v1, version};

pub use endpoints::{addr, endpoints};
pub use inbound::{Decoded, inbound};
pub use routes::routes;
pub use service::service;

pub(crate) use endpoints::{endpoint_group, endpoints_removed, sound_endpoints};

/// The largest body of a resource, in bytes: what tonic lets through as one message.
pub const MAX_BODY: usize = 4 << 20;

/// The most different regular expressions in one resource; each may compile to 64 KiB.
pub const MAX_PATTERNS: usize = 512;

/// A resource, and what of it this build does not understand.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// The resource.
    pub value: Value,
    /// Only ever of an `Inbound`, which holds all the same, with these parts denying: for log and report.
    pub not_understood: Vec<Rejected>,
}

/// Reads a resource: its version must be its body's, its name what the body says, and every feature that it
/// requires known here.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn resource(wire: &v1::Resource) -> Result<Resource, Rejected> {
    let kind = v1::Type::try_from(wire.r#type).map_err(|_| unknown("resource type", wire.r#type))?;
    let key = Key::parse(kind, &wire.name).map_err(Rejected::because)?;
    if wire.body.len() > MAX_BODY {
        return Err(Rejected::because(format!(
            "has {} bytes, of which {MAX_BODY} are allowed",
            wire.body.len()
        )));
    }
    let actual = version::of(&wire.body);
    if actual != wire.version {
        return Err(Rejected::because(format!(
            "its version is {:016x} and its body's {actual:016x}",
            wire.version
        )));
    }
    let missing = missing_features(wire);
    if let Some(feature) = missing.filter(|_| kind != v1::Type::Inbound) {
        return Err(Rejected::because(format!("requires feature {feature}, which this build does not have")));
    }

    let body = wire.body.as_ref();
    let mut not_understood = Vec::new();
    let value = match kind {
        v1::Type::Unspecified => return Err(unknown("resource type", wire.r#type)),
        v1::Type::Trust => Value::Trust(trust(message(body)?)?.into()),
        v1::Type::Inbound => {
            let decoded = inbound(message(body)?, missing)?;
            not_understood = decoded.not_understood;
            Value::Inbound(Arc::new(Enforced { inbound: decoded.inbound.into(), health: decoded.health }))
        }
        v1::Type::Endpoints => Value::Endpoints(endpoints(message(body)?)?.into()),
        v1::Type::Service => Value::Service(service(message(body)?)?.into()),
        v1::Type::Routes => Value::Routes(routes(message(body)?)?.into()),
    };
    let own = value.key();
    if own != key {
        return Err(Rejected::because(format!("is named {key} and says it is {own}")));
    }
    Ok(Resource { value, not_understood })
}

/// Reads bytes as a message.
///
/// # Errors
/// If they are none. prost refuses to go deeper than 100 levels, also in fields it skips.
pub fn message<M: Message + Default>(bytes: &[u8]) -> Result<M, Rejected> {
    M::decode(bytes).map_err(|error| Rejected::because(format!("cannot be read: {error}")))
}

/// Reads whom to believe. An identity that cannot be read rejects the whole: skipping it would let it in.
///
/// # Errors
/// The first field that is wrong.
pub fn trust(wire: v1::Trust) -> Result<Trust, Rejected> {
    let blob = |most: usize| {
        move |bytes: Vec<u8>| match bytes.len() {
            0 => Err(Rejected::because("is empty")),
            len if len > most => {
                Err(Rejected::because(format!("has {len} bytes, of which {most} are allowed")))
            }
            _ => Ok(bytes),
        }
    };
    let trust = Trust {
        domain: parsed(&wire.trust_domain).named("trust_domain")?,
        sequence: wire.sequence,
        anchors: list("anchor_der", wire.anchor_der, blob(MAX_ANCHOR))?,
        denied_serials: list("denied_serial", wire.denied_serial, blob(MAX_SERIAL))?,
        denied_identities: list("denied_identity", &wire.denied_identity, |id| parsed(id))?,
    };
    Ok(trust.sorted())
}

pub(crate) fn object(wire: v1::ObjectRef) -> Result<ObjectRef, Rejected> {
    let kind = match v1::Kind::try_from(wire.kind) {
        Ok(v1::Kind::Service) => Kind::Service,
        Ok(v1::Kind::HttpRoute) => Kind::HttpRoute,
        Ok(v1::Kind::GrpcRoute) => Kind::GrpcRoute,
        Ok(v1::Kind::TrafficPolicy) => Kind::TrafficPolicy,
        Ok(v1::Kind::AuthorizationPolicy) => Kind::AuthorizationPolicy,
        Ok(v1::Kind::AuthenticationPolicy) => Kind::AuthenticationPolicy,
        Ok(v1::Kind::Workload) => Kind::Workload,
        Ok(v1::Kind::Unspecified) | Err(_) => return Err(unknown("kind", wire.kind).under("kind")),
    };
    Ok(ObjectRef {
        kind,
        namespace: segment(&wire.namespace).named("namespace")?,
        name: segment(&wire.name).named("name")?,
    })
}

fn service_name(wire: v1::ServiceName) -> Result<ServiceName, Rejected> {
    Ok(ServiceName {
        namespace: segment(&wire.namespace).named("namespace")?,
        name: segment(&wire.name).named("name")?,
    })
}

pub(crate) fn service_port(wire: v1::ServicePort) -> Result<ServicePort, Rejected> {
    Ok(ServicePort {
        service: required("service", wire.service, service_name)?,
        port: port(wire.port).named("port")?,
    })
}

/// A namespace or a name.
fn segment(wire: &str) -> Result<Arc<str>, Rejected> {
    if !is_segment(wire) {
        return Err(Rejected::because(
            "is not a name of 1 to 253 letters, digits, dots, dashes and underscores",
        ));
    }
    Ok(wire.into())
}

fn protocol(wire: i32) -> Result<AppProtocol, Rejected> {
    Ok(match v1::AppProtocol::try_from(wire).map_err(|_| unknown("protocol", wire))? {
        v1::AppProtocol::Detect => AppProtocol::Detect,
        v1::AppProtocol::Http1 => AppProtocol::Http1,
        v1::AppProtocol::Http2 => AppProtocol::Http2,
        v1::AppProtocol::Tls => AppProtocol::Tls,
        v1::AppProtocol::Opaque => AppProtocol::Opaque,
    })
}

fn timeouts(wire: v1::Timeouts) -> Result<Timeouts, Rejected> {
    Ok(Timeouts {
        request: wire.request.map(duration).transpose().named("request")?,
        backend_request: wire.backend_request.map(duration).transpose().named("backend_request")?,
    })
}

fn retry(wire: v1::Retry) -> Result<Retry, Rejected> {
    let status = |status| match u16::try_from(status) {
        Ok(status @ 400..=599) => Ok(status),
        _ => Err(Rejected::because(format!("{status} is not a status from 400 to 599"))),
    };
    let grpc_code = |code| match u8::try_from(code) {
        Ok(code @ 0..=16) => Ok(code),
        _ => Err(Rejected::because(format!("{code} is not a gRPC code"))),
    };
    Ok(Retry {
        attempts: wire.attempts,
        statuses: in_order(list("statuses", wire.statuses, status)?),
        grpc_codes: in_order(list("grpc_codes", wire.grpc_codes, grpc_code)?),
        on_timeout: wire.on_timeout,
        on_reset: wire.on_reset,
        non_idempotent: wire.non_idempotent,
        backoff: required("backoff", wire.backoff, duration)?,
        max_backoff: required("max_backoff", wire.max_backoff, duration)?,
    })
}

fn header_name(wire: &str) -> Result<HeaderName, Rejected> {
    // Only shorter than what http refuses; the longest name anybody sends is far below.
    HeaderName::from_bytes(text(wire)?.as_bytes()).map_err(|_| Rejected::because("is not a header name"))
}

/// What is a set: in order, each once.
fn in_order<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items.dedup();
    items
}

/// The first of a sorted list's keys that stands there twice.
fn repeated<T, K: PartialEq>(items: &[T], key: impl Fn(&T) -> K) -> Option<&T> {
    items.windows(2).find_map(|pair| match pair {
        [a, b] if key(a) == key(b) => Some(b),
        _ => None,
    })
}

/// The regular expressions of one resource: each text is compiled once, and there are not too many.
#[derive(Default)]
struct Patterns(HashMap<String, Pattern>);

impl Patterns {
    fn pattern(&mut self, wire: String) -> Result<Pattern, Rejected> {
        let known = self.0.len();
        match self.0.entry(wire) {
            Entry::Occupied(pattern) => Ok(pattern.get().clone()),
            Entry::Vacant(_) if known >= MAX_PATTERNS => Err(Rejected::because(format!(
                "is one regular expression too many: a resource may have {MAX_PATTERNS} different ones"
            ))),
            Entry::Vacant(place) => {
                let pattern = Pattern::new(place.key()).map_err(Rejected::because)?;
                Ok(place.insert(pattern).clone())
            }
        }
    }

    fn string_match(&mut self, wire: v1::StringMatch) -> Result<StringMatch, Rejected> {
        use v1::string_match::Kind;
        match wire.kind {
            Some(Kind::Exact(exact)) => {
                text(&exact).named("exact").map(|exact| StringMatch::Exact(exact.into()))
            }
            Some(Kind::Regex(regex)) => self.pattern(regex).named("regex").map(StringMatch::Regex),
            None => Err(Rejected::because("is of a kind that this build does not know")),
        }
    }
}

/// A text that may be unset.
fn optional_text(wire: &str) -> Result<Option<Arc<str>>, Rejected> {
    Ok(set(text(wire)?).map(Arc::from))
}

/// A root certificate; RSA-4096 with many names stays well below.
const MAX_ANCHOR: usize = 16 << 10;
/// RFC 5280 §4.1.2.2: at most 20 octets; some issuers write more.
const MAX_SERIAL: usize = 64;

#[cfg(test)]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;
