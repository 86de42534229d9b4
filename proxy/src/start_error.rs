//! Why a proxy does not start, in words for whoever has written its settings.

use weft_proto::name::BadName;

use crate::accept::BindError;
use crate::config::BadSetting;
use crate::dns::DnsError;
use crate::identity::EnrollError;

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings.
    #[error("{}", list(.0))]
    Settings(Vec<BadSetting>),
    /// A port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The workload's name.
    #[error("WEFT_WORKLOAD: {0}")]
    Workload(#[from] BadName),
    /// The first certificate.
    #[error("{0}")]
    Enroll(String),
    /// The system gives no thread.
    #[error("cannot start a thread: {source}")]
    Thread {
        /// Why.
        source: std::io::Error,
    },
    /// The access log.
    #[error("cannot write the access log to {path}: {source}")]
    AccessLog {
        /// As set.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The collector.
    #[error("WEFT_OTLP: {0}")]
    Otlp(String),
    /// The DNS listener.
    #[error(transparent)]
    Dns(#[from] DnsError),
}

impl From<EnrollError> for StartError {
    fn from(error: EnrollError) -> Self {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        Self::Enroll(format!("{error}{cause}"))
    }
}

fn list(bad: &[BadSetting]) -> String {
    bad.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
