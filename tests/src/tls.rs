//! An application that speaks TLS itself: a server with a certificate of its own, and a client that trusts that one.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::eventually::soon;
use crate::peer::Peer;

/// Repeats every byte, under TLS.
#[derive(Debug)]
pub struct TlsEcho {
    /// The server.
    pub peer: Peer,
    /// What it shows its clients.
    pub certificate: CertificateDer<'static>,
}

impl TlsEcho {
    /// Starts one for a name; it speaks `alpn`.
    ///
    /// # Panics
    /// If the name is none.
    pub async fn start(name: &str, alpn: &str) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let certificate = cert.der().clone();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions that the provider has")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .expect("a certificate and its key");
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let peer = Peer::start(move |stream: TcpStream| {
            let acceptor = acceptor.clone();
            async move {
                let (mut read, mut write) = split(acceptor.accept(stream).await?);
                copy(&mut read, &mut write).await?;
                write.shutdown().await
            }
        })
        .await;
        Self { peer, certificate }
    }

    /// A handshake as `name`, over `stream`, by a client that trusts this one certificate and no other.
    ///
    /// # Errors
    /// The client's.
    ///
    /// # Panics
    /// If the name is none.
    pub async fn handshake<S>(&self, name: &str, alpn: &str, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions that the provider has")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        soon("a TLS handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }
}
