//! How a proxy asks its own application whether it is well. What it finds out travels to the control plane and
//! becomes the [`Health`](crate::endpoint::Health) that others see; they never probe somebody else's application.

use std::sync::Arc;
use std::time::Duration;

/// One check of one port of a workload's application, from a `Workload`'s `healthChecks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The application's own port.
    pub port: u16,
    /// What counts as an answer.
    pub probe: Probe,
    /// From one check to the next.
    pub interval: Duration,
    /// A check that takes longer has failed.
    pub timeout: Duration,
    /// So many good answers in a row make a sick application well; at least 1.
    pub healthy_threshold: u32,
    /// So many failures in a row make a well application sick; at least 1.
    pub unhealthy_threshold: u32,
}

/// What counts as an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// The connection is accepted.
    Tcp,
    /// `GET` of this path answers with a status from 200 to 399, as a kubelet's probe reads it.
    Http {
        /// With its leading slash.
        path: Arc<str>,
    },
    /// `grpc.health.v1.Health/Check` answers `SERVING`.
    Grpc {
        /// The service to ask about; empty: the server as a whole.
        service: Arc<str>,
    },
}
