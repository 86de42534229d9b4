//! Why a body broke off: whatever its connection speaks.

/// What the connection said. Causes stay reachable: the gate's rule lies somewhere beneath, or HTTP/2's error code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// On a connection that hyper reads.
    #[error("{0}")]
    Hyper(#[from] hyper::Error),
    /// On a connection of HTTP/1 that we read. Where it is no HTTP, the rule that it breaks lies behind.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// On a stream of HTTP/2.
    #[error("{0}")]
    Stream(#[from] h2::Error),
}
