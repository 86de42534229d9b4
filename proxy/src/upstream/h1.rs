//! HTTP/1.1 towards a server: one request at a time, written and read by the task of whoever asks.
//!
//! A connection has no task and no buffer of its own: while nobody uses it, it is a socket and nothing else. What comes
//! back is read by the rules of the gate, and by the same look that finds where it ends: nothing that another parser might
//! read otherwise gets by.

mod answer;
mod head;
mod reading;
mod writing;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use http::{Method, Request, Response};
use tokio::io::{AsyncRead, ReadBuf};

use crate::gate::{Asked, Wire};
use crate::message::{Body, Broken};
use crate::prefixed::Prefixed;
use answer::{Answer, Line};
use reading::{Heard, Reading};
use writing::{Stopped, Writing};

/// A connection that can carry a request.
pub(crate) struct Connection {
    wire: Wire,
}

/// A connection that is no HTTP any more: the server has agreed to leave it.
pub(crate) type Tunnel = Prefixed<Wire>;

/// Why there is no answer.
pub(crate) enum Unanswered {
    /// No byte of the request has left.
    Unsent(Box<Request<Body>>),
    /// The connection, or the answer on it, broke: a rule of the gate lies behind the error where it was no HTTP.
    Failed(io::Error),
    /// The client did not finish the request.
    BrokenOff(Broken),
}

impl Connection {
    /// HTTP/1.1 on `wire`.
    pub(crate) const fn new(wire: Wire) -> Self {
        Self { wire }
    }

    /// Whether nothing comes in. A server that says something without being asked, or closes, is not to be asked again.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(&mut self.wire).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Sends `request` and waits for the head of its answer. The connection comes `back` when it can carry another
    /// request; otherwise it ends with the answer's body, or is a tunnel.
    pub(crate) async fn send(
        self,
        request: Box<Request<Body>>,
        back: impl FnOnce(Self) + 'static,
    ) -> Result<(Response<Body>, Option<Tunnel>), Unanswered> {
        let mut asking = Asking::new(self.wire, request);
        let heard = poll_fn(|cx| asking.poll(cx)).await?;
        let Asking { wire, reading, writing, .. } = asking;
        let Heard { head, keeps, tunnel } = heard;
        if tunnel {
            return Ok((
                head.map(|()| Body::empty()),
                Some(Prefixed::new(reading.into_rest().freeze(), wire)),
            ));
        }
        // What is left of the request goes on by itself: the server may want it all before it says more, and the client
        // may send it all before it reads on.
        let line = match writing {
            None => Line::Whole(wire),
            Some(writing) => Line::shared(wire, writing),
        };
        let mut answer = Answer::new(line, reading, keeps.then_some(back));
        let body = match answer.at_once() {
            Some(bytes) => Body::full(bytes),
            None => Body::read(Box::new(answer)),
        };
        Ok((head.map(|()| body), None))
    }
}

/// One request that is being asked.
struct Asking {
    wire: Wire,
    reading: Reading,
    writing: Option<Box<Writing>>,
    /// Its head, until all of it has gone: should nothing leave, it is given back.
    request: Option<Box<Request<Body>>>,
    /// Nothing more can be written. The server may have answered before it closed.
    deaf: Option<io::Error>,
}

impl Asking {
    fn new(wire: Wire, mut request: Box<Request<Body>>) -> Self {
        let body = std::mem::replace(request.body_mut(), Body::empty());
        let asked = match *request.method() {
            Method::HEAD => Asked::Head,
            Method::CONNECT => Asked::Connect,
            _ => Asked::Other,
        };
        let writing = Box::new(Writing::new(&request, body));
        Self {
            wire,
            reading: Reading::answer_to(asked),
            writing: Some(writing),
            request: Some(request),
            deaf: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Heard, Unanswered>> {
        if let Some(writing) = self.writing.as_mut().filter(|_| self.deaf.is_none()) {
            match writing.poll(&mut self.wire, cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => (self.writing, self.request) = (None, None),
                Poll::Ready(Err(Stopped::Body(error))) => {
                    return Poll::Ready(Err(Unanswered::BrokenOff(error)));
                }
                Poll::Ready(Err(Stopped::Io(error))) => {
                    if let Some(body) = writing.untouched()
                        && let Some(mut request) = self.request.take()
                    {
                        *request.body_mut() = body;
                        return Poll::Ready(Err(Unanswered::Unsent(request)));
                    }
                    self.deaf = Some(error);
                }
            }
        }
        let heard = ready!(self.reading.poll_head(&mut self.wire, cx));
        Poll::Ready(match (heard, self.deaf.take()) {
            (heard, None) => heard.map_err(Unanswered::Failed),
            (Err(_), Some(error)) => Err(Unanswered::Failed(error)),
            (Ok(heard), Some(_)) => {
                self.writing = None; // whatever is left of it reaches nobody
                Ok(Heard { keeps: false, ..heard })
            }
        })
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
