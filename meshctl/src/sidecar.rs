//! One `weft-proxy` process: its settings, and when it is ready.
//!
//! `run` and `demo` start sidecars the same way: a fresh token, free ports on loopback, self-registration. So a
//! laptop needs no `Workload` manifest, and no two processes meet on a port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{Instant, sleep};
use weft_proto::v1;

use crate::control_plane::{ControlPlane, refused};
use crate::http1::Http1;
use crate::process::{Launch, Process};
use crate::program::Program;

/// What a sidecar needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Sidecar {
    /// `namespace/name`
    pub(crate) workload: String,
    /// Of its identity.
    pub(crate) service_account: String,
    /// Where the control plane takes proxies.
    pub(crate) control_plane: String,
    /// For calls into the application.
    pub(crate) inbound: SocketAddr,
    /// For the application's own calls.
    pub(crate) outbound: SocketAddr,
    /// Health, metrics.
    pub(crate) admin: SocketAddr,
    /// The application's ports: name and number.
    pub(crate) ports: Vec<(String, u16)>,
    /// By which Services select it.
    pub(crate) labels: Vec<(String, String)>,
    /// How long requests under way have when it ends.
    pub(crate) drain: Duration,
    /// What it logs: `info`, `warn`.
    pub(crate) log_level: String,
    /// A file for what it prints; `None`: where ours goes.
    pub(crate) log: Option<PathBuf>,
    /// A file for its access log.
    pub(crate) access_log: Option<PathBuf>,
}

impl Sidecar {
    /// Gets a token for this workload alone, to be used once, and starts the proxy with it.
    ///
    /// # Errors
    /// If the control plane gives no token, or the proxy cannot be started.
    pub(crate) async fn start(&self, control_plane: &ControlPlane) -> anyhow::Result<Process> {
        let request = v1::CreateTokenRequest {
            workload: self.workload.clone(),
            service_account: self.service_account.clone(),
            lifetime_secs: TOKEN_SECS,
            uses: 1,
        };
        let token = control_plane.admin().create_token(request).await.map_err(|status| refused(&status));
        let token = token.with_context(|| format!("no join token for {}", self.workload))?.into_inner().token;
        Process::start(Launch {
            name: format!("the sidecar of {}", self.workload),
            program: Program::Proxy.find()?,
            args: Vec::new(),
            env: self.environment(token),
            log: self.log.clone(),
        })
    }

    /// As `weft-proxy` reads its settings.
    fn environment(&self, token: String) -> Vec<(&'static str, String)> {
        let pairs = |pairs: Vec<String>| pairs.join(",");
        let access_log =
            self.access_log.as_ref().map_or_else(|| "off".into(), |file| file.display().to_string());
        vec![
            ("WEFT_WORKLOAD", self.workload.clone()),
            ("WEFT_CONTROL_PLANE", self.control_plane.clone()),
            ("WEFT_TOKEN", token),
            ("WEFT_INBOUND", self.inbound.to_string()),
            ("WEFT_OUTBOUND", self.outbound.to_string()),
            ("WEFT_ADMIN", self.admin.to_string()),
            ("WEFT_REGISTER_ADDRESS", self.inbound.ip().to_string()),
            (
                "WEFT_REGISTER_PORTS",
                pairs(self.ports.iter().map(|(name, port)| format!("{name}={port}")).collect()),
            ),
            (
                "WEFT_REGISTER_LABELS",
                pairs(self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect()),
            ),
            ("WEFT_DRAIN_SECS", self.drain.as_secs_f64().to_string()),
            ("WEFT_ACCESS_LOG", access_log),
            ("WEFT_LOG", self.log_level.clone()),
        ]
    }

    /// Waits until the proxy says that it is ready.
    ///
    /// # Errors
    /// If it ends before, or is not ready in time; its last word is said.
    pub(crate) async fn until_ready(&self, process: &mut Process, within: Duration) -> anyhow::Result<()> {
        let admin = Http1::new(self.admin);
        let host = self.admin.to_string();
        let deadline = Instant::now() + within;
        let mut last = "its admin port does not answer".to_owned();
        loop {
            process.check()?;
            if let Ok(answer) = admin.get(&host, "/ready", PATIENCE).await {
                if answer.status.is_success() {
                    return Ok(());
                }
                last = String::from_utf8_lossy(&answer.body).trim().to_owned();
            }
            if Instant::now() >= deadline {
                bail!("{} is not ready after {within:?}: {last}", process.name());
            }
            sleep(POLL).await;
        }
    }
}

/// Enough to start a process.
const TOKEN_SECS: u32 = 120;
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_written_as_the_proxy_reads_them() {
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let sidecar = Sidecar {
            workload: "shop/web-1".into(),
            service_account: "web".into(),
            control_plane: "127.0.0.1:15010".into(),
            inbound: addr(1),
            outbound: addr(2),
            admin: addr(3),
            ports: vec![("http".into(), 8080), ("grpc".into(), 9090)],
            labels: vec![("app".into(), "web".into()), ("version".into(), "v1".into())],
            drain: Duration::from_millis(500),
            log_level: "info".into(),
            log: None,
            access_log: None,
        };
        let environment = sidecar.environment("weft1.x".into());
        let value = |name| environment.iter().find(|(key, _)| *key == name).unwrap().1.as_str();
        assert_eq!(value("WEFT_REGISTER_PORTS"), "http=8080,grpc=9090");
        assert_eq!(value("WEFT_REGISTER_LABELS"), "app=web,version=v1");
        assert_eq!(value("WEFT_DRAIN_SECS"), "0.5");
        assert_eq!(value("WEFT_ACCESS_LOG"), "off");
    }
}
