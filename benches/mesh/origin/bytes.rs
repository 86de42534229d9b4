//! An application of bytes. What a connection is for, its first byte says.
//!
//! `S`: everything that follows is swallowed, compared with what it must be, and counted; when the client has ended its
//! half, the count comes back. So a tunnel that loses, changes or reorders a byte, or closes both halves at once, fails.
//! `E`: the [`WORD`] comes back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What is sent over and over; the next round begins where the last one ended.
pub(crate) fn pattern() -> Arc<[u8]> {
    (0u8..251).cycle().take(PIECE).collect()
}

/// How much is written and read at once.
const PIECE: usize = 64 * 1024;
/// What a new connection says to be worth its handshake.
pub(crate) const WORD: &[u8; 16] = b"Eanother caller\n";

/// Serves one connection.
pub(super) async fn serve(
    mut stream: TcpStream,
    pattern: Arc<[u8]>,
    received: Arc<AtomicU64>,
) -> io::Result<()> {
    let mut word = *WORD;
    stream.read_exact(word.split_at_mut(1).0).await?;
    match word.first() {
        Some(b'S') => swallow(stream, &pattern, &received).await,
        Some(b'E') => {
            stream.read_exact(word.split_at_mut(1).1).await?;
            stream.write_all(&word).await?;
            // The client goes first, so that no port of ours is kept waiting.
            stream.read(&mut word).await.map(drop)
        }
        _ => Ok(()),
    }
}

async fn swallow(mut stream: TcpStream, pattern: &[u8], received: &AtomicU64) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let (mut all, mut right) = (0u64, true);
    loop {
        let read = stream.read(&mut piece).await?;
        let Some(mut got) = piece.get(..read).filter(|got| !got.is_empty()) else { break };
        while right && !got.is_empty() {
            let at = usize::try_from(all % pattern.len() as u64).unwrap_or(0);
            let expected = pattern.get(at..).unwrap_or_default();
            let length = expected.len().min(got.len());
            right = got.get(..length) == expected.get(..length);
            all += length as u64;
            got = got.get(length..).unwrap_or_default();
        }
        received.fetch_add(read as u64, Ordering::Relaxed);
    }
    let said = if right { all } else { u64::MAX };
    stream.write_all(&said.to_be_bytes()).await?;
    stream.shutdown().await
}
