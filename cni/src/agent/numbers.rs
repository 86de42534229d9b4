//! How the agent is, and what it has done: `/ready` and `/metrics`, over the least of HTTP that a kubelet and a scraper need.
//!
//! Bound: one question at a time, each within [`WHOLE`], of at most [`LONGEST`] bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// What is counted.
#[derive(Debug, Default)]
pub struct Numbers {
    made: AtomicU64,
    repaired: AtomicU64,
    failed: AtomicU64,
    installed: AtomicBool,
}

impl Numbers {
    pub(super) fn made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn repaired(&self) {
        self.repaired.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn installed(&self, installed: bool) {
        self.installed.store(installed, Ordering::Relaxed);
    }

    /// In the text format of Prometheus.
    #[must_use]
    pub fn text(&self) -> String {
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let rows = [
            (
                "weft_cni_rules_made_total",
                "counter",
                "Pods that got their rules as they were made.",
                count(&self.made),
            ),
            (
                "weft_cni_rules_repaired_total",
                "counter",
                "Pods that had started without their rules, and got them before anything in them ran.",
                count(&self.repaired),
            ),
            (
                "weft_cni_rules_failed_total",
                "counter",
                "Times that rules could not be made.",
                count(&self.failed),
            ),
            (
                "weft_cni_installed",
                "gauge",
                "1 while the plugin stands in the node's configuration.",
                u64::from(self.installed.load(Ordering::Relaxed)),
            ),
        ];
        let row = |(name, kind, help, value): (&str, &str, &str, u64)| {
            format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
        };
        rows.into_iter().map(row).collect()
    }

    /// The whole answer to a request line.
    fn answer(&self, request: &str) -> String {
        let (status, body) = match request.split(' ').nth(1) {
            Some("/metrics") => ("200 OK", self.text()),
            Some("/ready") if self.installed.load(Ordering::Relaxed) => ("200 OK", "ready\n".to_owned()),
            Some("/ready") => {
                ("503 Service Unavailable", "the plugin is not in the node's configuration\n".to_owned())
            }
            _ => ("404 Not Found", "there are /ready and /metrics\n".to_owned()),
        };
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    }
}

/// Answers until dropped.
pub(super) async fn serve(listener: TcpListener, numbers: Arc<Numbers>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // The one who asks hears it, or does not.
                let _ = timeout(WHOLE, answer_one(stream, &numbers)).await;
            }
            Err(_) => sleep(BREATHER).await,
        }
    }
}

async fn answer_one(mut stream: TcpStream, numbers: &Numbers) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut some = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < LONGEST {
        let read = stream.read(&mut some).await?;
        if read == 0 {
            return Ok(());
        }
        head.extend(some.iter().take(read));
    }
    let line = String::from_utf8_lossy(&head);
    let answer = numbers.answer(line.lines().next().unwrap_or_default());
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

const WHOLE: Duration = Duration::from_secs(2);
const LONGEST: usize = 8192;
const BREATHER: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_while_the_plugin_is_in_its_place() {
        let numbers = Numbers::default();
        assert!(numbers.answer("GET /ready HTTP/1.1").starts_with("HTTP/1.1 503 "));
        numbers.installed(true);
        assert!(numbers.answer("GET /ready HTTP/1.1").starts_with("HTTP/1.1 200 "));
        numbers.repaired();
        assert!(numbers.answer("GET /metrics HTTP/1.1").contains("\nweft_cni_rules_repaired_total 1\n"));
        for odd in ["", "GET", "GET  /ready", "\u{0}"] {
            assert!(numbers.answer(odd).starts_with("HTTP/1.1 404 "), "{odd:?}");
        }
    }
}
