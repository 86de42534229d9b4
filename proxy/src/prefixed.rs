//! A connection whose first bytes have been read already, to see what it speaks: they are read again by
//! whoever takes it on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::detect::{Detected, MAX_PEEK, detect};

/// A stream with bytes put back in front.
#[derive(Debug)]
pub(crate) struct Prefixed<S> {
    first: Bytes,
    stream: S,
}

impl<S> Prefixed<S> {
    /// Puts `first` back in front of `stream`.
    pub(crate) const fn new(first: Bytes, stream: S) -> Self {
        Self { first, stream }
    }

    /// Puts `said` in front of what is there.
    pub(crate) fn put_back(&mut self, said: FirstBytes) {
        let mut all = said.0;
        all.extend_from_slice(&self.first);
        self.first = all.freeze();
    }

    /// The stream, once what was put back has been read.
    pub(crate) fn bare(&self) -> Option<&S> {
        self.first.is_empty().then_some(&self.stream)
    }
}

/// The first bytes of a connection while they come in.
#[derive(Debug, Default)]
pub(crate) struct FirstBytes(BytesMut);

impl FirstBytes {
    /// What has come so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether they are the beginning of a TLS handshake, whatever became of it.
    pub(crate) fn begin_as_tls(&self) -> bool {
        self.0.starts_with(&[22, 3])
    }

    /// Waits for more. Cancel-safe: what has come stays. 0 at the end of the stream.
    ///
    /// # Errors
    /// What the stream reports.
    pub(crate) async fn more<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<usize> {
        if self.0.capacity() == self.0.len() {
            self.0.reserve(GROWTH);
        }
        stream.read_buf(&mut self.0).await
    }

    /// Reads until it is clear what is spoken; `None` if the stream ends before its first byte. Cancel-safe.
    pub(crate) async fn word<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Option<Detected> {
        loop {
            match detect(self.bytes()) {
                Detected::NeedMore if self.bytes().len() < MAX_PEEK => {}
                Detected::NeedMore => return Some(Detected::Opaque),
                known => return Some(known),
            }
            match self.more(stream).await {
                Ok(0) if self.bytes().is_empty() => return None,
                Ok(0) => return Some(Detected::Opaque),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// Puts them back in front of `stream`.
    pub(crate) fn before<S>(self, stream: S) -> Prefixed<S> {
        Prefixed::new(self.0.freeze(), stream)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let n = self.first.len().min(into.remaining());
        into.put_slice(self.first.get(..n).unwrap_or_default());
        self.first.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Enough for most heads and every classical ClientHello; a hybrid one takes two.
const GROWTH: usize = 2048;
