//! One request on one connection, and what it means when there is no response.

use std::rc::Rc;

use h2::Reason;
use http::{Request, Response};

use super::h2::{Held as HeldH2, Unanswered};
use super::pool::{Connection, Far, Pool, Sender};
use crate::gate::Rule;
use crate::message::{Body, Broken};

/// A response, and what happens to the connection when its body has ended.
pub(crate) struct Sent {
    /// As it came.
    pub(crate) response: Response<Body>,
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
    H2 { _place: HeldH2 },
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
        source: Broken,
    },
    /// What came back was not HTTP.
    NotHttp(Broken),
}

/// Sends `request` and waits for the response head.
pub(crate) async fn send(
    pool: &Rc<Pool>,
    sender: Sender,
    request: Box<Request<Body>>,
) -> Result<Sent, SendFailure> {
    let (response, held) = match sender {
        Sender::H1 { mut connection, far, reused } => match connection.send(request).await {
            Ok(response) => (response.map(Body::incoming), Held::H1 { connection, far }),
            Err(mut error) => {
                return Err(match error.take_message() {
                    Some(request) => SendFailure::Unsent(Box::new(request)),
                    None => of_h1(error.into_error(), reused),
                });
            }
        },
        Sender::H2(lane) => match lane.send(request).await {
            Ok((response, _place)) => (response, Held::H2 { _place }),
            Err(Unanswered::Unsent(request)) => return Err(SendFailure::Unsent(request)),
            Err(Unanswered::Failed(error)) => return Err(of_h2(error)),
            Err(Unanswered::BrokenOff(source)) => return Err(SendFailure::Reset { reused: true, source }),
        },
    };
    Ok(Sent { response, lease: Lease { pool: Rc::clone(pool), held: Some(held) } })
}

fn of_h1(error: hyper::Error, reused: bool) -> SendFailure {
    if error.is_parse() || Rule::behind(&error).is_some() {
        return SendFailure::NotHttp(error.into());
    }
    SendFailure::Reset { reused, source: error.into() }
}

/// RFC 9113 §6.8: a stream above the last one that GOAWAY names was not looked at either. The library ends just those with
/// the peer's GOAWAY; streams below it end with the connection.
fn of_h2(error: h2::Error) -> SendFailure {
    if error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM)) {
        return SendFailure::RefusedStream;
    }
    SendFailure::Reset { reused: true, source: error.into() }
}
