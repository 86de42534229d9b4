//! Whether a stream is nothing but a socket.
//!
//! Streams are generic from the listener to here, and only here does it matter which they are: asking the type spares
//! everything between a bound that says nothing to it.

use std::any::Any;

use tokio::net::TcpStream;

use crate::prefixed::Prefixed;

/// The socket, if nothing stands between it and the reader of `stream`: no TLS, no bytes that were put back.
pub(super) fn socket<S: 'static>(stream: &S) -> Option<&TcpStream> {
    let stream: &dyn Any = stream;
    let once = || stream.downcast_ref::<Prefixed<TcpStream>>()?.bare();
    // After SOCKS5 a connection has been looked at twice.
    let twice = || stream.downcast_ref::<Prefixed<Prefixed<TcpStream>>>()?.bare()?.bare();
    stream.downcast_ref().or_else(once).or_else(twice)
}
