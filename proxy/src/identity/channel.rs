//! The connection to the control plane: gRPC over our own rustls, because the verifier is ours and the
//! certificate changes while the channel lives.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use weft_certs::tls::HandshakeFailed;

/// A channel, connected on first use and again when it is lost.
pub(crate) type ControlChannel = Channel;

/// A channel to `control_plane` (`host:port`). `config` is asked at every connection for the TLS of the moment;
/// `refused` is told of every handshake that came to nothing.
pub(crate) fn control_channel(
    control_plane: &str,
    config: impl Fn() -> Arc<ClientConfig> + Clone + Send + Sync + 'static,
    refused: impl Fn(&HandshakeFailed) + Clone + Send + Sync + 'static,
) -> Result<ControlChannel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{control_plane}"))?
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    Ok(endpoint.connect_with_connector_lazy(Connector { addr: control_plane.into(), config, refused }))
}

/// Opens TCP, then TLS.
#[derive(Clone)]
struct Connector<C, R> {
    addr: Arc<str>,
    config: C,
    refused: R,
}

impl<C, R> tower::Service<Uri> for Connector<C, R>
where
    C: Fn() -> Arc<ClientConfig> + Clone + Send + 'static,
    R: Fn(&HandshakeFailed) + Clone + Send + 'static,
{
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { addr, config, refused } = self.clone();
        Box::pin(async move {
            let tcp = TcpStream::connect(&*addr).await?;
            tcp.set_nodelay(true)?;
            let connected = TlsConnector::from(config()).connect(server_name(), tcp).await;
            Ok(TokioIo::new(connected.inspect_err(|error| refused(&HandshakeFailed::of_io(error)))?))
        })
    }
}

/// What the ClientHello says. It routes nothing and proves nothing: the SPIFFE ID does.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from("mesh.weft").expect("a valid DNS name")
}
