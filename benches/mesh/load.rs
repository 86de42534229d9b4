//! The clients. Every way is given the same bytes, and every answer is compared with the one it must be: status, length
//! and each byte of the body. One that is wrong, or none at all, ends the run.
//!
//! For throughput and CPU the loop is [`closed`]: whoever has an answer asks again. Such a loop slows down with what it
//! measures, so latency is measured in an [`open`] one besides, at a rate that nobody can slow down.

pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod grpc;
pub(crate) mod closed;
pub(crate) mod open;
pub(crate) mod pace;
pub(crate) mod bulk;
pub(crate) mod connect;
pub(crate) mod idle;
pub(crate) mod admin;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;

/// Someone who asks, again and again.
pub(crate) trait Caller: Send + 'static {
    /// One exchange.
    ///
    /// # Errors
    /// What was wrong with the answer.
    fn ask(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// What is asked, and what the answer is.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The service, as its name stands in a request.
    pub(crate) host: &'static str,
    /// Asked in turns.
    pub(crate) paths: Arc<[String]>,
    /// Further lines of an HTTP/1 head, each with its end.
    pub(crate) lines: String,
    /// The body of every answer.
    pub(crate) body: Bytes,
}

/// How long is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Asked, but not counted: caches are filled.
    pub(crate) warm_up: Duration,
    /// The time that counts.
    pub(crate) length: Duration,
}

impl Window {
    /// With time enough to warm up for one that makes a TLS connection for each of many clients.
    pub(crate) fn of(length: Duration) -> Self {
        Self { warm_up: (length / 4).max(Duration::from_secs(1)), length }
    }
}

/// What came back in the time that counts.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// Of each answer, in microseconds, sorted.
    pub(crate) latencies: Vec<u32>,
    /// The time that counted.
    pub(crate) length: Duration,
    /// What the proxies consumed in it.
    pub(crate) cpu: Duration,
}

impl Measured {
    /// So many of 1000 took no longer, in microseconds; 0 if there was no answer.
    pub(crate) fn percentile(&self, of_1000: usize) -> f64 {
        let rank = (self.latencies.len() * of_1000).div_ceil(1000).saturating_sub(1);
        self.latencies.get(rank).copied().map_or(0.0, f64::from)
    }
}

/// In microseconds; what does not fit is as long as anything.
fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// Longer than any of these answers takes.
const HANG: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
