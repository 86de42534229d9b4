//! What a record says. A record gives the whole new value of one thing, so that replaying it twice, or on top of
//! a snapshot, changes nothing; several records in one entry hold together or not at all.
//!
//! These are prost messages, so that a version reads what an older one wrote. Numbers of fields are never used
//! again for something else. They never leave the state directory, and are no part of `weft.v1`.

use std::fmt;
use std::str::FromStr;

use prost::{Message, Oneof};

/// What is appended at once.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    /// In this order.
    #[prost(message, repeated, tag = "1")]
    pub records: Vec<Record>,
}

/// One thing's new value.
#[derive(Clone, PartialEq, Message)]
pub struct Record {
    /// Absent only if a newer version wrote it.
    #[prost(oneof = "Change", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub change: Option<Change>,
}

/// What a record can say.
#[derive(Clone, PartialEq, Oneof)]
pub enum Change {
    /// The authorities and the bundle of the trust domain.
    #[prost(message, tag = "1")]
    Trust(Trust),
    /// A join token was made, or used.
    #[prost(message, tag = "2")]
    Token(Token),
    /// A join token is forgotten: SHA-256 of its secret.
    #[prost(bytes = "vec", tag = "3")]
    TokenGone(Vec<u8>),
    /// A workload may enrol, renew and register.
    #[prost(message, tag = "4")]
    Grant(Grant),
    /// It may no longer.
    #[prost(message, tag = "5")]
    GrantGone(Name),
    /// An identity or a serial number is denied.
    #[prost(message, tag = "6")]
    Denied(Denied),
    /// It no longer is.
    #[prost(message, tag = "7")]
    Allowed(Denied),
    /// What a workload said of itself.
    #[prost(message, tag = "8")]
    Registered(Registered),
    /// It has gone.
    #[prost(message, tag = "9")]
    RegistrationGone(Name),
    /// Revisions up to this one may have been published.
    #[prost(uint64, tag = "10")]
    Revisions(u64),
}

impl From<Change> for Record {
    fn from(change: Change) -> Self {
        Self { change: Some(change) }
    }
}

/// A namespaced name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Message)]
pub struct Name {
    /// `metadata.namespace`
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// `metadata.name`
    #[prost(string, tag = "2")]
    pub name: String,
}

impl FromStr for Name {
    type Err = BadName;

    /// `namespace/name`, each as Kubernetes would take it: RFC 1123, a label and a subdomain.
    fn from_str(text: &str) -> Result<Self, BadName> {
        let (namespace, name) = text.split_once('/').ok_or(BadName)?;
        // What the protocol reads as an address or a host name is no namespace.
        let reserved = matches!(namespace, "ip" | "host");
        if reserved || !is_dns_label(namespace) || name.len() > 253 || !name.split('.').all(is_dns_label) {
            return Err(BadName);
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The text names no object. It does not repeat the text: that came from a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a workload is named namespace/name, both of lower-case letters, digits and dashes (the name may have dots); no \
     namespace is called ip or host"
)]
pub struct BadName;

fn is_dns_label(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= 63
        && edge(text.as_bytes().first())
        && edge(text.as_bytes().last())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Which authorities exist, by the SHA-256 of their roots, and what they are used for.
#[derive(Clone, PartialEq, Message)]
pub struct Trust {
    /// Of the bundle. Grows with every change of it.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// Where a rotation of the root stands.
    #[prost(enumeration = "Phase", tag = "2")]
    pub phase: i32,
    /// The authority that signs.
    #[prost(bytes = "vec", tag = "3")]
    pub signing: Vec<u8>,
    /// While prepared: the one that will sign. While active: the one that signed before.
    #[prost(bytes = "vec", tag = "4")]
    pub other: Vec<u8>,
    /// When this phase began, in seconds since 1970.
    #[prost(uint64, tag = "5")]
    pub since_unix: u64,
    /// While prepared: the first bundle that holds the next root.
    #[prost(uint64, tag = "6")]
    pub published: u64,
    /// Whom all this signs for.
    #[prost(string, tag = "7")]
    pub trust_domain: String,
}

/// Where a rotation of the root stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Phase {
    /// One root.
    Steady = 0,
    /// A second root is trusted and does not sign yet.
    Prepared = 1,
    /// The second root signs; the first is still trusted.
    Active = 2,
}

/// A join token, without its secret.
#[derive(Clone, PartialEq, Message)]
pub struct Token {
    /// SHA-256 of the secret.
    #[prost(bytes = "vec", tag = "1")]
    pub secret_sha256: Vec<u8>,
    /// The only identity that it admits.
    #[prost(string, tag = "2")]
    pub identity: String,
    /// The only workload that it admits.
    #[prost(message, required, tag = "3")]
    pub workload: Name,
    /// How often it may still be used. 0: it is kept so that a second use can be told from a wrong token.
    #[prost(uint32, tag = "4")]
    pub uses_left: u32,
    /// In seconds since 1970.
    #[prost(uint64, tag = "5")]
    pub not_after_unix: u64,
}

/// What a workload may do since it has enrolled.
#[derive(Clone, PartialEq, Message)]
pub struct Grant {
    /// Which workload.
    #[prost(message, required, tag = "1")]
    pub workload: Name,
    /// As whom.
    #[prost(string, tag = "2")]
    pub identity: String,
    /// When its last leaf expires, as far as it is written down, in seconds since 1970.
    #[prost(uint64, tag = "3")]
    pub leaf_not_after_unix: u64,
}

/// Who is denied. One of the two is set.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Message)]
pub struct Denied {
    /// A SPIFFE ID.
    #[prost(string, tag = "1")]
    pub identity: String,
    /// A serial number, big-endian.
    #[prost(bytes = "vec", tag = "2")]
    pub serial: Vec<u8>,
}

/// What a workload said of itself, checked.
#[derive(Clone, PartialEq, Message)]
pub struct Registered {
    /// Which workload.
    #[prost(message, required, tag = "1")]
    pub workload: Name,
    /// Who registered it, and what its endpoints must prove to be.
    #[prost(string, tag = "2")]
    pub identity: String,
    /// An IP address.
    #[prost(string, tag = "3")]
    pub address: String,
    /// The sidecar's mTLS listener.
    #[prost(uint32, tag = "4")]
    pub inbound_port: u32,
    /// Of the application.
    #[prost(message, repeated, tag = "5")]
    pub ports: Vec<Port>,
    /// For selectors of Services in its namespace.
    #[prost(btree_map = "string, string", tag = "6")]
    pub labels: std::collections::BTreeMap<String, String>,
    /// `topology.kubernetes.io/zone`, or empty.
    #[prost(string, tag = "7")]
    pub zone: String,
    /// At least 1.
    #[prost(uint32, tag = "8")]
    pub weight: u32,
    /// It has said that it is going.
    #[prost(bool, tag = "9")]
    pub going: bool,
}

/// One port of a registered workload.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Port {
    /// As Services refer to it, or empty.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Where the application listens.
    #[prost(uint32, tag = "2")]
    pub number: u32,
    /// `weft.v1.AppProtocol`
    #[prost(int32, tag = "3")]
    pub protocol: i32,
}
