//! As many bytes as go through, on a few connections. The origin counts and compares them; at the end of each
//! connection its count must be the sender's.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{HANG, Window, http1};
use crate::origin::{self, Origin};

/// What has gone through in the time that counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    /// Bytes that arrived.
    pub(crate) bytes: u64,
    /// The time that counted.
    pub(crate) length: Duration,
    /// What the proxies consumed in it.
    pub(crate) cpu: Duration,
}

/// Sends.
///
/// # Errors
/// If a byte was lost or changed, a connection broke, or a proxy has ended.
pub(crate) async fn run(
    entry: SocketAddr,
    connections: usize,
    origin: &Origin,
    window: Window,
    cpu: impl Fn() -> anyhow::Result<Duration>,
) -> anyhow::Result<Moved> {
    let from = Instant::now() + window.warm_up;
    let until = from + window.length;
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        senders.spawn(timeout_at(until + HANG, send(entry, until)));
    }
    sleep_until(from).await;
    let (before, already, began) = (cpu()?, origin.received(), Instant::now());
    sleep_until(until).await;
    let (after, bytes, ended) = (cpu()?, origin.received() - already, Instant::now());
    while let Some(joined) = senders.join_next().await {
        joined.context("a sender panicked")?.context("a connection does not end")??;
    }
    Ok(Moved { bytes, length: ended - began, cpu: after.saturating_sub(before) })
}

async fn send(to: SocketAddr, until: Instant) -> anyhow::Result<()> {
    let mut stream = http1::connect(to).await?;
    let pattern = origin::pattern();
    let mut sent = 0;
    stream.write_all(b"S").await.context("nothing could be sent")?;
    while Instant::now() < until {
        stream.write_all(&pattern).await.with_context(|| format!("it broke off after {sent} bytes"))?;
        sent += pattern.len() as u64;
    }
    stream.shutdown().await?;
    let mut counted = [0; 8];
    stream.read_exact(&mut counted).await.context("the other half was closed with ours")?;
    let counted = u64::from_be_bytes(counted);
    ensure!(counted != u64::MAX, "a byte was changed on its way");
    ensure!(counted == sent, "{counted} of {sent} bytes arrived");
    Ok(())
}
