//! A connection for every word: what is measured is its handshake.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Caller, http1};
use crate::origin;

/// Connects, says a word, hears it, and closes; again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewConnections(pub(crate) SocketAddr);

impl Caller for NewConnections {
    async fn ask(&mut self) -> anyhow::Result<()> {
        let mut stream = http1::connect(self.0).await?;
        stream.write_all(origin::WORD).await.context("nothing could be said")?;
        let mut heard = *origin::WORD;
        heard.fill(0);
        stream.read_exact(&mut heard).await.context("nothing came back")?;
        ensure!(&heard == origin::WORD, "something else came back");
        Ok(())
    }
}
