//! Bytes both ways.

use anyhow::Context;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;

use crate::{Speaks, Way};

/// Carries one connection to its end.
pub(crate) async fn serve(way: &Way, stream: TcpStream) -> anyhow::Result<()> {
    let next = TcpStream::connect(way.next).await?;
    next.set_nodelay(true)?;
    let hop = || way.hop.as_ref().context("a hop without certificates");
    match (way.from, way.to) {
        (Speaks::BytesTls, _) => carry(hop()?.accept(stream).await?, next).await,
        (_, Speaks::BytesTls) => carry(stream, hop()?.connect(next).await?).await,
        _ => carry(stream, next).await,
    }
}

async fn carry<A, B>(mut near: A, mut far: B) -> anyhow::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER).await?;
    Ok(())
}

/// As large as a relay of ours has it.
const BUFFER: usize = 64 << 10;
