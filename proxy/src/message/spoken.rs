//! Which HTTP is spoken, and which towards an application.

use http::Version;
use weft_policy::protocol::AppProtocol;

/// Which protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.0 or 1.1, upgrades included.
    H1,
    /// HTTP/2 by prior knowledge.
    H2,
}

impl Http {
    /// What the application behind a port is spoken to in. A port that says what it speaks is believed, except
    /// that gRPC needs HTTP/2 whatever the port says; one that does not gets what the client speaks.
    #[must_use]
    pub const fn toward(declared: AppProtocol, client: Version, grpc: bool) -> Self {
        match declared {
            AppProtocol::Http2 => Self::H2,
            AppProtocol::Http1 if !grpc => Self::H1,
            _ if matches!(client, Version::HTTP_2) => Self::H2,
            _ => Self::H1,
        }
    }
}
