//! Both ends of mutual TLS, as our proxies have them: the same library, groups, suites and certificates.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::pki_types::{IpAddr, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use weft_certs::bundle::{DenyList, TrustBundle, TrustBundles, TrustStore};
use weft_certs::request::PrivateKey;
use weft_certs::tls::{Credentials, Hop as Alpn, Tls};
use weft_certs::verify::{ClientAuth, Expect};

/// Both ends.
pub(crate) struct Hop {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Hop {
    /// Of `end.pem` with `end.key`, `root.pem`, and in `peer` the identity of the far end.
    pub(crate) fn read(dir: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let file = dir.join(name);
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
        };
        let chain = pem::parse_many(read("end.pem")?)?.into_iter().map(pem::Pem::into_contents).collect();
        let credentials = Credentials::new(chain, &PrivateKey::from_pem(&read("end.key")?)?)?;
        let bundle =
            TrustBundle::from_pem("weft.local".parse()?, 1, &read("root.pem")?, DenyList::default())?;
        let tls = Tls::new(Arc::new(TrustStore::new(TrustBundles::default().with(bundle))));
        // Of ALPN there is one name: what is spoken is known of the arguments.
        let server = tls.server(&credentials, &[Alpn::Tcp], ClientAuth::Required);
        let client = tls.client(&credentials, Expect::Exactly(read("peer")?.trim().parse()?), Alpn::Tcp);
        Ok(Self { acceptor: TlsAcceptor::from(server), connector: TlsConnector::from(client) })
    }

    /// The handshake of somebody who calls.
    pub(crate) async fn accept(&self, stream: TcpStream) -> anyhow::Result<server::TlsStream<TcpStream>> {
        Ok(self.acceptor.accept(stream).await?)
    }

    /// The handshake with somebody who was called.
    pub(crate) async fn connect(&self, stream: TcpStream) -> anyhow::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::IpAddress(IpAddr::from(stream.peer_addr()?.ip()));
        Ok(self.connector.connect(name, stream).await?)
    }
}
