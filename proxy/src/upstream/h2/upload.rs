//! The body of a request on its way up a stream of HTTP/2.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use http_body::Body as _;

use super::reason;
use crate::message::Body;

/// Sends a body, piece by piece as the far end takes them. Ends when it has all been sent, when the far end wants no
/// more of it, or when it breaks off: then the stream is reset.
pub(super) struct Upload {
    body: Body,
    stream: SendStream<Bytes>,
    /// A piece that waits for room in the window.
    piece: Option<Bytes>,
}

impl Upload {
    pub(super) const fn new(body: Body, stream: SendStream<Bytes>) -> Self {
        Self { body, stream, piece: None }
    }

    /// The stream, unfinished.
    pub(super) fn into_stream(self) -> SendStream<Bytes> {
        self.stream
    }

    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            // To be woken by it, too.
            if self.stream.poll_reset(cx)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            if self.piece.is_some() {
                while self.stream.capacity() == 0 {
                    match ready!(self.stream.poll_capacity(cx)) {
                        Some(room) => _ = room?,
                        None => return Poll::Ready(Ok(())),
                    }
                }
            }
            // A window smaller than the piece does not matter: the library sends the rest when there is room.
            if let Some(piece) = self.piece.take() {
                let is_last = self.body.is_end_stream();
                self.stream.send_data(piece, is_last)?;
                if is_last {
                    return Poll::Ready(Ok(()));
                }
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => {
                    self.stream.send_data(Bytes::new(), true)?;
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => {
                    self.stream.send_reset(reason(&error));
                    return Poll::Ready(Ok(()));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) if piece.is_empty() && !self.body.is_end_stream() => {}
                    Ok(piece) => {
                        if !piece.is_empty() {
                            // Asked for only once there is something to send: room kept for nothing is missed by others.
                            self.stream.reserve_capacity(piece.len());
                            self.piece = Some(piece);
                        } else {
                            self.stream.send_data(piece, true)?;
                            return Poll::Ready(Ok(()));
                        }
                    }
                    Err(frame) => {
                        // Reserved and not used: given back.
                        self.stream.reserve_capacity(0);
                        if let Ok(trailers) = frame.into_trailers() {
                            self.stream.send_trailers(trailers)?;
                        }
                        return Poll::Ready(Ok(()));
                    }
                },
            }
        }
    }
}

impl Future for Upload {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // What goes wrong with the stream, whoever waits for the answer hears.
        self.poll_all(cx).map(|_| ())
    }
}
