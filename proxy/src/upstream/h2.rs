//! HTTP/2 towards a server: many requests on one connection, each driven by the task of whoever asks.
//!
//! The connection itself has one task, [`drive`]; a request is written into it and its answer read out of it with no
//! other task and no channel in between. What is given up before it was answered leaves through [`departures`]: servers
//! take many early resets for an attack, and others share the connection.

mod departures;
mod drive;
mod upload;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{Builder, ResponseFuture, SendRequest};
use http::header::CONTENT_LENGTH;
use http::{Request, Response};
use http_body::Body as _;

use crate::gate::h2::{Guard, Limits, STREAM_WINDOW};
use crate::gate::{MAX_HEAD, Wire};
use crate::message::stream::Stream;
use crate::message::{Body, Broken};
use crate::upstream::means_something_by_no_body;
use departures::Departures;
use drive::Drive;
use upload::Upload;

/// A connection that can carry requests, and what is known of it.
#[derive(Clone)]
pub(crate) struct Channel {
    sender: SendRequest<Bytes>,
    link: Rc<Link>,
}

/// What the task of a connection shares with those who use it.
struct Link {
    departures: RefCell<Departures<Gone>>,
    /// Requests under way, and given up but not taken back yet.
    under_way: Cell<usize>,
    /// The far end is to be asked whether it is there.
    is_doubted: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

/// A request that was given up before it was answered. To drop it is to reset its stream.
struct Gone {
    _response: ResponseFuture,
    _upload: Option<SendStream<Bytes>>,
    _place: Place,
}

/// A place among those that the far end allows.
struct Place(Rc<Link>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
    }
}

/// Why there is no answer.
pub(crate) enum Unanswered {
    /// The connection takes no more requests; this one has not left.
    Unsent(Box<Request<Body>>),
    /// The stream ended with this.
    Failed(h2::Error),
    /// The client did not finish the request.
    BrokenOff(Broken),
}

impl Channel {
    /// Speaks first, and leaves the connection to a task of its own.
    ///
    /// # Errors
    /// The connection was lost meanwhile.
    pub(crate) async fn open(wire: Wire) -> Result<Self, h2::Error> {
        let (sender, connection) = Builder::new()
            .enable_push(false)
            .initial_max_send_streams(STREAMS)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(Limits::SERVER.in_flight)
            .max_header_list_size(MAX_HEAD as u32)
            .max_frame_size(Limits::SERVER.max_frame)
            .max_send_buffer_size(STREAM_WINDOW as usize)
            // Answers that cross our resets are remembered as such, and those that come later still are nobody's fault:
            // by default the 1024th in a connection's life would end it for all.
            .max_concurrent_reset_streams(RESETS_REMEMBERED)
            .max_local_error_reset_streams(None)
            .handshake::<_, Bytes>(Guard::of_server(wire, &Limits::SERVER))
            .await?;
        let link = Rc::new(Link {
            departures: RefCell::new(Departures::new()),
            under_way: Cell::new(0),
            is_doubted: Cell::new(false),
            task: RefCell::new(None),
        });
        tokio::task::spawn_local(Drive::new(connection, Rc::clone(&link)));
        Ok(Self { sender, link })
    }

    /// Whether it takes no more requests.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.sender.poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    /// Whether nothing is under way on it.
    pub(crate) fn is_idle(&self) -> bool {
        self.link.under_way.get() == 0
    }

    /// Whether one more request finds room at once.
    pub(crate) fn has_room(&self) -> bool {
        let under_way = self.link.under_way.get();
        // Few servers allow less than that, and to ask costs a lock.
        under_way < FEW || under_way < STREAMS.min(self.sender.current_max_send_streams())
    }

    /// Asks the far end whether it is there, if somebody waits for it. Called now and then; where the last question is
    /// still unanswered, the connection is given up.
    pub(crate) fn doubt(&self) {
        if !self.is_idle() {
            self.link.is_doubted.set(true);
            self.link.wake();
        }
    }

