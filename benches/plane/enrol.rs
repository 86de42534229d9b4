//! A proxy's first certificate, as the real one gets it: by a join token, from a control plane that proves to be the one
//! the token names, over a connection of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use weft_certs::bundle::{DenyList, RootHash, TrustBundle, TrustBundles, TrustStore};
use weft_certs::request::KeyAndRequest;
use weft_certs::rotation::Identity;
use weft_certs::tls::{Credentials, Tls};
use weft_certs::verify::PinnedRoot;
use weft_policy::identity::TrustDomain;
use weft_proto::token::Token;
use weft_proto::v1::EnrollRequest;
use weft_proto::v1::enroll_request::Attestation;
use weft_proto::v1::identity_client::IdentityClient;

use crate::pipe::{self, Gate, Pipe};

/// Whom all of them believe. One store: what each would hold of it is the same.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    tls: Tls,
    store: Arc<TrustStore>,
}

impl Trust {
    /// Nobody is believed yet.
    pub(crate) fn nobody() -> Self {
        let store = Arc::new(TrustStore::new(TrustBundles::default()));
        Self { tls: Tls::new(Arc::clone(&store)), store }
    }
}

/// Becomes somebody.
///
/// # Errors
/// What the control plane has against it.
pub(crate) async fn enrol(
    proxy: usize,
    workload: &str,
    token: &str,
    at: SocketAddr,
    trust: &Trust,
) -> anyhow::Result<(Identity, TrustDomain)> {
    let parsed: Token = token.parse().context("what the operator was given is no token")?;
    let domain = parsed.trust_domain.clone();
    let pin = PinnedRoot { domain: domain.clone(), root: RootHash::from(parsed.root_sha256) };
    let tls = trust.tls.pinned_client(&pin);
    let channel = Channels { proxy, at, gate: Arc::default() }.lazily(move || Arc::clone(&tls), true);
    let KeyAndRequest { key, csr_der } = KeyAndRequest::generate()?;
    let request = EnrollRequest {
        attestation: Some(Attestation::JoinToken(token.to_owned())),
        csr_der,
        lifetime: None,
        workload: workload.to_owned(),
    };
    let certificate = IdentityClient::new(channel).enroll(request).await?.into_inner();
    let told = certificate.trust.unwrap_or_default();
    let roots = told.anchor_der.into_iter().map(CertificateDer::from);
    let bundle = TrustBundle::new(domain.clone(), told.sequence, roots, DenyList::default())?;
    if !bundle.roots().iter().any(|root| RootHash::of(root) == pin.root) {
        bail!("the control plane does not trust the root that the token names");
    }
    // All are told the same; the first is as good as the last.
    let _stale = trust.store.update(&bundle);
    let identity = Identity::unknown(trust.tls.clone());
    identity.swap(Credentials::new(certificate.chain_der, &key)?);
    Ok((identity, domain))
}

/// How one proxy reaches the control plane.
#[derive(Clone, Debug)]
pub(crate) struct Channels {
    /// Which.
    pub(crate) proxy: usize,
    /// Where it is.
    pub(crate) at: SocketAddr,
    /// What makes connections stand still.
    pub(crate) gate: Arc<Gate>,
}

impl Channels {
    /// A channel with the settings of the real proxy, connected when it is used and again when it is lost. Who is to be
    /// stopped asks for no signs of life itself.
    pub(crate) fn lazily(
        self,
        tls: impl Fn() -> Arc<ClientConfig> + Clone + Send + Sync + 'static,
        asks_for_life: bool,
    ) -> Channel {
        let endpoint = Endpoint::from_static("http://control-plane")
            .connect_timeout(std::time::Duration::from_secs(5))
            .tcp_nodelay(true);
        let endpoint = match asks_for_life {
            true => endpoint
                .http2_keep_alive_interval(std::time::Duration::from_secs(20))
                .keep_alive_timeout(std::time::Duration::from_secs(10))
                .keep_alive_while_idle(true),
            false => endpoint,
        };
        endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
            let (tls, gate) = (TlsConnector::from(tls()), Arc::clone(&self.gate));
            async move {
                let tcp = pipe::connect(self.proxy, self.at).await?;
                let name = ServerName::try_from("mesh.weft").expect("a valid DNS name");
                let tls = tls.connect(name, tcp).await?;
                Ok::<_, std::io::Error>(TokioIo::new(Pipe::new(tls, gate)))
            }
        }))
    }
}
