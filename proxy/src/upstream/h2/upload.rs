//! The body of a request on its way up a stream of HTTP/2.
//!
//! A client that breaks off is not told on here: how its stream is taken back depends on whether the server has answered.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};

use crate::message::{Body, Broken, Gathered};

/// Sends a body, piece by piece as the far end takes them. Ends when it has all been sent, or the far end wants no more
/// of it; with an error when it breaks off.
pub(super) struct Upload {
    body: Gathered,
    stream: SendStream<Bytes>,
    /// A piece that waits for room in the window.
    piece: Option<Bytes>,
}

impl Upload {
    pub(super) const fn new(body: Body, stream: SendStream<Bytes>) -> Self {
        Self { body: Gathered::new(body), stream, piece: None }
    }

    /// The stream, unfinished.
    pub(super) fn into_stream(self) -> SendStream<Bytes> {
        self.stream
    }

    /// Goes on by itself, once there is an answer. A client that breaks off then takes its stream back at once.
    pub(super) async fn to_the_end(mut self: Box<Self>) {
        if Pin::new(&mut self).await.is_err() {
            self.stream.send_reset(Reason::CANCEL);
        }
    }

    /// What goes wrong with the stream, whoever waits for the answer hears.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, h2::Error>> {
        // To be woken by it, too.
        if self.stream.poll_reset(cx)?.is_ready() {
            return Poll::Ready(Ok(Step::Done));
        }
        if self.piece.is_some() {
            while self.stream.capacity() == 0 {
                match ready!(self.stream.poll_capacity(cx)) {
                    Some(room) => _ = room?,
                    None => return Poll::Ready(Ok(Step::Done)),
                }
            }
        }
        // A window smaller than the piece does not matter: the library sends the rest when there is room.
        if let Some(piece) = self.piece.take() {
            let is_last = self.body.is_end_stream();
            self.stream.send_data(piece, is_last)?;
            if is_last {
                return Poll::Ready(Ok(Step::Done));
            }
        }
        match ready!(self.body.poll_frame(cx)) {
            None => {
                self.stream.send_data(Bytes::new(), true)?;
                return Poll::Ready(Ok(Step::Done));
            }
            Some(Err(error)) => return Poll::Ready(Ok(Step::Broken(error))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(piece) => {
                    // Asked for only once there is something to send: room kept for nothing is missed by others.
                    self.stream.reserve_capacity(piece.len());
                    self.piece = Some(piece);
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.stream.send_trailers(trailers)?;
                    }
                    return Poll::Ready(Ok(Step::Done));
                }
            },
        }
        Poll::Ready(Ok(Step::More))
    }
}

/// What came of one piece.
enum Step {
    More,
    Done,
    Broken(Broken),
}

impl Future for Upload {
    type Output = Result<(), Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            match ready!(self.poll_piece(cx)) {
                Ok(Step::More) => {}
                Ok(Step::Done) | Err(_) => return Poll::Ready(Ok(())),
                Ok(Step::Broken(error)) => return Poll::Ready(Err(error)),
            }
        }
    }
}
