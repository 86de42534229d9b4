//! The connection to the control plane: gRPC over our own rustls, because the verifier is ours and the
//! certificate changes while the channel lives.
//!
//! What a connection is made of is a [`Transport`]: TCP and TLS here; a network that does not exist, in a simulation.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use weft_certs::tls::HandshakeFailed;
use weft_certs::verify::ServerVerifier;

/// A channel, connected on first use and again when it is lost.
pub(crate) type ControlChannel = Channel;

/// As whom a connection to the control plane is opened, and by what it is known that who answers is the control plane.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// Our certificates, leaf first; none before the first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Judges who answers.
    pub verifier: Arc<ServerVerifier>,
    /// Both of these for TLS.
    pub tls: Arc<ClientConfig>,
}

/// How a connection to the control plane is opened.
pub trait Transport: Clone + Send + Sync + 'static {
    /// The connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Opens one to `host:port`. When it is there, each end knows who the other is.
    fn open(
        &self,
        address: Arc<str>,
        introduction: Introduction,
    ) -> impl Future<Output = io::Result<Self::Io>> + Send;
}

/// TCP, then TLS.
#[derive(Clone)]
pub(crate) struct OverTls<R> {
    /// Is told of every handshake that came to nothing.
    pub(crate) refused: R,
}

impl<R: Fn(&HandshakeFailed) + Clone + Send + Sync + 'static> Transport for OverTls<R> {
    type Io = TlsStream<TcpStream>;

    async fn open(&self, address: Arc<str>, introduction: Introduction) -> io::Result<Self::Io> {
        let tcp = TcpStream::connect(&*address).await?;
        tcp.set_nodelay(true)?;
        let connected = TlsConnector::from(introduction.tls).connect(server_name(), tcp).await;
        connected.inspect_err(|error| (self.refused)(&HandshakeFailed::of_io(error)))
    }
}

/// A channel to `control_plane` (`host:port`). `introduce` is asked at every connection for who we are at that moment.
pub(crate) fn control_channel<T: Transport>(
    control_plane: &str,
    transport: T,
    introduce: impl Fn() -> Introduction + Clone + Send + Sync + 'static,
) -> Result<ControlChannel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{control_plane}"))?
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    Ok(endpoint.connect_with_connector_lazy(Connector { addr: control_plane.into(), transport, introduce }))
}

/// What tonic wants of a transport.
#[derive(Clone)]
struct Connector<T, I> {
    addr: Arc<str>,
    transport: T,
    introduce: I,
}

impl<T, I> tower::Service<Uri> for Connector<T, I>
where
    T: Transport,
    I: Fn() -> Introduction + Clone + Send + 'static,
{
    type Response = TokioIo<T::Io>;
    type Error = io::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { addr, transport, introduce } = self.clone();
        Box::pin(async move { transport.open(addr, introduce()).await.map(TokioIo::new) })
    }
}

/// What the ClientHello says. It routes nothing and proves nothing: the SPIFFE ID does.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from("mesh.weft").expect("a valid DNS name")
}
