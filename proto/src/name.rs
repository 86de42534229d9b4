//! What resources are called, as text on the wire and as typed keys everywhere else.
//!
//! One canonical text per key and one key per text: names are compared as bytes, summed into digests and asked
//! for by strangers, so there is no second spelling of anything.

use std::fmt;
use std::sync::Arc;

use weft_policy::identity::TrustDomain;
use weft_policy::object::{ServiceName, ServicePort};
use weft_policy::snapshot::Alias;

use crate::v1::{Selector, Type};

/// The name of one resource. Keys sort by type in the order in which a transaction applies them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// `weft.local`
    Trust(TrustDomain),
    /// `shop/web-1`
    Inbound(WorkloadName),
    /// `shop/api:8080`
    Endpoints(ServicePort),
    /// `shop/api`
    Service(ServiceName),
    /// `shop/api`, the parent service.
    Routes(ServiceName),
}

impl Key {
    /// Reads a canonical name.
    ///
    /// # Errors
    /// If the type is not one that names a resource, or the text is not a name of that type.
    pub fn parse(kind: Type, name: &str) -> Result<Self, BadName> {
        let (namespace_name, key): (_, fn(ServiceName) -> Self) = match kind {
            Type::Unspecified => return Err(BadName::Type),
            Type::Trust => {
                return name.parse().map(Self::Trust).map_err(|_| BadName::TrustDomain { text: shown(name) });
            }
            Type::Inbound => return WorkloadName::parse(name).map(Self::Inbound),
            Type::Endpoints => return service_port(name).map(Self::Endpoints),
            Type::Service if is_alias(name) => return Err(BadName::Reserved { text: shown(name) }),
            Type::Service => (name, Self::Service),
            Type::Routes => (name, Self::Routes),
        };
        service_name(namespace_name).map(key)
    }

    /// Its type on the wire.
    #[must_use]
    pub const fn kind(&self) -> Type {
        match self {
            Self::Trust(_) => Type::Trust,
            Self::Inbound(_) => Type::Inbound,
            Self::Endpoints(_) => Type::Endpoints,
            Self::Service(_) => Type::Service,
            Self::Routes(_) => Type::Routes,
        }
    }
}

impl fmt::Display for Key {
    /// The canonical name, without the type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trust(domain) => domain.fmt(f),
            Self::Inbound(workload) => workload.fmt(f),
            Self::Endpoints(port) => port.fmt(f),
            Self::Service(service) | Self::Routes(service) => service.fmt(f),
        }
    }
}

/// A workload by name: `shop/web-1`, a pod or a `Workload`. Not a Service of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadName {
    /// `metadata.namespace`
    pub namespace: Arc<str>,
    /// `metadata.name`
    pub name: Arc<str>,
}

impl WorkloadName {
    /// Reads `namespace/name`, as in `Hello.workload`.
    ///
    /// # Errors
    /// If the text is not two names with a slash between.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let ServiceName { namespace, name } = service_name(text)?;
        Ok(Self { namespace, name })
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What a selector or a tombstone names: a resource, or a way by which a service may be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Asked {
    /// By canonical name.
    Key(Key),
    /// A service, by address or host name.
    Alias(Alias),
}

impl Asked {
    /// Reads `Selector.name` or `Tombstone.name`. For services the prefixes `ip/` and `host/` are aliases, which
    /// is why [`Key::parse`] refuses services in namespaces called `ip` and `host`.
    ///
    /// # Errors
    /// As [`Key::parse`] and [`alias`].
    pub fn parse(kind: Type, name: &str) -> Result<Self, BadName> {
        match kind {
            Type::Service if is_alias(name) => alias(name).map(Self::Alias),
            _ => Key::parse(kind, name).map(Self::Key),
        }
    }

    /// Its type on the wire.
    #[must_use]
    pub const fn kind(&self) -> Type {
        match self {
            Self::Key(key) => key.kind(),
            Self::Alias(_) => Type::Service,
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::Alias(alias) => alias.fmt(f),
        }
    }
}

/// Reads an alias: `ip/10.96.0.7`, `ip/fd00::7`, `host/api.shop`. Only the form that [`Alias`] writes is read.
///
/// # Errors
/// If it has neither prefix, or what follows is not in canonical form.
pub fn alias(text: &str) -> Result<Alias, BadName> {
    let bad = || BadName::Alias { text: shown(text) };
    let alias = match text.split_once('/') {
        Some(("ip", ip)) => Alias::Ip(ip.parse().map_err(|_| bad())?),
        Some(("host", host)) if is_host(host) => Alias::host(host),
        _ => return Err(bad()),
    };
    if alias.to_string() != text {
        return Err(bad());
    }
    Ok(alias)
}

/// What an application has called, asked for with all that leads from it.
impl From<&Alias> for Selector {
    fn from(alias: &Alias) -> Self {
        Self { r#type: Type::Service.into(), name: alias.to_string(), with_deps: true }
    }
}

/// Whether a text is a host name as clients write it: visible ASCII without what separates it from its
/// surroundings. Single-label names, underscores and wildcards are in use and pass.
pub(crate) fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= MAX_NAME
        && host
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'@' | b'?' | b'#' | b'\\'))
}

/// Whether a text can be part of a name: what Kubernetes allows in names, and upper case and `_` besides.
pub(crate) fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

