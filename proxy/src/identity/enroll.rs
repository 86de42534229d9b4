//! The first certificate: for a join token, from a control plane that proves to be the one the token names; in a pod, for
//! the token that the kubelet projects, from one whose root the injector knew.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use weft_certs::bundle::{DenyList, RootHash, TrustBundle};
use weft_certs::request::{KeyAndRequest, PrivateKey};
use weft_certs::rotation::enrol_again_in;
use weft_certs::tls::{BadCredentials, Credentials, Tls};
use weft_certs::verify::{PinnedRoot, ServerVerifier};
use weft_policy::draw::Draw;
use weft_proto::token::{BadToken, Token};
use weft_proto::v1::enroll_request::Attestation;
use weft_proto::v1::identity_client::IdentityClient;
use weft_proto::v1::{Certificate, EnrollRequest};

use super::{Identity, Introduction, Nobody, Transport, control_channel, kept};
use crate::config::Config;

/// Becomes somebody: with the certificate kept from an earlier start if it still holds, else by the token,
/// asking until the control plane answers.
///
/// # Errors
/// What asking again cannot mend: no token, a token that is none, one that is refused.
pub(crate) async fn enroll(
    config: &Config,
    nobody: &Nobody,
    transport: &impl Transport,
    draw: &mut Draw,
) -> Result<(), EnrollError> {
    if let Some(dir) = &config.state_dir
        && let Some(kept) = kept::load(dir, nobody.clock.now())
    {
        nobody.trust.update(&kept.trust).ok();
        nobody.current.swap(kept.credentials);
        tracing::info!("using the certificate kept from an earlier start");
        return Ok(());
    }
    let proof = Proof::of(config)?;
    let mut failures = 0;
    loop {
        let pin = proof.pin(failures)?;
        match ask(config, &proof, &pin, nobody.current.tls(), transport).await? {
            Ok(Enrolled { credentials, key, trust }) => {
                nobody.trust.update(&trust).ok();
                if let Some(dir) = &config.state_dir {
                    kept::store(dir, &credentials, &key, &trust);
                }
                let generation = nobody.current.swap(credentials);
                tracing::info!(identity = %generation.credentials().us().id, "enrolled");
                return Ok(());
            }
            Err(status) if is_final(&status) && !proof.may_change() => {
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

/// Asks once for a certificate in place of one that has expired, as at the beginning: nobody takes that for a proof of
/// anything any more. The control plane is known by the roots that were trusted last, in turns.
///
/// # Errors
/// The reason, for the log. It may be asked again.
pub(crate) async fn enroll_again(
    config: &Config,
    identity: &Identity,
    transport: &impl Transport,
    turn: u32,
) -> Result<(), String> {
    let told = |error: EnrollError| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let proof = Proof::of(config).map_err(told)?;
    let bundles = identity.trust.current();
    let trusted = bundles.of(identity.us().trust_domain()).ok_or("no root of the mesh is known")?;
    let nth = usize::try_from(turn).unwrap_or_default() % trusted.roots().len().max(1);
    let root = trusted.roots().get(nth).map(RootHash::of).ok_or("no root of the mesh is known")?;
    let pin = PinnedRoot { domain: trusted.domain().clone(), root };
    let asked = ask(config, &proof, &pin, identity.current.tls(), transport).await.map_err(told)?;
    let Enrolled { credentials, key, trust } = asked.map_err(|status| reason(&status))?;
    // What is trusted has been said by the stream, with who is denied; only what is newer is better than that.
    if credentials.us().id == identity.us() && trust.sequence() > trusted.sequence() {
        identity.trust.update(&trust).ok();
    }
    identity.replace(credentials, &key, config.state_dir.as_deref())
}

/// What came of asking.
struct Enrolled {
    credentials: Credentials,
    key: PrivateKey,
    trust: TrustBundle,
}

/// By what a proxy proves who it is, the first time.
enum Proof<'c> {
    /// A join token, and what it pins.
    JoinToken { token: &'c str, pin: PinnedRoot },
    /// The token that the kubelet projects into the pod, and the roots that the injector knew.
    Pod { file: &'c Path, roots: &'c [PinnedRoot] },
}

impl<'c> Proof<'c> {
    fn of(config: &'c Config) -> Result<Self, EnrollError> {
        match (&config.token, &config.pod_token) {
            (Some(token), _) => {
                let token = token.reveal().trim();
                let parsed: Token = token.parse()?;
                let root = RootHash::from(parsed.root_sha256);
                Ok(Self::JoinToken { token, pin: PinnedRoot { domain: parsed.trust_domain, root } })
            }
            (None, Some(file)) => Ok(Self::Pod { file, roots: &config.roots }),
            (None, None) => Err(EnrollError::NoToken),
        }
    }

    /// Which control plane to speak to: while roots rotate there is more than one that it may be.
    fn pin(&self, failures: u32) -> Result<PinnedRoot, EnrollError> {
        match self {
            Self::JoinToken { pin, .. } => Ok(pin.clone()),
            Self::Pod { roots, .. } => {
                let turn = usize::try_from(failures).unwrap_or_default() % roots.len().max(1);
                roots.get(turn).cloned().ok_or(EnrollError::NoRoots)
            }
        }
    }

    /// What is said of it. A projected token is read each time: the kubelet renews it.
    fn attestation(&self) -> Result<Attestation, EnrollError> {
        match self {
            Self::JoinToken { token, .. } => Ok(Attestation::JoinToken((*token).to_owned())),
            Self::Pod { file, .. } => match std::fs::read_to_string(file) {
                Ok(token) => Ok(Attestation::ServiceAccountToken(token.trim().to_owned())),
                Err(source) => Err(EnrollError::PodToken { file: file.to_path_buf(), source }),
            },
        }
    }

    /// Whether it may be taken later though it was refused now: a projected token is renewed.
    const fn may_change(&self) -> bool {
        matches!(self, Self::Pod { .. })
    }
}

/// Asks once.
async fn ask(
    config: &Config,
    proof: &Proof<'_>,
    pin: &PinnedRoot,
    tls: &Tls,
    transport: &impl Transport,
) -> Result<Result<Enrolled, tonic::Status>, EnrollError> {
    let introduce = {
        let (pin, tls) = (pin.clone(), tls.clone());
        move || Introduction {
            chain: Vec::new(),
            verifier: Arc::new(ServerVerifier::pinned(&pin)),
            tls: tls.pinned_client(&pin),
        }
    };
    let channel = control_channel(&config.control_plane, transport.clone(), introduce)
        .map_err(|source| EnrollError::Address { address: config.control_plane.clone(), source })?;
    let KeyAndRequest { key, csr_der } = KeyAndRequest::generate().map_err(EnrollError::Key)?;
    let request = EnrollRequest {
        attestation: Some(proof.attestation()?),
        csr_der,
        lifetime: None,
        workload: config.workload.clone(),
    };
    let certificate = match IdentityClient::new(channel).enroll(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return Ok(Err(status)),
    };
    let trust = bundle(&certificate, pin)?;
    let credentials = Credentials::new(certificate.chain_der, &key)?;
    Ok(Ok(Enrolled { credentials, key, trust }))
}

/// The bundle that came with the certificate must hold the root that the token pins.
fn bundle(certificate: &Certificate, pin: &PinnedRoot) -> Result<TrustBundle, EnrollError> {
    let trust = certificate.trust.clone().unwrap_or_default();
    let roots = trust.anchor_der.into_iter().map(CertificateDer::from);
    let bundle = TrustBundle::new(pin.domain.clone(), trust.sequence, roots, DenyList::default())
        .map_err(|error| EnrollError::Refused(error.to_string()))?;
    if bundle.roots().iter().any(|root| RootHash::of(root) == pin.root) {
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
    /// The projected token cannot be read.
    #[error(
        "WEFT_POD_TOKEN: cannot read {file}: {source}; the pod needs a projected token, as injection adds it"
    )]
    PodToken {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A pod's token says nothing of the control plane.
    #[error("WEFT_ROOTS is missing: by what is the control plane known? injection sets it")]
    NoRoots,
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
