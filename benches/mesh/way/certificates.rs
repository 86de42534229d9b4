//! The certificates of the other meshes: of the same shape as ours, from the same code. P-256, a leaf with a SPIFFE ID
//! under an intermediate under a root.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use tokio_rustls::rustls::ClientConfig;
use weft_certs::authority::{Authority, Lifetime};
use weft_certs::bundle::{DenyList, TrustBundle, TrustBundles, TrustStore};
use weft_certs::request::{KeyAndRequest, PrivateKey};
use weft_certs::tls::{Credentials, Hop, Tls};
use weft_certs::verify::Expect;
use weft_policy::identity::{SpiffeId, TrustDomain};

/// A root and the two ends of a hop, as files.
#[derive(Debug)]
pub(super) struct Certificates {
    dir: PathBuf,
    web: Arc<ClientConfig>,
}

impl Certificates {
    /// Makes them.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(super) fn mint(dir: &Path) -> anyhow::Result<Self> {
        let domain: TrustDomain = DOMAIN.parse()?;
        let authority = Authority::mint(&domain, SystemTime::now())?;
        let bundle = TrustBundle::new(domain, 1, [authority.root().clone()], DenyList::default())?;
        fs::write(dir.join("root.pem"), bundle.to_pem()).context("the root's certificate")?;
        end(dir, &authority, "api")?;
        let (chain, key) = end(dir, &authority, "web")?;
        let mut web = ClientConfig::clone(&*client(&Credentials::new(chain, &key)?, bundle)?);
        // Theirs is no hop of ours, and nginx refuses what it does not know.
        web.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { dir: dir.to_owned(), web: Arc::new(web) })
    }

    /// The root's certificate.
    pub(super) fn root(&self) -> String {
        self.file("root.pem")
    }

    /// An end's chain, leaf first.
    pub(super) fn chain(&self, account: &str) -> String {
        self.file(&format!("{account}.pem"))
    }

    /// An end's key.
    pub(super) fn key(&self, account: &str) -> String {
        self.file(&format!("{account}.key"))
    }

    /// An end's chain and key in one file.
    pub(super) fn both(&self, account: &str) -> String {
        self.file(&format!("{account}.both"))
    }

    /// The client's end, for a client that is no proxy.
    pub(super) fn web(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.web)
    }

    fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

/// The identity of an end of a hop.
pub(super) fn identity(account: &str) -> anyhow::Result<SpiffeId> {
    Ok(SpiffeId::workload(&DOMAIN.parse()?, "shop", account)?)
}

/// A client of `api` that speaks HTTP/1.1 in mutual TLS.
pub(super) fn client(credentials: &Credentials, bundle: TrustBundle) -> anyhow::Result<Arc<ClientConfig>> {
    let tls = Tls::new(Arc::new(TrustStore::new(TrustBundles::default().with(bundle))));
    Ok(tls.client(credentials, Expect::Exactly(identity("api")?), Hop::Http1))
}

fn end(dir: &Path, authority: &Authority, account: &str) -> anyhow::Result<(Vec<Vec<u8>>, PrivateKey)> {
    let request = KeyAndRequest::generate()?;
    let issued =
        authority.issue(&request.csr_der, &identity(account)?, Lifetime::Default, SystemTime::now())?;
    let blocks = issued.chain_der.iter().map(|der| pem::Pem::new("CERTIFICATE", der.as_slice()));
    let (chain, key) = (pem::encode_many(&blocks.collect::<Vec<_>>()), request.key.to_pem());
    let file = |suffix: &str| dir.join(format!("{account}.{suffix}"));
    fs::write(file("both"), format!("{chain}{key}")).context("a certificate and its key")?;
    fs::write(file("pem"), chain).context("a certificate")?;
    fs::write(file("key"), key).context("a key")?;
    Ok((issued.chain_der, request.key))
}

const DOMAIN: &str = "weft.local";
