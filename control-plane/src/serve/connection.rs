//! Who is at the other end: established in the handshake, carried by the connection, read by every service.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;
use tonic::{Request, Status};
use weft_certs::verify::{Peer, PeerRefused, peer};

use super::guests::Stay;

/// A connection whose handshake has completed.
#[derive(Debug)]
pub struct Connection {
    tls: TlsStream<TcpStream>,
    caller: Caller,
    /// Until when somebody may stay who is nobody.
    stay: Option<Stay>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who the certificate proves it to be; `None`: it has none, and may enrol.
    pub peer: Option<Peer>,
    /// The certificates, leaf first, to be judged again when trust changes.
    pub chain: Arc<[CertificateDer<'static>]>,
    /// The far end of the socket. An address is not an identity.
    pub addr: SocketAddr,
}

impl Caller {
    /// The caller of a request. Only for services that are served over TLS.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the connection does not say, which is a defect of ours: it then is nobody's.
    pub fn of<T>(request: &Request<T>) -> Result<&Self, Status> {
        request
            .extensions()
            .get::<Self>()
            .ok_or_else(|| Status::unauthenticated("the connection says nobody's name"))
    }

    /// Who it has proven to be.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if it came without a certificate.
    pub fn proven(&self) -> Result<&Peer, Status> {
        let help = "this call needs a client certificate; enrol with a join token first";
        self.peer.as_ref().ok_or_else(|| Status::unauthenticated(help))
    }
}

impl Connection {
    /// Reads who is there from a completed handshake.
    ///
    /// # Errors
    /// If its certificate is not a SPIFFE one, which the handshake has refused already.
    pub fn new(tls: TlsStream<TcpStream>, addr: SocketAddr) -> Result<Self, PeerRefused> {
        let certificates = tls.get_ref().1.peer_certificates().unwrap_or_default();
        let chain: Arc<[_]> = certificates.iter().map(|one| one.clone().into_owned()).collect();
        let peer = if chain.is_empty() { None } else { Some(peer(&chain)?) };
        Ok(Self { tls, caller: Caller { peer, chain, addr }, stay: None })
    }

    /// Whether its caller has a certificate.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.caller.peer.is_some()
    }

    /// The same, until `stay` is over.
    #[must_use]
    pub fn ending(self, stay: Stay) -> Self {
        Self { stay: Some(stay), ..self }
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(stay) = &mut self.stay
            && stay.poll_over(cx).is_ready()
        {
            self.stay = None;
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.tls).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }
}
