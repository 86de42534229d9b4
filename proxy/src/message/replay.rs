//! A request body that is kept while it is sent, so that it can be sent again.
//!
//! Bounded: past 64 KiB nothing more is kept and the request can be tried only once. The first try pays no
//! wait for it: bytes go out as they come in.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::broken::Broken;

/// What is kept of one request's body. The request holds it; each try gets a [`Replay`] of it.
pub(crate) struct Kept(Rc<RefCell<Store>>);

struct Store {
    source: Incoming,
    chunks: Vec<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
    ended: bool,
    /// Some of it went by without being kept.
    lost: bool,
    /// Which try reads from the source now; an older try that still lives reads nothing.
    reader: u32,
}

impl Kept {
    /// Begins keeping.
    pub(crate) fn new(source: Incoming) -> Self {
        let ended = source.is_end_stream();
        Self(Rc::new(RefCell::new(Store {
            source,
            chunks: Vec::new(),
            bytes: 0,
            trailers: None,
            ended,
            lost: false,
            reader: 0,
        })))
    }

    /// Whether all that has gone by so far can be sent again.
    pub(crate) fn is_replayable(&self) -> bool {
        !self.0.borrow().lost
    }

    /// The body for the next try, from its first byte.
    pub(crate) fn replay(&self) -> Replay {
        let mut store = self.0.borrow_mut();
        store.reader += 1;
        Replay { store: Rc::clone(&self.0), reader: store.reader, next: 0, trailers_sent: false }
    }
}

/// One try's view of a kept body.
pub(crate) struct Replay {
    store: Rc<RefCell<Store>>,
    reader: u32,
    next: usize,
    trailers_sent: bool,
}

impl Replay {
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let store = &mut *self.store.borrow_mut();
        if store.reader != self.reader {
            return Poll::Ready(None);
        }
        if let Some(chunk) = store.chunks.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
        }
        if store.ended {
            if let (false, Some(trailers)) = (self.trailers_sent, &store.trailers) {
                self.trailers_sent = true;
                return Poll::Ready(Some(Ok(Frame::trailers(trailers.clone()))));
            }
            return Poll::Ready(None);
        }
        let Some(frame) = ready!(Pin::new(&mut store.source).poll_frame(cx)) else {
            store.ended = true;
            return Poll::Ready(None);
        };
        let frame = frame.inspect_err(|_| store.lost = true)?;
        if let Some(data) = frame.data_ref() {
            if store.lost || store.bytes + data.len() > KEPT {
                store.lost = true;
                store.chunks = Vec::new();
                self.next = 0;
            } else {
                store.bytes += data.len();
                store.chunks.push(data.clone());
                self.next += 1;
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            store.ended = true;
            store.trailers = Some(trailers.clone());
            self.trailers_sent = true;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let store = self.store.borrow();
        let all_sent = self.next >= store.chunks.len();
        all_sent
            && (store.reader != self.reader
                || (store.ended && (self.trailers_sent || store.trailers.is_none()))
                || store.source.is_end_stream())
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let store = self.store.borrow();
        let kept: u64 = store.chunks.iter().skip(self.next).map(|chunk| chunk.len() as u64).sum();
        let mut hint = store.source.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + kept);
        }
        hint.set_lower(hint.lower() + kept);
        hint
    }
}

/// The most that is kept of one body.
const KEPT: usize = 64 << 10;
