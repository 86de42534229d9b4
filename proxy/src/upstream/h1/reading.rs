//! An answer on its way in: from its bytes to a head and pieces of a body, by the rules of the gate.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::head;
use crate::gate::h2::LARGE_FRAME;
use crate::gate::{Asked, Chunked, Framing, Head, Rule};

/// Where in an answer's bytes we are.
pub(super) struct Reading {
    /// Read and not understood yet, or not passed on.
    buffer: BytesMut,
    place: Place,
    asked: Asked,
    /// Interim answers so far.
    interim: u8,
    /// How much is read at once: more, the more comes.
    room: usize,
    /// The last look filled all the room there was: there is more.
    was_full: bool,
    /// How the connection broke, while what came before that is passed on.
    broke: Option<io::Error>,
}

enum Place {
    Head(Head),
    Sized(u64),
    Chunked(Chunked, Vec<u8>),
    UntilClose,
    Ended,
}

/// A head that is complete, and what it means for its connection.
pub(super) struct Heard {
    pub(super) head: Response<()>,
    /// The connection can carry another request after the body.
    pub(super) keeps: bool,
    /// It is no HTTP any more.
    pub(super) tunnel: bool,
}

impl Reading {
    /// Before the first byte of an answer.
    pub(super) fn answer_to(asked: Asked) -> Self {
        let place = Place::Head(Head::of_response(asked));
        Self { buffer: BytesMut::new(), place, asked, interim: 0, room: HEAD, was_full: false, broke: None }
    }

    /// The head of the answer; interim ones before it are nobody's business but the hop's.
    ///
    /// # Errors
    /// Of kind `InvalidData` around the [`Rule`] that is broken; `UnexpectedEof`; what the connection says.
    pub(super) fn poll_head<R: AsyncRead + Unpin + ?Sized>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Heard>> {
        loop {
            if !self.buffer.is_empty()
                && let Some(heard) = self.look()?
            {
                return Poll::Ready(Ok(heard));
            }
            if ready!(self.poll_more(io, cx))? == 0 {
                return Poll::Ready(Err(too_early()));
            }
        }
    }

    fn look(&mut self) -> Result<Option<Heard>, Rule> {
        while let Place::Head(head) = &mut self.place {
            let Some(complete) = head.look(&self.buffer)? else { return Ok(None) };
            let bytes = self.buffer.split_to(complete.length).freeze();
            if complete.interim {
                self.interim += 1;
                if self.interim > MAX_INTERIM {
                    return Err(Rule::TooManyInterim);
                }
                self.place = Place::Head(Head::of_response(self.asked));
                continue;
            }
            let head = head::take_apart(&bytes, complete.fields, complete.http_11).ok_or(Rule::StatusLine)?;
            self.place = match complete.body {
                Framing::Sized(0) => Place::Ended,
                Framing::Sized(left) => Place::Sized(left),
                Framing::Chunked => Place::Chunked(Chunked::new(), Vec::new()),
                Framing::UntilClose => Place::UntilClose,
            };
            let keeps = complete.body != Framing::UntilClose && head::keeps(&head);
            return Ok(Some(Heard { head, keeps, tunnel: complete.tunnel }));
        }
        Ok(None)
    }

