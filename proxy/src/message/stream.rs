//! The body of a response that comes on a stream of HTTP/2.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};

/// What comes on one stream.
#[derive(Debug)]
pub(crate) struct Stream {
    stream: RecvStream,
    /// Bytes that are still to come, where the head says so. The library holds the server to it (RFC 9113 §8.1.1).
    left: Option<u64>,
    /// Only trailers may follow.
    in_trailers: bool,
}

impl Stream {
    /// What follows a response's head.
    pub(crate) fn after(head: &HeaderMap, stream: RecvStream) -> Self {
        let left = head.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Self { stream, left, in_trailers: false }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        while !self.in_trailers {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // What has been taken may be sent again: whoever we pass it on to holds us back by not asking.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(self.ended_by(error)),
                None => self.in_trailers = true,
            }
        }
        match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(self.ended_by(error)),
        }
    }

    /// A server that has said all it has to say may reset the stream without error, so that the rest of the request is
    /// not sent (RFC 9113 §8.1).
    fn ended_by(&self, error: h2::Error) -> Option<Result<Frame<Bytes>, h2::Error>> {
        let is_whole = error.reason() == Some(Reason::NO_ERROR) && self.left.unwrap_or(0) == 0;
        if is_whole { None } else { Some(Err(error)) }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
