//! What a sidecar keeps of its identity between starts: with it, the load is a client of the mesh itself.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, HandshakeKind};
use weft_certs::bundle::{DenyList, TrustBundle};
use weft_certs::request::PrivateKey;
use weft_certs::tls::Credentials;

use crate::way::certificates;

/// The client whose sidecar keeps its identity in `dir`.
///
/// # Errors
/// If nothing is kept there.
pub(super) fn client(dir: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let file = dir.join("identity.json");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    read(&text).with_context(|| format!("{} is not what a sidecar keeps", file.display()))
}

/// Whether a sidecar resumes a session: what it offered on one connection is shown to it on the next.
///
/// # Errors
/// If it answers neither.
pub(super) async fn resumes(
    client: &ClientConfig,
    inbound: SocketAddr,
    application: SocketAddr,
) -> anyhow::Result<bool> {
    let mut client = client.clone();
    client.resumption = Resumption::in_memory_sessions(4);
    let connector = TlsConnector::from(Arc::new(client));
    let mut kind = None;
    for _ in 0..2 {
        let name = ServerName::IpAddress(inbound.ip().into());
        let mut stream = connector.connect(name, TcpStream::connect(inbound).await?).await?;
        kind = stream.get_ref().1.handshake_kind();
        // A ticket comes with the first answer.
        let request = format!("GET / HTTP/1.1\r\nhost: api.shop\r\n{}\r\n", super::hop_lines(application));
        stream.write_all(request.as_bytes()).await?;
        stream.read_u8().await.context("no answer")?;
    }
    Ok(kind == Some(HandshakeKind::Resumed))
}

fn read(text: &str) -> anyhow::Result<Arc<ClientConfig>> {
    let kept: Value = serde_json::from_str(text)?;
    let string = |name: &'static str| kept[name].as_str().context(name);
    let chain = kept["chain_hex"].as_array().context("no chain")?;
    let chain: Vec<Vec<u8>> = chain.iter().filter_map(|hex| unhex(hex.as_str()?)).collect();
    let key = PrivateKey::from_pem(string("key_pem")?)?;
    let sequence = kept["sequence"].as_u64().context("no sequence")?;
    let domain = string("trust_domain")?.parse()?;
    let bundle = TrustBundle::from_pem(domain, sequence, string("roots_pem")?, DenyList::default())?;
    certificates::client(&Credentials::new(chain, &key)?, bundle)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}