    /// Takes a place for one request. From then on it counts.
    pub(crate) fn place(&self) -> Lane {
        self.link.under_way.set(self.link.under_way.get() + 1);
        Lane { sender: self.sender.clone(), place: Place(Rc::clone(&self.link)) }
    }
}

impl Link {
    fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    fn leave(&self, gone: Gone) {
        let at_once = self.departures.borrow_mut().leave(gone);
        match at_once {
            Some(gone) => drop(gone),
            None => self.wake(),
        }
    }
}

/// Room for one request on a connection.
pub(crate) struct Lane {
    sender: SendRequest<Bytes>,
    place: Place,
}

/// Keeps the place of a request whose answer is still coming.
pub(crate) struct Held {
    _place: Option<Place>,
}

impl Lane {
    /// Sends `request` and waits for the head of its answer.
    pub(crate) async fn send(
        self,
        request: Box<Request<Body>>,
    ) -> Result<(Response<Body>, Held), Unanswered> {
        let Self { mut sender, place } = self;
        let mut cx = Context::from_waker(Waker::noop());
        if !matches!(sender.poll_ready(&mut cx), Poll::Ready(Ok(()))) {
            return Err(Unanswered::Unsent(request));
        }
        let (mut head, body) = request.into_parts();
        if let Some(length) = body.size_hint().exact()
            && (length != 0 || means_something_by_no_body(&head.method))
            && !head.headers.contains_key(CONTENT_LENGTH)
        {
            head.headers.insert(CONTENT_LENGTH, length.into());
        }
        let is_whole = body.is_end_stream();
        let (response, stream) =
            sender.send_request(Request::from_parts(head, ()), is_whole).map_err(Unanswered::Failed)?;
        let mut asking = Asking { response: Some(response), upload: None, place: Some(place) };
        if !is_whole {
            asking.upload = Some(Box::new(Upload::new(body, stream)));
        }
        let answered = poll_fn(|cx| asking.poll(cx)).await;
        let (head, body) = match answered {
            Ok(answer) => answer.into_parts(),
            // What was broken off is taken back as what was given up.
            Err(because) => return Err(because),
        };
        let place = asking.answered();
        let body = Body::stream(Stream::after(&head.headers, body));
        Ok((Response::from_parts(head, body), Held { _place: place }))
    }
}

/// One request that is being asked.
struct Asking {
    response: Option<ResponseFuture>,
    upload: Option<Box<Upload>>,
    place: Option<Place>,
}

impl Asking {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<h2::RecvStream>, Unanswered>> {
        if let Some(upload) = &mut self.upload
            && let Poll::Ready(sent) = Pin::new(upload).poll(cx)
        {
            if let Err(error) = sent {
                return Poll::Ready(Err(Unanswered::BrokenOff(error)));
            }
            self.upload = None;
        }
        let Some(response) = &mut self.response else { return Poll::Pending };
        let answer = ready!(Pin::new(response).poll(cx));
        self.response = None;
        Poll::Ready(answer.map_err(Unanswered::Failed))
    }
}

impl Asking {
    /// The answer has begun. What is left of the request goes on by itself: the far end may want it all before it says
    /// more, and the client may send it all before it reads on.
    fn answered(mut self) -> Option<Place> {
        if let Some(upload) = self.upload.take() {
            tokio::task::spawn_local(upload.to_the_end());
        }
        let place = self.place.take();
        if let Some(Place(link)) = &place {
            link.departures.borrow_mut().heard();
        }
        place
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let (Some(response), Some(place)) = (self.response.take(), self.place.take()) {
            let link = Rc::clone(&place.0);
            let upload = self.upload.take().map(|upload| upload.into_stream());
            link.leave(Gone { _response: response, _upload: upload, _place: place });
        }
    }
}

/// Requests on one connection before another is opened: below the 250 that a sidecar allows, so that none queues.
const STREAMS: usize = 200;
/// Requests that every server allows (RFC 9113 §6.5.2 recommends no less than 100).
const FEW: usize = 90;
/// Streams that we have reset and to which an answer may still be on its way, for a second each.
const RESETS_REMEMBERED: usize = 1024;

#[cfg(test)]
mod tests;
