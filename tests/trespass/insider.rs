//! Somebody of the mesh who means no good: with a certificate that everybody accepts, and no sidecar to hold it back.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use weft_certs::bundle::{DenyList, TrustBundle, TrustBundles, TrustStore};
use weft_certs::request::PrivateKey;
use weft_certs::tls::{Credentials, Hop, Tls};
use weft_certs::verify::Expect;
use weft_tests::call;
use weft_tests::eventually::soon;
use weft_tests::mesh::Mesh;
use weft_tests::sidecar::Sidecar;

/// What a sidecar had in its state directory.
pub(crate) struct Insider {
    credentials: Credentials,
    tls: Tls,
}

impl Insider {
    /// Enrols as `shop/<name>`, as any sidecar does, and keeps what it was given.
    pub(crate) async fn enrol(mesh: &Mesh, name: &str) -> Self {
        let dir = mesh.scratch().join(name);
        let sidecar =
            mesh.beside(&format!("shop/{name}")).set("WEFT_IDENTITY_DIR", &dir.display()).start().await;
        let insider = Self::read(&dir);
        sidecar.drain().await;
        insider
    }

    fn read(dir: &Path) -> Self {
        let kept: Value =
            serde_json::from_str(&std::fs::read_to_string(dir.join("identity.json")).unwrap()).unwrap();
        let text = |name: &str| kept[name].as_str().unwrap();
        let domain = text("trust_domain").parse().unwrap();
        let trust = TrustBundle::from_pem(domain, 1, text("roots_pem"), DenyList::default()).unwrap();
        let chain = kept["chain_hex"].as_array().unwrap().iter().map(|der| unhex(der.as_str().unwrap()));
        let key = PrivateKey::from_pem(text("key_pem")).unwrap();
        let credentials = Credentials::new(chain.collect(), &key).unwrap();
        Self { credentials, tls: Tls::new(Arc::new(TrustStore::new(TrustBundles::default().with(trust)))) }
    }

    /// A connection to a sidecar's inbound listener.
    pub(crate) async fn connect(&self, to: &Sidecar, account: &str, hop: Hop) -> TlsStream<TcpStream> {
        let expect = Expect::Exactly(format!("spiffe://weft.local/ns/shop/sa/{account}").parse().unwrap());
        let config = self.tls.client(&self.credentials, expect, hop);
        let anywhere = ServerName::try_from("anywhere.example").unwrap();
        let stream = TlsConnector::from(config).connect(anywhere, call::connect(to.inbound).await);
        soon("a handshake", stream).await.unwrap()
    }
}

/// Writes bytes, and reads to the end.
pub(crate) async fn say(mut stream: TlsStream<TcpStream>, bytes: &[u8]) -> Vec<u8> {
    // It may be refused, or cut off, before all of it is written or read.
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
    let mut all = Vec::new();
    let _ = soon("the end of an answer", stream.read_to_end(&mut all)).await;
    all
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
