//! What a port speaks, as its Service declares it. What is not declared is detected from the first bytes.

/// The protocol of a Service port, from `appProtocol` (KEP-3726 values, and the plain names in wide use).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AppProtocol {
    /// Not declared, or declared with a value nobody knows: look at the first bytes.
    #[default]
    Detect,
    /// `http`, `http1`, `kubernetes.io/ws`: HTTP/1.1, upgrades included.
    Http1,
    /// `kubernetes.io/h2c`, `http2`, `grpc`: HTTP/2 without TLS, by prior knowledge.
    Http2,
    /// `tls`, `https`: the application's own TLS, passed through.
    Tls,
    /// `tcp`, `weft.mesh/opaque` and the well-known server-first ports: bytes, never looked at.
    Opaque,
}

impl AppProtocol {
    /// Every protocol, in the order of declaration. The wire numbers them from 0 in this order.
    pub const ALL: [Self; 5] = [Self::Detect, Self::Http1, Self::Http2, Self::Tls, Self::Opaque];

    /// Reads `appProtocol`. `None` means nobody here knows the value: report it, and detect.
    #[must_use]
    pub fn from_app_protocol(value: &str) -> Option<Self> {
        Some(match value {
            "http" | "http1" | "http/1.1" | "HTTP" | "kubernetes.io/ws" | "ws" => Self::Http1,
            "kubernetes.io/h2c" | "h2c" | "http2" | "HTTP2" | "grpc" | "grpc-web" => Self::Http2,
            "https" | "tls" | "kubernetes.io/wss" | "wss" => Self::Tls,
            "tcp" | "weft.mesh/opaque" | "redis" | "mysql" | "postgres" | "postgresql" | "mongo" | "amqp" => {
                Self::Opaque
            }
            _ => return None,
        })
    }

    /// What a port is taken for when nothing is declared: ports of protocols where the server speaks first,
    /// or which do their own framing, are never looked at.
    #[must_use]
    pub fn by_default_for(port: u16) -> Self {
        if OPAQUE_PORTS.contains(&port) { Self::Opaque } else { Self::Detect }
    }

    /// The name used in labels and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Detect => "detect",
            Self::Http1 => "http/1.1",
            Self::Http2 => "http/2",
            Self::Tls => "tls",
            Self::Opaque => "opaque",
        }
    }
}

/// SMTP, MySQL, Galera, PostgreSQL, Redis, memcached, NATS, MongoDB, Kafka, SQL Server, Oracle, RDP, SSH:
/// the union of what other meshes list, so that nobody who comes from one is surprised.
const OPAQUE_PORTS: [u16; 17] =
    [22, 25, 587, 1433, 1521, 3306, 3389, 4222, 4444, 5432, 6222, 6379, 9092, 9300, 11211, 27017, 27018];
