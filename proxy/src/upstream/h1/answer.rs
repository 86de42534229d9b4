//! The body of an answer, which holds its connection for as long as it is read.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf, ReadHalf, WriteHalf};

use super::Connection;
use super::reading::Reading;
use super::writing::Writing;
use crate::gate::Wire;
use crate::message::Broken;
use crate::message::body::Source;

/// An answer, and the connection it comes on.
pub(super) struct Answer<F> {
    /// Until the connection goes back.
    line: Option<Line>,
    reading: Reading,
    /// Where the connection goes when the answer has ended; `None`: it ends too.
    back: Option<F>,
    /// How it broke off, while what came before goes out.
    broke: Option<io::Error>,
}

/// The connection of an answer.
pub(super) enum Line {
    /// All of it.
    Whole(Wire),
    /// What comes in on it. The rest of the request is still going out, and leaves its half here when it has gone.
    Shared(ReadHalf<Wire>, Rc<Cell<Option<WriteHalf<Wire>>>>),
}

impl Line {
    /// A connection on which a request is still going out.
    pub(super) fn shared(wire: Wire, writing: Box<Writing>) -> Self {
        let (read, mut write) = tokio::io::split(wire);
        let left = Rc::new(Cell::new(None));
        let leaves = Rc::clone(&left);
        tokio::task::spawn_local(async move {
            if writing.to_the_end(&mut write).await {
                leaves.set(Some(write));
            }
        });
        Self::Shared(read, left)
    }

    /// The connection, if nobody else uses it.
    fn whole(self) -> Option<Wire> {
        match self {
            Self::Whole(wire) => Some(wire),
            Self::Shared(read, left) => left.take().map(|write| read.unsplit(write)),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Whole(wire) => Pin::new(wire).poll_read(cx, into),
            Self::Shared(read, _) => Pin::new(read).poll_read(cx, into),
        }
    }
}

impl<F: FnOnce(Connection)> Answer<F> {
    /// What follows a head.
    pub(super) const fn new(line: Line, reading: Reading, back: Option<F>) -> Self {
        Self { line: Some(line), reading, back, broke: None }
    }

    /// The whole body, where it has come with the head.
    pub(super) fn at_once(&mut self) -> Option<Bytes> {
        let bytes = self.reading.at_once()?;
        self.ended();
        Some(bytes)
    }

    /// The connection goes back. Where more has come in than was asked for, it does not: whatever that is, it would be
    /// taken for the answer to the next request.
    fn ended(&mut self) {
        let wire = self.line.take().and_then(Line::whole);
        if let (Some(wire), Some(back), true) = (wire, self.back.take(), self.reading.is_spent()) {
            back(Connection::new(wire));
        }
    }
}

impl<F: FnOnce(Connection)> Source for Answer<F> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(error) = self.broke.take() {
            self.line = None;
            return Poll::Ready(Some(Err(error.into())));
        }
        let Some(line) = &mut self.line else { return Poll::Ready(None) };
        let frame = ready!(self.reading.poll_piece(line, cx));
        if self.reading.is_ended() {
            self.ended();
        }
        match frame {
            // Whoever passes it on in HTTP/2 resets its stream for this, and takes back what waits there to be written. So
            // that has a turn first: what the server has said is told.
            Some(Err(error)) => {
                self.broke = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            frame => Poll::Ready(frame.and_then(Result::ok).map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.reading.is_ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.reading.size_hint()
    }
}
