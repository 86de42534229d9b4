//! One request on one connection, and what it means when there is no response.

use std::rc::Rc;

use ::h2::Reason;
use http::{Request, Response};

use super::h1::{self, Tunnel};
use super::h2;
use super::pool::{Pool, Sender};
use crate::gate::Rule;
use crate::message::{Body, Broken};

/// A response, and what happens to the connection when its body has ended.
pub(crate) struct Sent {
    /// As it came.
    pub(crate) response: Response<Body>,
    /// What is held of the connection while the body is under way.
    pub(crate) lease: Lease,
}

/// What is held of a connection until the response on it has ended. One of HTTP/1.1 is held by the response's body.
pub(crate) enum Lease {
    /// Nothing.
    Nothing,
    /// A place on a connection of HTTP/2.
    Place {
        /// Until it is dropped.
        _held: h2::Held,
    },
    /// A connection that is no HTTP any more.
    Tunnel(Box<Tunnel>),
}

impl Lease {
    /// Takes the connection, where the server has agreed that it is no HTTP any more.
    pub(crate) fn tunnel(&mut self) -> Option<Box<Tunnel>> {
        match std::mem::replace(self, Self::Nothing) {
            Self::Tunnel(tunnel) => Some(tunnel),
            other => {
                *self = other;
                None
            }
        }
    }
}

/// Why there is no response.
pub(crate) enum SendFailure {
    /// No byte of the request has left: it can be sent again whatever it is.
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
    match sender {
        Sender::H1 { connection, far, reused } => {
            let pool = Rc::clone(pool);
            let sent = connection.send(request, move |connection| pool.give_back(connection, far)).await;
            match sent {
                Ok((response, tunnel)) => {
                    let lease = tunnel.map_or(Lease::Nothing, |tunnel| Lease::Tunnel(Box::new(tunnel)));
                    Ok(Sent { response, lease })
                }
                Err(h1::Unanswered::Unsent(request)) => Err(SendFailure::Unsent(request)),
                Err(h1::Unanswered::Failed(error)) if Rule::behind(&error).is_some() => {
                    Err(SendFailure::NotHttp(error.into()))
                }
                Err(h1::Unanswered::Failed(error)) => {
                    Err(SendFailure::Reset { reused, source: error.into() })
                }
                Err(h1::Unanswered::BrokenOff(source)) => Err(SendFailure::Reset { reused, source }),
            }
        }
        Sender::H2(lane) => match lane.send(request).await {
            Ok((response, place)) => Ok(Sent { response, lease: Lease::Place { _held: place } }),
            Err(h2::Unanswered::Unsent(request)) => Err(SendFailure::Unsent(request)),
            Err(h2::Unanswered::Failed(error)) => Err(of_h2(error)),
            Err(h2::Unanswered::BrokenOff(source)) => Err(SendFailure::Reset { reused: true, source }),
        },
    }
}

/// RFC 9113 §6.8: a stream above the last one that GOAWAY names was not looked at either. The library ends just those with
/// the peer's GOAWAY; streams below it end with the connection.
fn of_h2(error: ::h2::Error) -> SendFailure {
    if error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM)) {
        return SendFailure::RefusedStream;
    }
    SendFailure::Reset { reused: true, source: error.into() }
}
