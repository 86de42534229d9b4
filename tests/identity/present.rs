//! Both ends of TLS as somebody has them who means no good: they present what they are given and trust everybody.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use weft_tests::call::connect;
use weft_tests::eventually::PATIENCE;

use crate::forge::Presented;

/// A client that presents this.
pub(crate) fn client(presented: Option<&Presented>, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = match presented {
        Some(presented) => builder.with_client_cert_resolver(Arc::new(Always::of(presented))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// A server that presents this.
pub(crate) fn server(presented: &Presented, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always::of(presented)));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// Speaks TLS to `addr`, says `words`, and gives whatever comes back until the other end hangs up.
pub(crate) async fn say(
    addr: std::net::SocketAddr,
    config: Arc<ClientConfig>,
    words: &[u8],
) -> Result<Vec<u8>, std::io::Error> {
    let told = async {
        let mut stream = TlsConnector::from(config).connect(anywhere(), connect(addr).await).await?;
        // In TLS 1.3 a client is done before the server has looked at its certificate.
        stream.write_all(words).await?;
        let mut back = Vec::new();
        let read = stream.read_to_end(&mut back).await;
        if back.is_empty() { read.map(|_| back) } else { Ok(back) }
    };
    timeout(PATIENCE, told).await.expect("the other end hangs up")
}

/// Sends bytes as they are, and gives whatever comes back until the other end hangs up.
pub(crate) async fn say_plainly(addr: std::net::SocketAddr, words: &[u8]) -> Vec<u8> {
    let mut stream = connect(addr).await;
    // Whoever has heard enough may hang up before all is said.
    let _ = stream.write_all(words).await;
    rest(&mut stream).await
}

/// Whatever comes until the other end hangs up.
pub(crate) async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut back = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut back)).await.expect("the other end hangs up");
    back
}

/// A name that routes nothing.
pub(crate) fn anywhere() -> ServerName<'static> {
    ServerName::try_from("anywhere.example").unwrap()
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl Always {
    fn of(presented: &Presented) -> Self {
        // Not `from_der`: it looks whether key and certificate fit.
        Self(Arc::new(CertifiedKey::new(presented.chain.clone(), Arc::clone(&presented.key))))
    }
}

impl ResolvesClientCert for Always {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Trusts everybody.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
