//! Why a check has failed, in words for the person who reads the status of a workload.

use std::io;

/// Why a check has failed, for a person.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing listens, or it does not accept.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
    /// What came back is not the protocol of the check.
    #[error("the answer is no {protocol}: {source}")]
    Protocol {
        /// `HTTP` or `gRPC`.
        protocol: &'static str,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The path of the check cannot be asked for.
    #[error("`{0}` is no path; correct the health check of the workload")]
    Path(String),
    /// An HTTP status outside of 200 to 399.
    #[error("the answer has status {0}")]
    Status(u16),
    /// A gRPC status other than OK.
    #[error("the health service answers with gRPC status {0}")]
    GrpcStatus(String),
    /// A serving status other than `SERVING` (grpc.health.v1).
    #[error("the health service says {0}")]
    NotServing(&'static str),
}

/// How a check names itself to the application.
pub(super) const AGENT: &str = "weft-health/1";
