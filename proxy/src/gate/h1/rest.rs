//! A connection at rest: nothing is asked on it, so nothing is held for it but the socket and its place in the protocol.
//!
//! What parses HTTP holds some twelve kilobytes for as long as it lives, most of them a buffer that was read into once,
//! and clients hold connections open for hours. So the parser is given up on a connection that has been quiet for a
//! while, and a new one is made when the far end stirs. The gate knows when that loses nothing: it has passed on whole
//! requests only, each has been answered, and all of the answers has been flushed.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Gate;

impl<S> Gate<S> {
    /// Whether there is nothing on its way, in either direction.
    pub(super) fn is_idle(&self) -> bool {
        self.end.is_none()
            && self.follow.is_between_messages()
            && self.held.is_empty()
            && !self.unflushed
            && !self.switch.is_busy()
    }
}

impl<S: AsyncRead + Unpin> Gate<S> {
    /// Waits until the far end says something. `false`: it has gone, or has been silent for an hour, as Envoy has it.
    pub(crate) async fn stirs(&mut self) -> bool {
        self.waiting = None;
        let said = tokio::time::timeout(IDLE, poll_fn(|cx| self.poll_more(cx))).await;
        let Ok(Ok(more @ 1..)) = said else { return false };
        self.examine(more);
        true
    }
}

/// Where a gate comes back to when whoever reads through it is given up.
pub(crate) struct Lender<S>(Arc<Mutex<Option<Gate<S>>>>);

impl<S> Lender<S> {
    /// Nothing is lent.
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// The gate, to be read and written through.
    pub(crate) fn lend(&self, gate: Gate<S>) -> Lent<S> {
        Lent { gate: Some(gate), lender: Arc::clone(&self.0) }
    }

    /// The gate that has come back.
    pub(crate) fn take(&self) -> Option<Gate<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A gate on loan. A lock is taken when it goes back and at no other time.
pub(crate) struct Lent<S> {
    /// Always there, until it is dropped.
    gate: Option<Gate<S>>,
    lender: Arc<Mutex<Option<Gate<S>>>>,
}

impl<S> Drop for Lent<S> {
    fn drop(&mut self) {
        *self.lender.lock().unwrap_or_else(PoisonError::into_inner) = self.gate.take();
    }
}

impl<S> Lent<S> {
    fn gate(self: Pin<&mut Self>) -> io::Result<Pin<&mut Gate<S>>>
    where
        S: Unpin,
    {
        self.get_mut().gate.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lent<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.gate()?.poll_read(cx, out)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.gate()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.gate()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.gate.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.gate()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.gate()?.poll_shutdown(cx)
    }
}

/// How long a connection may carry no request.
const IDLE: Duration = Duration::from_secs(60 * 60);
