//! A request on its way out: its head, and its body as the client sends it.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderValue, TRAILER};
use http::{HeaderMap, Request};
use http_body::{Body as _, Frame};
use tokio::io::AsyncWrite;

use super::head::{self, Framing};
use crate::message::{Body, Broken, Gathered};
use crate::upstream::means_something_by_no_body;

/// What is left of a request.
pub(super) struct Writing {
    body: Gathered,
    framing: Framing,
    /// Trailers that the head has announced: no other is sent.
    announced: Option<HeaderValue>,
    /// Written in this order: the head or the line before a chunk, its data, its end.
    before: BytesMut,
    data: Bytes,
    after: &'static [u8],
    /// The body has no more pieces.
    ended: bool,
    /// A byte has left, or a piece of the body was taken.
    begun: bool,
}

/// Why a request does not go on.
pub(super) enum Stopped {
    /// Its client broke off.
    Body(Broken),
    /// The server takes no more.
    Io(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Writing {
    /// `body` with the head of `request`.
    pub(super) fn new(request: &Request<Body>, body: Body) -> Self {
        let length = body.size_hint().exact();
        let ended = body.is_end_stream() || length == Some(0);
        let framing = match length {
            _ if ended => Framing::Sized(0),
            Some(length) => Framing::Sized(length),
            None => Framing::Chunked,
        };
        // "No content" is said where it was said to us, and where it means something (RFC 9110 §8.6).
        let says_nothing = framing == Framing::Sized(0)
            && !request.headers().contains_key(CONTENT_LENGTH)
            && !means_something_by_no_body(request.method());
        let announced =
            if framing == Framing::Chunked { request.headers().get(TRAILER).cloned() } else { None };
        let before = head::write(request, (!says_nothing).then_some(&framing));
        let body = Gathered::new(body);
        Self { body, framing, announced, before, data: Bytes::new(), after: b"", ended, begun: false }
    }

    /// The body, if nothing of the request has left.
    pub(super) fn untouched(&mut self) -> Option<Body> {
        (!self.begun).then(|| std::mem::replace(&mut self.body, Gathered::new(Body::empty())).into_body())
    }

    /// Writes what there is. Ready when all of it has gone.
    pub(super) fn poll<W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        wire: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Stopped>> {
        loop {
            // The first piece leaves with the head, where it is there.
            let waits = !self.ended
                && self.data.is_empty()
                && self.after.is_empty()
                && self.poll_piece(cx)?.is_pending();
            if self.is_written() {
                ready!(Pin::new(&mut *wire).poll_flush(cx))?;
                if self.ended {
                    return Poll::Ready(Ok(()));
                }
                if waits {
                    return Poll::Pending;
                }
                continue;
            }
            ready!(self.poll_write(wire, cx))?;
        }
    }

    /// Goes on by itself, once there is an answer. Whether all of it has gone.
    pub(super) async fn to_the_end<W: AsyncWrite + Unpin>(mut self: Box<Self>, wire: &mut W) -> bool {
        poll_fn(|cx| self.poll(wire, cx)).await.is_ok()
    }

    fn is_written(&self) -> bool {
        self.before.is_empty() && self.data.is_empty() && self.after.is_empty()
    }

    fn poll_write<W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        wire: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = Pin::new(wire);
        let written = if self.data.is_empty() && self.after.is_empty() {
            ready!(wire.poll_write(cx, &self.before))?
        } else {
            let slices = [IoSlice::new(&self.before), IoSlice::new(&self.data), IoSlice::new(self.after)];
            let empty = slices.iter().take_while(|slice| slice.is_empty()).count();
            ready!(wire.poll_write_vectored(cx, slices.get(empty..).unwrap_or_default()))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.begun = true;
        let mut written = written;
        let mut of = |length: usize| {
            let these = written.min(length);
            written -= these;
            these
        };
        let (before, data, after) = (of(self.before.len()), of(self.data.len()), of(self.after.len()));
        self.before.advance(before);
        self.data.advance(data);
        self.after = self.after.get(after..).unwrap_or_default();
        Poll::Ready(Ok(()))
    }

    /// Takes the next piece of the body.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Stopped> {
        let Poll::Ready(piece) = self.body.poll_frame(cx) else { return Ok(Poll::Pending) };
        self.begun = true;
        match piece.transpose().map_err(Stopped::Body)?.map(Frame::into_data) {
            None => self.end(None)?,
            Some(Ok(data)) => self.piece(data)?,
            Some(Err(frame)) => self.end(frame.into_trailers().ok().as_ref())?,
        }
        Ok(Poll::Ready(()))
    }

    fn piece(&mut self, data: Bytes) -> Result<(), Stopped> {
        self.ended = self.body.is_end_stream();
        match &mut self.framing {
            Framing::Sized(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or_else(not_as_announced)?;
                if self.ended && *left > 0 {
                    return Err(not_as_announced().into());
                }
            }
            Framing::Chunked => {
                let _ = write!(self.before, "{:x}\r\n", data.len());
                self.after = if self.ended { b"\r\n0\r\n\r\n" } else { b"\r\n" };
            }
        }
        self.data = data;
        Ok(())
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Stopped> {
        self.ended = true;
        match self.framing {
            Framing::Sized(0) => {}
            Framing::Sized(_) => return Err(not_as_announced().into()),
            Framing::Chunked => {
                self.before.put_slice(b"0\r\n");
                for (name, value) in trailers.into_iter().flatten() {
                    if head::are_listing(&self.announced, name.as_str()) {
                        head::write_field(&mut self.before, name, value);
                    }
                }
                self.before.put_slice(b"\r\n");
            }
        }
        Ok(())
    }
}

/// Whoever reads the connection on would take what follows for something else.
fn not_as_announced() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the request's body is not as long as its head says")
}
