//! Opens connections: to another sidecar over mTLS, or straight to an application.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use weft_certs::tls::{HandshakeFailed, Hop};
use weft_certs::verify::{Expect, PeerRefused, Role};
use weft_policy::identity::SpiffeId;

use super::trusted::Trusted;
use crate::identity::server_name;
use crate::message::Broken;
use crate::observe::metrics::Side;
use crate::shared::Shared;

/// Opens a TCP connection.
///
/// # Errors
/// [`ConnectError`]: nothing answered, or not in time.
pub(crate) async fn plain(addr: SocketAddr) -> Result<TcpStream, ConnectError> {
    let connected = tokio::time::timeout(CONNECT, TcpStream::connect(addr))
        .await
        .map_err(|_| ConnectError::Timeout { addr, limit: CONNECT })?
        .and_then(|stream| suited(&stream).map(|()| stream));
    connected.map_err(|source| ConnectError::Unreachable { addr, source })
}

/// Small writes leave at once, and a far end that has gone without a word is noticed by the kernel, whatever is spoken.
fn suited(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(SILENT).with_interval(PROBED).with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(SILENT + PROBED * PROBES))
}

/// Opens an mTLS connection to the sidecar at `addr`, which must prove to be `identity`; resumes an earlier session with
/// it where there is one.
///
/// # Errors
/// As [`plain`], and when the far end is not who it must be or does not speak this hop.
pub(crate) async fn sidecar(
    shared: &Shared,
    addr: SocketAddr,
    identity: &SpiffeId,
    hop: Hop,
) -> Result<Trusted<TlsStream<TcpStream>>, ConnectError> {
    let tcp = plain(addr).await?;
    // From before it is judged: a change in between must not go unseen.
    let changes = shared.identity.trust_changes();
    let expect = Expect::Exactly(identity.clone());
    let config = shared.identity.generation().sidecar_client(&expect, hop, addr);
    let handshake =
        tokio::time::timeout(HANDSHAKE, TlsConnector::from(config).connect(server_name(), tcp)).await;
    let refused = |failed: &HandshakeFailed| {
        shared.observe.metrics.tls_refused(Side::Outbound, failed.label()).increment();
    };
    let handshake = handshake.map_err(|_| {
        refused(&HandshakeFailed::TimedOut);
        ConnectError::Timeout { addr, limit: HANDSHAKE }
    })?;
    let not_they = |source: PeerRefused| {
        refused(&HandshakeFailed::Peer(source.clone()));
        ConnectError::WrongIdentity { addr, wanted: identity.clone(), source }
    };
    let mut stream = handshake.map_err(|source| match HandshakeFailed::of_io(&source) {
        HandshakeFailed::Peer(source) => not_they(source),
        failed => {
            refused(&failed);
            ConnectError::Handshake { addr, source }
        }
    })?;
    let (_, tls) = stream.get_mut();
    tls.set_buffer_limit(Some(SEALED));
    // Of a session that was resumed nobody has been judged yet.
    shared.identity.server_of(tls, expect).map_err(not_they)?;
    if Hop::negotiated(tls.alpn_protocol()) != Some(hop) {
        refused(&HandshakeFailed::Protocol);
        return Err(ConnectError::OtherHop { addr, hop });
    }
    shared.observe.metrics.tls_handshakes(Side::Outbound, tls.handshake_kind()).increment();
    let identity = Arc::clone(&shared.identity);
    Ok(Trusted::until(identity.until_distrusted(changes, tls.peer_certificates(), Role::Server), stream))
}

/// Why there is no connection to an endpoint. Each variant sends an operator somewhere different.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Silence.
    #[error("{addr} did not answer within {limit:?}")]
    Timeout {
        /// Who.
        addr: SocketAddr,
        /// How long.
        limit: Duration,
    },
    /// The operating system says no.
    #[error("cannot reach {addr}: {source}")]
    Unreachable {
        /// Who.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Connected, but TLS did not come about.
    #[error("{addr} did not complete the TLS handshake ({source}); is a sidecar listening there?")]
    Handshake {
        /// Who.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Somebody else.
    #[error("{addr} did not prove to be {wanted}: {source}")]
    WrongIdentity {
        /// Who.
        addr: SocketAddr,
        /// Who it should be.
        wanted: SpiffeId,
        /// What is wrong.
        source: PeerRefused,
    },
    /// A peer of another version.
    #[error("{addr} does not speak {hop}; is its sidecar more than one version away from this one?")]
    OtherHop {
        /// Who.
        addr: SocketAddr,
        /// What was asked.
        hop: Hop,
    },
    /// The connection broke before it could carry anything.
    #[error("{addr} closed the connection before HTTP began: {source}")]
    Http {
        /// Who.
        addr: SocketAddr,
        /// Why.
        source: Broken,
    },
}

impl ConnectError {
    /// Whether it was our own fault: no descriptor was left, in the process or in the system.
    pub(crate) fn is_want_of_descriptors(&self) -> bool {
        let Self::Unreachable { source, .. } = self else { return false };
        let of_descriptors = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
        source.raw_os_error().is_some_and(|code| of_descriptors.contains(&code))
    }

    /// Whether somebody answered who is not the one.
    pub(crate) const fn is_wrong_identity(&self) -> bool {
        matches!(self, Self::WrongIdentity { .. })
    }
}

/// In one data centre a SYN is answered in a millisecond; a second is one retransmission.
const CONNECT: Duration = Duration::from_secs(1);
/// After so long without a byte from the far end the kernel asks whether it is there, so often and so many times. What
/// we have sent may stay unacknowledged no longer than all of that.
const SILENT: Duration = Duration::from_secs(20);
const PROBED: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;
const HANDSHAKE: Duration = Duration::from_secs(5);
/// What a connection between sidecars takes before some of it must have left: more than the largest frame, so that each
/// leaves in one go.
pub(crate) const SEALED: usize = 128 << 10;