fn is_alias(text: &str) -> bool {
    matches!(text.split_once('/'), Some(("ip" | "host", _)))
}

fn service_name(text: &str) -> Result<ServiceName, BadName> {
    match text.split_once('/') {
        Some((namespace, name)) if is_segment(namespace) && is_segment(name) => {
            Ok(ServiceName::new(namespace, name))
        }
        _ => Err(BadName::NamespaceName { text: shown(text) }),
    }
}

fn service_port(text: &str) -> Result<ServicePort, BadName> {
    let bad = || BadName::ServicePort { text: shown(text) };
    let (service, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let service = service_name(service).map_err(|_| bad())?;
    let number: u16 = port.parse().map_err(|_| bad())?;
    // "+80" and "080" parse, and are second spellings.
    if number == 0 || number.to_string() != port {
        return Err(bad());
    }
    Ok(ServicePort { service, port: number })
}

/// The beginning of what a stranger sent, fit for a log line.
fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect()
}

/// Why a text names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// The type's number is unknown or unset.
    #[error("this is not a resource type that this build knows")]
    Type,
    /// Not a trust domain.
    #[error("\"{text}\" is not a trust domain: lower-case letters, digits, dot, dash and underscore")]
    TrustDomain {
        /// What was sent, cut and escaped.
        text: String,
    },
    /// Not `namespace/name`.
    #[error("\"{text}\" is not a name of the form namespace/name")]
    NamespaceName {
        /// What was sent, cut and escaped.
        text: String,
    },
    /// A service in a namespace whose name is the prefix of an alias.
    #[error("\"{text}\" reads as an alias: services in namespaces called ip or host cannot be in the mesh")]
    Reserved {
        /// What was sent, cut and escaped.
        text: String,
    },
    /// Not `namespace/name:port`.
    #[error("\"{text}\" is not a service port of the form namespace/name:port")]
    ServicePort {
        /// What was sent, cut and escaped.
        text: String,
    },
    /// Not `ip/…` or `host/…`.
    #[error(
        "\"{text}\" is not an alias: ip/ and an address, or host/ and a lower-case host name without port"
    )]
    Alias {
        /// What was sent, cut and escaped.
        text: String,
    },
}

const MAX_NAME: usize = 253;
const MAX_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        let table: &[(Type, &str, bool)] = &[
            (Type::Trust, "weft.local", true),
            (Type::Trust, "Weft.local", false),
            (Type::Trust, "", false),
            (Type::Inbound, "shop/web-1", true),
            (Type::Inbound, "shop/web/1", false),
            (Type::Service, "shop/api", true),
            (Type::Service, "host/api", false),
            (Type::Service, "ip/api", false),
            (Type::Service, "shop", false),
            (Type::Service, "/api", false),
            (Type::Service, "shop/", false),
            (Type::Service, "shop/a pi", false),
            (Type::Service, "shop/\u{e9}", false),
            (Type::Routes, "shop/api", true),
            (Type::Endpoints, "shop/api:8080", true),
            (Type::Endpoints, "shop/api", false),
            (Type::Endpoints, "shop/api:0", false),
            (Type::Endpoints, "shop/api:080", false),
            (Type::Endpoints, "shop/api:+80", false),
            (Type::Endpoints, "shop/api:65536", false),
            (Type::Unspecified, "shop/api", false),
        ];
        for (kind, text, good) in table {
            let key = Key::parse(*kind, text);
            assert_eq!(key.is_ok(), *good, "{kind:?} {text}: {key:?}");
            if let Ok(key) = key {
                assert_eq!((key.kind(), key.to_string().as_str()), (*kind, *text));
            }
        }
    }

    #[test]
    fn an_alias_is_read_in_the_form_in_which_it_is_written() {
        for text in ["ip/10.96.0.7", "ip/fd00::7", "host/api.shop", "host/api", "host/_grpc.api.shop"] {
            let read = alias(text).unwrap();
            assert_eq!(read.to_string(), text);
            assert_eq!(Asked::parse(Type::Service, text), Ok(Asked::Alias(read)));
        }
        for text in [
            "ip/10.96.0.007",
            "ip/fd00:0::7",
            "ip/",
            "ip/x",
            "host/",
            "host/API",
            "host/api.",
            "host/a/b",
            "host/a:80",
            "host/a b",
            "host/a\n",
            "other/a",
            "10.96.0.7",
            "",
        ] {
            assert!(alias(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_error_shows_a_stranger_s_text_cut_and_escaped() {
        let error = Key::parse(Type::Service, &"\u{7}".repeat(10_000)).unwrap_err().to_string();
        assert!(error.len() < 600 && !error.contains('\u{7}'), "{error}");
    }

    #[test]
    fn keys_sort_in_the_order_in_which_they_are_applied() {
        let key = |kind, name: &str| Key::parse(kind, name).unwrap();
        let sorted = [
            key(Type::Trust, "z"),
            key(Type::Inbound, "y/y"),
            key(Type::Endpoints, "x/x:1"),
            key(Type::Service, "b/b"),
            key(Type::Routes, "a/a"),
        ];
        assert!(sorted.is_sorted());
        assert!(sorted.windows(2).all(|pair| pair[0].kind() < pair[1].kind()));
    }
}
