//! The one body type: whatever came in, whatever is said ourselves, and what is being kept for a retry; with
//! somebody to tell when it has ended.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::broken::Broken;
use super::replay::Replay;
use super::stream::Stream;

/// A body on its way through.
pub(crate) struct Body {
    kind: Kind,
    watcher: Option<Box<dyn Watcher>>,
    bytes: u64,
}

enum Kind {
    Empty,
    Full(Bytes),
    Incoming(Incoming),
    Read(Box<dyn Source>),
    Stream(Stream),
    Replay(Replay),
}

/// What is read piece by piece, whatever from.
pub(crate) trait Source {
    /// As [`http_body::Body::poll_frame`].
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>>;

    /// As [`http_body::Body::is_end_stream`].
    fn is_end_stream(&self) -> bool;

    /// As [`http_body::Body::size_hint`].
    fn size_hint(&self) -> SizeHint;
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All of it went by.
    Complete,
    /// The sender broke off.
    Broken,
    /// The receiver lost interest.
    Abandoned,
}

/// Who wants to know that a body has ended.
pub(crate) trait Watcher {
    /// Called before `ended` where the sender broke off: what it did wrong, if it was that.
    fn broke(&mut self, _error: &Broken) {}

    /// Called once. `trailers` are those of the body, if it had any.
    fn ended(self: Box<Self>, how: Ended, bytes: u64, trailers: Option<&HeaderMap>);
}

impl Body {
    /// Nothing.
    pub(crate) const fn empty() -> Self {
        Self { kind: Kind::Empty, watcher: None, bytes: 0 }
    }

    /// Bytes at hand.
    pub(crate) fn full(bytes: Bytes) -> Self {
        let kind = if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) };
        Self { kind, watcher: None, bytes: 0 }
    }

    /// What a peer sends.
    pub(crate) const fn incoming(incoming: Incoming) -> Self {
        Self { kind: Kind::Incoming(incoming), watcher: None, bytes: 0 }
    }

    /// What a server sends on a connection of HTTP/1.
    pub(crate) fn read(source: Box<dyn Source>) -> Self {
        Self { kind: Kind::Read(source), watcher: None, bytes: 0 }
    }

    /// What a server sends on a stream of HTTP/2.
    pub(crate) const fn stream(stream: Stream) -> Self {
        Self { kind: Kind::Stream(stream), watcher: None, bytes: 0 }
    }

    /// What a peer sends, kept in part for another try.
    pub(crate) const fn replay(replay: Replay) -> Self {
        Self { kind: Kind::Replay(replay), watcher: None, bytes: 0 }
    }

    /// Tells `watcher` when it has ended.
    pub(crate) fn watched(mut self, watcher: Box<dyn Watcher>) -> Self {
        self.watcher = Some(watcher);
        // A body that has no frames is never polled: its end is now.
        if http_body::Body::is_end_stream(&self) {
            self.end(Ended::Complete, None);
        }
        self
    }

    fn end(&mut self, how: Ended, trailers: Option<&HeaderMap>) {
        if let Some(watcher) = self.watcher.take() {
            watcher.ended(how, self.bytes, trailers);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = match &mut self.kind {
            Kind::Empty => None,
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Some(Ok(Frame::data(bytes)))
            }
            Kind::Incoming(incoming) => {
                ready!(Pin::new(incoming).poll_frame(cx)).map(|frame| frame.map_err(Broken::from))
            }
            Kind::Read(source) => ready!(source.poll_frame(cx)),
            Kind::Stream(stream) => ready!(stream.poll_frame(cx)).map(|frame| frame.map_err(Broken::from)),
            Kind::Replay(replay) => ready!(replay.poll_frame(cx)),
        };
        let frame = frame.and_then(|frame| frame.map(with_honest_trailers).transpose());
        match &frame {
            None => self.end(Ended::Complete, None),
            Some(Err(error)) => {
                if let Some(watcher) = &mut self.watcher {
                    watcher.broke(error);
                }
                self.end(Ended::Broken, None);
            }
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.bytes += data.len() as u64;
                    // The last frame of a body with a known length is never followed by another poll.
                    if self.watcher.is_some() && self.is_end_stream() {
                        self.end(Ended::Complete, None);
                    }
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.end(Ended::Complete, Some(trailers));
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Incoming(incoming) => incoming.is_end_stream(),
            Kind::Read(source) => source.is_end_stream(),
            Kind::Stream(stream) => stream.is_end_stream(),
            Kind::Replay(replay) => replay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Incoming(incoming) => incoming.size_hint(),
            Kind::Read(source) => source.size_hint(),
            Kind::Stream(stream) => stream.size_hint(),
            Kind::Replay(replay) => replay.size_hint(),
        }
    }
}

/// The frame, less what trailers may not say. Trailers that say nothing are none: hyper, told to send some that it
/// then may not send, never ends the message.
fn with_honest_trailers(frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
    match frame.into_trailers() {
        Err(data) => Some(data),
        Ok(mut trailers) => {
            super::fields::strip_trailers(&mut trailers);
            (!trailers.is_empty()).then(|| Frame::trailers(trailers))
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.end(Ended::Abandoned, None);
    }
}