    /// The next piece of the body.
    ///
    /// # Errors
    /// As [`poll_head`](Self::poll_head).
    pub(super) fn poll_piece<R: AsyncRead + Unpin + ?Sized>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if self.is_ended() {
                return Poll::Ready(None);
            }
            // One large piece costs whoever passes it on less than a few small ones.
            if self.was_full && self.buffer.len() < self.worth_waiting_for() {
                match self.poll_more(io, cx) {
                    Poll::Ready(Ok(1..)) => continue,
                    Poll::Ready(Err(error)) => self.broke = Some(error),
                    // The end is heard again.
                    Poll::Ready(Ok(0)) | Poll::Pending => {}
                }
                self.was_full = false;
            }
            match self.piece() {
                Err(rule) => return Poll::Ready(Some(Err(rule.into()))),
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) if self.is_ended() => return Poll::Ready(None),
                Ok(None) => {}
            }
            match ready!(self.poll_more(io, cx)) {
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(0) if matches!(self.place, Place::UntilClose) => self.place = Place::Ended,
                Ok(0) => return Poll::Ready(Some(Err(too_early()))),
                Ok(_) => {}
            }
        }
    }

    /// What of the body lies in the buffer.
    fn piece(&mut self) -> Result<Option<Frame<Bytes>>, Rule> {
        let here = self.buffer.len();
        match &mut self.place {
            _ if here == 0 => Ok(None),
            Place::Head(_) | Place::Ended => Ok(None),
            Place::UntilClose => Ok(Some(Frame::data(self.buffer.split().freeze()))),
            Place::Sized(left) => {
                let take = usize::try_from(*left).map_or(here, |left| left.min(here));
                *left -= take as u64;
                if *left == 0 {
                    self.place = Place::Ended;
                }
                Ok(Some(Frame::data(self.buffer.split_to(take).freeze())))
            }
            Place::Chunked(body, section) => loop {
                let in_trailers = body.is_in_trailers();
                let (piece, verdict) = body.piece(&self.buffer);
                let framing = self.buffer.split_to(piece.framing);
                if in_trailers {
                    section.extend_from_slice(&framing);
                }
                if piece.data > 0 {
                    return Ok(Some(Frame::data(self.buffer.split_to(piece.data).freeze())));
                }
                verdict?;
                if body.is_done() {
                    let section = Bytes::from(std::mem::take(section));
                    self.place = Place::Ended;
                    let trailers = head::trailers(&section).ok_or(Rule::Trailer)?;
                    return Ok(Some(trailers).filter(|trailers| !trailers.is_empty()).map(Frame::trailers));
                }
                if piece.framing == 0 {
                    return Ok(None);
                }
            },
        }
    }

    fn poll_more<R: AsyncRead + Unpin + ?Sized>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.broke.take() {
            return Poll::Ready(Err(error));
        }
        let wanted = match self.place {
            Place::Sized(left) => {
                let left = left.saturating_sub(self.buffer.len() as u64);
                usize::try_from(left).map_or(MOST, |left| left.clamp(LEAST, MOST))
            }
            _ => self.room,
        };
        if self.buffer.capacity() - self.buffer.len() < LEAST {
            self.buffer.reserve(wanted);
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let read = ready!(pin!(io.read_buf(&mut self.buffer)).poll(cx))?;
        self.was_full = read == room;
        if self.was_full {
            self.room = (self.room * 2).min(MOST);
        }
        Poll::Ready(Ok(read))
    }

    /// Up to how much a piece is made larger by what is there to be read. Chunks stay as the server makes them.
    fn worth_waiting_for(&self) -> usize {
        match self.place {
            Place::Sized(left) => usize::try_from(left).map_or(LARGE, |left| left.min(LARGE)),
            Place::UntilClose => LARGE,
            _ => 0,
        }
    }

    /// The whole body, where it has come with the head.
    pub(super) fn at_once(&mut self) -> Option<Bytes> {
        match self.place {
            Place::Ended => Some(Bytes::new()),
            Place::Sized(left) if left <= self.buffer.len() as u64 => {
                self.place = Place::Ended;
                usize::try_from(left).ok().map(|left| self.buffer.split_to(left).freeze())
            }
            _ => None,
        }
    }

    pub(super) const fn is_ended(&self) -> bool {
        matches!(self.place, Place::Ended)
    }

    /// Whether nothing has come after the answer's end.
    pub(super) fn is_spent(&self) -> bool {
        self.is_ended() && self.buffer.is_empty()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self.place {
            Place::Sized(left) => SizeHint::with_exact(left),
            Place::Ended => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }

    /// What has been read and is none of HTTP's.
    pub(super) fn into_rest(self) -> BytesMut {
        self.buffer
    }
}

/// The server closed before its answer was complete.
fn too_early() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the server closed the connection before its answer was complete",
    )
}

/// A head and a small body fit.
const HEAD: usize = 4 << 10;
/// It is not worth asking the kernel for less.
const LEAST: usize = 512;
/// A piece that is worth passing on without waiting for more.
const LARGE: usize = 32 << 10;
/// Read at once of a large body: what goes on in one frame.
const MOST: usize = LARGE_FRAME as usize;
/// An application has no use for more than a few: 100, 103, 102 now and then.
const MAX_INTERIM: u8 = 16;
