//! Why there is no certificate: one table from the reason to what the caller is told, to the metric's label and to
//! the log.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tonic::{Code, Status};
use weft_certs::authority::{IssueError, MAX_CSR_BYTES};
use weft_certs::verify::PeerRefused;

use crate::attest::Refused;
use crate::attest::cluster::NotVouched;
use crate::attest::review::PodRefused;

/// Why there is no certificate. Its own text is for the log.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// `attestation` is not set.
    #[error("the request has no attestation")]
    NoAttestation,
    /// A Kubernetes token, and there is no Kubernetes.
    #[error("a service account token was sent, and this control plane has no cluster to check it with")]
    NoCluster,
    /// The token does not admit its holder.
    #[error(transparent)]
    Token(#[from] Refused),
    /// The service account token does not.
    #[error(transparent)]
    Pod(#[from] PodRefused),
    /// The token pins a root that is none of ours.
    #[error("the join token names a root that is not trusted here; it is another mesh's, or an old one")]
    OtherRoot,
    /// The connection has no client certificate, or one that is no longer good.
    #[error(transparent)]
    Certificate(#[from] PeerRefused),
    /// Of the control plane, or of another trust domain.
    #[error("the certificate is not one of a workload of this trust domain")]
    NotOurs,
    /// No grant.
    #[error(
        "no workload of this identity is known; it was forgotten, or the state directory is an older one"
    )]
    Forgotten,
    /// Over the largest CSR.
    #[error("the signing request has over {MAX_CSR_BYTES} bytes")]
    TooLarge,
    /// Over the rate.
    #[error("over the limit of leaves for this workload, or this identity, or for all together")]
    TooOften,
    /// Over the concurrency.
    #[error("as many requests are being signed as may be")]
    Busy,
    /// The authority refused, or failed.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The control plane is shutting down, or a defect ended the work.
    #[error("the work was not finished")]
    Stopped,
}

impl From<NotVouched> for Refusal {
    fn from(why: NotVouched) -> Self {
        Self::Pod(why.into())
    }
}

impl Refusal {
    /// A short name, for metrics and the audit log.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoAttestation => "no_attestation",
            Self::NoCluster => "no_cluster",
            Self::Token(refused) => refused.label(),
            Self::Pod(PodRefused::NotVouched(why)) => why.label(),
            Self::Pod(PodRefused::TooLarge) => "pod_token_too_large",
            Self::Pod(PodRefused::Busy) => "busy",
            Self::Pod(PodRefused::NoAnswer { .. }) => "no_token_review",
            Self::OtherRoot => "token_other_root",
            Self::Certificate(refused) => refused.label(),
            Self::NotOurs => "not_ours",
            Self::Forgotten => "forgotten",
            Self::TooLarge => "csr_too_large",
            Self::TooOften => "rate_limit",
            Self::Busy => "busy",
            Self::Issue(error) => error.label(),
            Self::Stopped => "stopped",
        }
    }

    /// What the caller is told.
    #[must_use]
    pub fn status(&self) -> Status {
        let (code, text) = match self {
            Self::NoAttestation => (Code::InvalidArgument, "send a join token in `attestation`"),
            Self::NoCluster => {
                (Code::Unauthenticated, "this control plane has no cluster; enrol with a join token")
            }
            Self::Token(Refused::Journal(_)) | Self::Stopped => (Code::Unavailable, OUR_TROUBLE),
            Self::Token(Refused::TooManyWorkloads) => (
                Code::ResourceExhausted,
                "the mesh has as many workloads as it can hold; see the control plane's log",
            ),
            Self::Pod(PodRefused::NotVouched(why)) if why.passes() => {
                (Code::Unavailable, "the API server does not know this pod's address yet; ask again")
            }
            Self::Pod(PodRefused::NotVouched(_) | PodRefused::TooLarge) => {
                (Code::Unauthenticated, BAD_POD_TOKEN)
            }
            Self::Pod(PodRefused::Busy) => (
                Code::ResourceExhausted,
                "as many tokens are being checked as may be; ask again in some seconds",
            ),
            Self::Pod(PodRefused::NoAnswer { .. }) => {
                (Code::Unavailable, "the API server does not say whose the token is; ask again")
            }
            Self::Token(_) | Self::OtherRoot => (Code::Unauthenticated, BAD_TOKEN),
            Self::Certificate(PeerRefused::NoCertificate) => {
                (Code::Unauthenticated, "renewing needs a certificate; without one, enrol with a join token")
            }
            Self::Certificate(PeerRefused::Denied) => {
                (Code::PermissionDenied, "this identity or certificate is denied")
            }
            Self::Certificate(_) => (
                Code::Unauthenticated,
                "this certificate has expired or is no longer trusted; enrol again with a new join token",
            ),
            Self::NotOurs => (Code::PermissionDenied, "only workloads of this trust domain renew here"),
            Self::Forgotten => (
                Code::PermissionDenied,
                "this workload is no longer known; enrol again with a new join token",
            ),
            Self::TooLarge => (Code::InvalidArgument, "the signing request is too large"),
            Self::TooOften => {
                (Code::ResourceExhausted, "too many certificates were asked for; ask again in some seconds")
            }
            Self::Busy => {
                (Code::ResourceExhausted, "the control plane is busy signing; ask again in some seconds")
            }
            // The authority's texts about a request say nothing that the caller did not write itself.
            Self::Issue(error) if error.is_callers_fault() => {
                return Status::new(issue_code(error), error.to_string());
            }
            Self::Issue(_) => (Code::Unavailable, OUR_TROUBLE),
        };
        Status::new(code, text)
    }
}

/// Asking to be more than one is, is another thing than asking badly.
fn issue_code(error: &IssueError) -> Code {
    match error {
        IssueError::WantsCa
        | IssueError::WantsOtherName
        | IssueError::NotAWorkload { .. }
        | IssueError::OtherTrustDomain { .. } => Code::PermissionDenied,
        IssueError::TooLarge { .. }
        | IssueError::Malformed
        | IssueError::BadSignature
        | IssueError::KeyType => Code::InvalidArgument,
        IssueError::NotADnsName { .. }
        | IssueError::IssuerExpiring { .. }
        | IssueError::Clock
        | IssueError::NoRandomness(_)
        | IssueError::Signing(_) => Code::Unavailable,
    }
}

/// How often certificates were asked for, by method and outcome.
#[derive(Clone, Debug, Default)]
pub struct IdentityMetrics(Family<Outcome, Counter>);

impl IdentityMetrics {
    /// Registers `weft_control_plane_identity_requests` with the server's metrics.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Requests for certificates, by method and outcome (issued, or the reason against)";
        registry.register("weft_control_plane_identity_requests", help, self.0.clone());
    }

    /// How often this was the outcome.
    #[must_use]
    pub fn of(&self, method: &'static str, outcome: &'static str) -> u64 {
        self.0.get_or_create(&Outcome { method, outcome }).get()
    }

    pub(super) fn count(&self, method: &'static str, outcome: &'static str) {
        self.0.get_or_create(&Outcome { method, outcome }).inc();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    method: &'static str,
    outcome: &'static str,
}

const BAD_POD_TOKEN: &str =
    "the service account token does not admit this pod; the control plane's audit log says why";
const BAD_TOKEN: &str = "this join token is not accepted; create a new one with `meshctl token create` (the control plane's log says why)";
const OUR_TROUBLE: &str = "the control plane cannot issue certificates right now; its log says why";
