//! A pipe in the kernel, through which one socket's bytes become another's without ever being copied (splice(2)).
//!
//! A pipe has a place for each page, so it is bounded like a buffer; and like one, the larger it is the less each byte
//! costs: 256 KiB take 0.84 of what 64 KiB take. It costs two descriptors.

use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::task::{Context, Poll, ready};

use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::copy::LARGE;

/// Bytes on their way that nobody has seen.
pub(super) struct Pipe {
    out: PipeReader,
    into: PipeWriter,
    inside: usize,
}

impl Pipe {
    /// An empty one.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub(super) fn new() -> io::Result<Self> {
        let (out, into) = io::pipe()?;
        // A user may have only so many pages in pipes (pipe(7)). Beyond that they are small, and work.
        let _ = fcntl_setpipe_size(&into, CAPACITY);
        Ok(Self { out, into, inside: 0 })
    }

    /// Takes what `from` has, as much as there is room for. 0 at its end. Must only be called when it is empty: the
    /// kernel says the same of a full pipe as of a silent socket.
    pub(super) fn read(&mut self, cx: &mut Context<'_>, from: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(cx))?;
            let moved = from
                .try_io(Interest::READABLE, || Ok(splice(from, None, &self.into, None, CAPACITY, flags())?));
            match moved {
                Err(error) if is_passing(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(n) => {
                    self.inside += n;
                    return Poll::Ready(Ok(n));
                }
            }
        }
    }

    /// Hands `to` what it takes of the contents.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(to.poll_write_ready(cx))?;
            let moved = to
                .try_io(Interest::WRITABLE, || Ok(splice(&self.out, None, to, None, self.inside, flags())?));
            match moved {
                Err(error) if is_passing(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(n) => {
                    self.inside = self.inside.saturating_sub(n);
                    return Poll::Ready(Ok(n));
                }
            }
        }
    }

    /// The contents, for whoever writes them by other means.
    ///
    /// # Errors
    /// None that the kernel is known to give.
    pub(super) fn take_back(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; std::mem::take(&mut self.inside)];
        // Never waits: that much is inside.
        self.out.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// Whether the kernel says that it will not splice these, rather than that something is wrong with them: a kind of
/// socket that cannot, or a filter of system calls.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported)
}

/// Nothing there yet, or a signal.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

const fn flags() -> SpliceFlags {
    SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE)
}

/// Asked for at once.
const CAPACITY: usize = LARGE;
