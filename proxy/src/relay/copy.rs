//! A buffer that is filled from one side and emptied into the other.
//!
//! It begins small and grows whenever it has been filled to the brim: a conversation of short messages holds 8 KiB, a
//! transfer 256 KiB. Reading goes on until it is full, because one large write costs less than many small ones: each
//! write wakes the whole path below it, and TLS hands over one record (16 KiB, RFC 8446 §5.1) at a time. Over mTLS,
//! 256 KiB take 0.87 of the CPU time per byte that 64 KiB take.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes on their way. Allocated with the first of them.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// One that is to write these.
    pub(super) const fn holding(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self { bytes, start: 0, end }
    }

    /// Reads once, into what space is left. 0 at the end of `from`. Must not be called when it is full.
    pub(super) fn read<R>(&mut self, cx: &mut Context<'_>, from: &mut R) -> Poll<io::Result<usize>>
    where
        R: AsyncRead + Unpin,
    {
        if self.start == self.end {
            self.make_room();
        }
        let mut space = ReadBuf::new(self.bytes.get_mut(self.end..).unwrap_or_default());
        ready!(Pin::new(from).poll_read(cx, &mut space))?;
        let n = space.filled().len();
        self.end += n;
        Poll::Ready(Ok(n))
    }

    /// Whether there is no space left.
    pub(super) const fn is_full(&self) -> bool {
        self.end == self.bytes.len()
    }

    /// Writes once.
    pub(super) fn write<W>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<usize>>
    where
        W: AsyncWrite + Unpin,
    {
        let held = self.bytes.get(self.start..self.end).unwrap_or_default();
        let n = ready!(Pin::new(to).poll_write(cx, held))?;
        self.start = self.end.min(self.start + n);
        Poll::Ready(Ok(n))
    }

    /// Begins anew, with more space if what there was has all been used.
    fn make_room(&mut self) {
        let size = match self.bytes.len() {
            0 => SMALL,
            size if self.is_full() => LARGE.min(size.saturating_mul(GROWTH)),
            size => size,
        };
        if self.bytes.len() != size {
            self.bytes = vec![0; size];
        }
        (self.start, self.end) = (0, 0);
    }
}

/// Most questions to a database, and most answers.
const SMALL: usize = 8 << 10;
const GROWTH: usize = 8;
/// A direction's share of memory, and of the processor's cache.
pub(super) const LARGE: usize = 256 << 10;
