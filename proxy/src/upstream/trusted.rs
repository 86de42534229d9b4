//! A connection to another sidecar, for as long as that is trusted.
//!
//! Whoever is denied, or whose root is removed, loses the connections to it as well as those from it: pooled ones,
//! upgraded ones and opaque ones alike. So the end lies beneath all of them, in the stream: whoever holds a connection
//! waits for what comes in on it, and hears of it there.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that ends when its far end is trusted no more.
pub(crate) struct Trusted<S> {
    io: S,
    /// Completes when trust ends. `None`: it has ended.
    trust: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> Trusted<S> {
    /// `io`, until `distrusted` completes.
    pub(crate) fn until(distrusted: impl Future<Output = ()> + Send + 'static, io: S) -> Self {
        Self { io, trust: Some(Box::pin(distrusted)) }
    }

    /// The stream.
    ///
    /// # Errors
    /// `ConnectionAborted` from the end of trust on. Whoever asks with a context is woken by it.
    fn trusted(&mut self, cx: &mut Context<'_>) -> io::Result<Pin<&mut S>>
    where
        S: Unpin,
    {
        if self.trust.as_mut().is_some_and(|trust| trust.as_mut().poll(cx).is_ready()) {
            self.trust = None;
        }
        self.still_trusted()
    }

    /// The same, by what is known already: only a reader looks for news.
    fn still_trusted(&mut self) -> io::Result<Pin<&mut S>>
    where
        S: Unpin,
    {
        let no_more = || io::Error::new(io::ErrorKind::ConnectionAborted, "its far end is trusted no more");
        self.trust.as_ref().map(|_| Pin::new(&mut self.io)).ok_or_else(no_more)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Trusted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.trusted(cx)?.poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Trusted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.still_trusted()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.still_trusted()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.still_trusted()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.still_trusted()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_reader_that_waits_hears_of_the_end_and_nothing_is_written_after_it() {
        let (near, mut far) = tokio::io::duplex(64);
        let (end, ended) = oneshot::channel::<()>();
        let mut stream = Trusted::until(async { drop(ended.await) }, near);
        far.write_all(b"before").await.unwrap();
        let mut said = [0; 6];
        stream.read_exact(&mut said).await.unwrap();
        stream.write_all(b"answer").await.unwrap();
        let waits = tokio::spawn(async move {
            let heard = stream.read(&mut said).await.unwrap_err();
            (heard.kind(), stream.write(b"x").await.unwrap_err().kind())
        });
        tokio::task::yield_now().await;
        end.send(()).unwrap();
        assert_eq!(
            waits.await.unwrap(),
            (io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionAborted)
        );
    }
}
