//! What web's sidecar counts: retries, and breakers that open. Read from its metrics, as Prometheus would.

use std::time::Duration;

use anyhow::{Context, bail};

use super::mesh::Mesh;
use super::metrics_text::{Sample, samples};
use crate::http1::Http1;

/// Reads the metrics of web's sidecar.
#[derive(Debug)]
pub(super) struct Watch {
    admin: Http1,
    host: String,
}

/// What they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Retries that were sent.
    pub(super) retried: u64,
    /// How often a breaker has opened.
    pub(super) opened: u64,
    /// Endpoints whose breaker is open, or probing, now.
    pub(super) open_now: u64,
}

impl Watch {
    /// Nothing is asked yet.
    pub(super) fn new(mesh: &Mesh) -> Self {
        let addr =
            mesh.members.iter().find(|member| member.name == "web-1").map(|member| member.sidecar.admin);
        let addr = addr.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
        Self { admin: Http1::new(addr), host: addr.to_string() }
    }

    /// Asks.
    ///
    /// # Errors
    /// If the sidecar does not answer.
    pub(super) async fn read(&self) -> anyhow::Result<Seen> {
        let answer = self.admin.get(&self.host, "/metrics", PATIENCE).await;
        let answer = answer.context("cannot read the metrics of web's sidecar")?;
        if !answer.status.is_success() {
            bail!("web's sidecar shows no metrics: {}", answer.status);
        }
        Ok(Seen::of(&String::from_utf8_lossy(&answer.body)))
    }
}

impl Seen {
    fn of(text: &str) -> Self {
        let mut seen = Self::default();
        for sample in samples(text) {
            let value = sample.value.max(0.0) as u64;
            match (sample.name, sample.label("outcome"), sample.label("state")) {
                ("weft_retries_total", Some("sent"), _) => seen.retried += value,
                ("weft_breaker_trips_total", ..) => seen.opened += value,
                ("weft_breaker_endpoints", _, Some("open" | "half_open")) if of_a_version(&sample) => {
                    seen.open_now += value;
                }
                _ => {}
            }
        }
        seen
    }
}

/// Every endpoint is one of api's and one of its version's; it is counted once.
fn of_a_version(sample: &Sample<'_>) -> bool {
    sample.label("backend").is_some_and(|backend| backend.starts_with("demo/api-"))
}

const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_and_breakers_are_added_up_over_all_backends() {
        let text = "\
# HELP weft_retries Retries that were sent.
# TYPE weft_retries counter
weft_retries_total{direction=\"outbound\",service=\"demo/api\",backend=\"demo/api-v1:80\",outcome=\"sent\"} 2
weft_retries_total{direction=\"outbound\",service=\"demo/api\",backend=\"demo/api-v2:80\",outcome=\"sent\"} 3
weft_retries_total{direction=\"outbound\",service=\"demo/api\",backend=\"demo/api-v2:80\",outcome=\"budget_spent\"} 9
weft_breaker_endpoints{backend=\"demo/api-v2:80\",state=\"closed\"} 1
weft_breaker_endpoints{backend=\"demo/api-v2:80\",state=\"half_open\"} 1
weft_breaker_endpoints{backend=\"demo/api:80\",state=\"open\"} 1
weft_breaker_trips_total{backend=\"demo/api-v2:80\"} 4
# EOF
";
        assert_eq!(Seen::of(text), Seen { retried: 5, opened: 4, open_now: 1 });
    }
}
