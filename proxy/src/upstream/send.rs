//! One request on one connection, and what it means when there is no response.

use std::rc::Rc;

use http::{Request, Response};
use hyper::body::Incoming;

use super::pool::{Connection, Far, Pool, Sender};
use crate::gate::Rule;
use crate::message::Body;

/// A response, and what happens to the connection when its body has ended.
pub(crate) struct Sent {
    /// As it came.
    pub(crate) response: Response<Incoming>,
    /// The connection, while the body is under way.
    pub(crate) lease: Lease,
}

/// Holds a connection until the response on it has ended.
pub(crate) struct Lease {
    pool: Rc<Pool>,
    held: Option<Held>,
}

enum Held {
    H1 { connection: Connection, far: Far },
    H2 { _under_way: Rc<()> },
}

impl Lease {
    /// The response has ended as it should: the connection can carry another request.
    pub(crate) fn finished(mut self) {
        if let Some(Held::H1 { connection, far }) = self.held.take() {
            self.pool.give_back(connection, far);
        }
    }
}

/// Why there is no response.
pub(crate) enum SendFailure {
    /// No byte of the request has left: it can be sent again whatever it is. hyper gives it back.
    Unsent(Box<Request<Body>>),
    /// The peer says that it has not looked at it (RFC 9113 §8.7).
    RefusedStream,
    /// The connection was lost before a response head; the request may have been processed. On a connection
    /// that had been used before, the peer may also just have closed it for being idle.
    Reset {
        /// Whether it had been used before.
        reused: bool,
        /// What the connection said.
        source: hyper::Error,
    },
    /// What came back was not HTTP.
    NotHttp(hyper::Error),
}

/// Sends `request` and waits for the response head.
pub(crate) async fn send(
    pool: &Rc<Pool>,
    sender: Sender,
    request: Box<Request<Body>>,
) -> Result<Sent, SendFailure> {
    let (held, result, reused) = match sender {
        Sender::H1 { mut connection, far, reused } => {
            let result = connection.send(request).await;
            (Held::H1 { connection, far }, result, reused)
        }
        Sender::H2 { mut sender, _under_way } => {
            let result = sender.try_send_request(*request).await;
            (Held::H2 { _under_way }, result, true)
        }
    };
    match result {
        Ok(response) => {
            let lease = Lease { pool: Rc::clone(pool), held: Some(held) };
            Ok(Sent { response, lease })
        }
        Err(mut error) => Err(match error.take_message() {
            Some(request) => SendFailure::Unsent(Box::new(request)),
            None => classify(error.into_error(), reused),
        }),
    }
}

fn classify(error: hyper::Error, reused: bool) -> SendFailure {
    let h2 = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<h2::Error>());
    // RFC 9113 §6.8: a stream above the last one that GOAWAY names was not looked at either. The library ends just those
    // with the peer's GOAWAY; streams below it end with the connection.
    let unprocessed = |h2: &h2::Error| h2.is_go_away() || h2.reason() == Some(h2::Reason::REFUSED_STREAM);
    if h2.is_some_and(|h2| h2.is_remote() && unprocessed(h2)) {
        return SendFailure::RefusedStream;
    }
    if error.is_parse() || Rule::behind(&error).is_some() {
        return SendFailure::NotHttp(error);
    }
    SendFailure::Reset { reused, source: error }
}
