//! What a sidecar keeps of its identity between starts: with it, the load is a client of the mesh itself.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;
use tokio_rustls::rustls::ClientConfig;
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
