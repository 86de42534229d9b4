//! Who is on the far end of an inbound connection.

use std::net::SocketAddr;

use weft_certs::verify::Peer;

/// Where the far end of a connection stands, as far as it is proven.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// From its certificate; `None` in plaintext.
    pub(crate) peer: Option<Peer>,
    /// The far end of the socket.
    pub(crate) addr: SocketAddr,
}
