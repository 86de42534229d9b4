//! The first certificate: for a join token, from a control plane that proves to be the one the token names.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use weft_certs::bundle::{DenyList, RootHash, TrustBundle};
use weft_certs::request::KeyAndRequest;
use weft_certs::rotation::enrol_again_in;
use weft_certs::tls::{BadCredentials, Credentials};
use weft_certs::verify::PinnedRoot;
use weft_policy::draw::Draw;
use weft_proto::token::{BadToken, Token};
use weft_proto::v1::enroll_request::Attestation;
use weft_proto::v1::identity_client::IdentityClient;
use weft_proto::v1::{Certificate, EnrollRequest};

use super::{Nobody, control_channel, kept};
use crate::config::Config;

/// Becomes somebody: with the certificate kept from an earlier start if it still holds, else by the token,
/// asking until the control plane answers.
///
/// # Errors
/// What asking again cannot mend: no token, a token that is none, one that is refused.
pub(crate) async fn enroll(config: &Config, nobody: &Nobody, draw: &mut Draw) -> Result<(), EnrollError> {
    if let Some(dir) = &config.state_dir
        && let Some(kept) = kept::load(dir)
    {
        nobody.trust.update(&kept.trust).ok();
        nobody.current.swap(kept.credentials);
        tracing::info!("using the certificate kept from an earlier start");
        return Ok(());
    }
    let token = config.token.as_ref().ok_or(EnrollError::NoToken)?;
    let parsed: Token = token.reveal().parse()?;
    let pin = PinnedRoot { domain: parsed.trust_domain.clone(), root: RootHash::from(parsed.root_sha256) };
    let tls = nobody.current.tls().clone();
    let channel = control_channel(&config.control_plane, move || tls.pinned_client(&pin), |_| {})
        .map_err(|source| EnrollError::Address { address: config.control_plane.clone(), source })?;
    let mut client = IdentityClient::new(channel);
    let mut failures = 0;
    loop {
        let key = KeyAndRequest::generate().map_err(EnrollError::Key)?;
        let request = EnrollRequest {
            attestation: Some(Attestation::JoinToken(token.reveal().trim().to_owned())),
            csr_der: key.csr_der.clone(),
            lifetime: None,
            workload: config.workload.clone(),
        };
        match client.enroll(request).await {
            Ok(reply) => {
                let certificate = reply.into_inner();
                let trust = bundle(&certificate, &parsed)?;
                let credentials = Credentials::new(certificate.chain_der, &key.key)?;
                nobody.trust.update(&trust).ok();
                if let Some(dir) = &config.state_dir {
                    kept::store(dir, &credentials, &key.key, &trust);
                }
                let generation = nobody.current.swap(credentials);
                tracing::info!(identity = %generation.credentials().us().id, "enrolled");
                return Ok(());
            }
            Err(status) if is_final(&status) => {
                return Err(EnrollError::Refused(status.message().to_owned()));
            }
            Err(status) => {
                failures += 1;
                let wait = enrol_again_in(failures, draw.unit()).min(Duration::from_secs(5));
                tracing::warn!(control_plane = %config.control_plane, error = %reason(&status), ?wait,
                    "could not enrol; asking again");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// The bundle that came with the certificate must hold the root that the token pins.
fn bundle(certificate: &Certificate, token: &Token) -> Result<TrustBundle, EnrollError> {
    let trust = certificate.trust.clone().unwrap_or_default();
    let roots = trust.anchor_der.into_iter().map(CertificateDer::from);
    let bundle = TrustBundle::new(token.trust_domain.clone(), trust.sequence, roots, DenyList::default())
        .map_err(|error| EnrollError::Refused(error.to_string()))?;
    let pinned = RootHash::from(token.root_sha256);
    if bundle.roots().iter().any(|root| RootHash::of(root) == pinned) {
        Ok(bundle)
    } else {
        Err(EnrollError::OtherRoot)
    }
}

fn is_final(status: &tonic::Status) -> bool {
    use tonic::Code;
    matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument)
}

/// The innermost reason: tonic's own text is "transport error".
pub(crate) fn reason(status: &tonic::Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        text = error.to_string();
        source = error.source();
    }
    text
}

/// Why a proxy cannot become somebody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrollError {
    /// Neither token nor certificate.
    #[error(
        "no join token and no certificate from an earlier start; make one with \
             `meshctl token create` and set WEFT_TOKEN"
    )]
    NoToken,
    /// The token is not one.
    #[error("WEFT_TOKEN is not a join token")]
    Token(#[from] BadToken),
    /// The control plane's address is not one.
    #[error("{address} is not the address of a control plane")]
    Address {
        /// As set.
        address: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The control plane said no.
    #[error("the control plane refused the token: {0}; make a new one with `meshctl token create`")]
    Refused(String),
    /// It answered, and is of another mesh.
    #[error(
        "the control plane's trust bundle does not hold the root that the token names; \
             the token is of another mesh, or someone stands between"
    )]
    OtherRoot,
    /// No key could be made.
    #[error("cannot make a key")]
    Key(#[source] weft_certs::request::RequestError),
    /// What came back cannot be used.
    #[error("the certificate that came back cannot be used")]
    Credentials(#[from] BadCredentials),
}
