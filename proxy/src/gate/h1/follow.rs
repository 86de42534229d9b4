//! Follows one direction of a connection from message to message: heads, bodies, what comes after them.
//!
//! Pure: bytes go in, and out comes how many of them may go by and what must happen then. So it can be fuzzed, and
//! tested in every cut of the bytes, without a socket.

use super::chunked::Chunked;
use super::head::{Asked, Body, Complete, Head};
use super::rule::Rule;

/// Where in a connection's bytes we are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follow {
    side: Side,
    place: Place,
    /// The request that is being read asks to leave HTTP.
    asks_for_tunnel: bool,
    /// Interim responses to the request under way.
    interim: u8,
}

/// Whose messages are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Requests of a client.
    Requests,
    /// Responses of a server.
    Responses,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Head(Head),
    Sized(u64),
    Chunked(Chunked),
    /// No rule is left to check: a response until its connection's end, or no HTTP any more.
    Free,
    /// A request that asked to leave HTTP has gone by: what its answer says decides what these bytes are.
    Held,
}

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// So many may go by.
    pub(super) pass: usize,
    /// And then?
    pub(super) then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// That was all of them.
    More,
    /// The rest is a head that is not complete: it is given again, with more behind it.
    Keep,
    /// The rest waits for [`Follow::answered`].
    Hold,
    /// The rest begins with a head that breaks a rule.
    Refuse(Rule),
    /// A body breaks a rule here, after its head has gone by.
    Break(Rule),
}

impl Follow {
    /// At the beginning of a connection.
    pub(super) const fn new(side: Side) -> Self {
        Self { side, place: Place::Head(Head::new(side)), asks_for_tunnel: false, interim: 0 }
    }

    /// Takes `bytes`, which begin where the last step left off. `asked` is what the next response answers; when it has
    /// come, nothing is asked any more. Of no use to [`Side::Requests`].
    pub(super) fn feed(&mut self, bytes: &[u8], asked: &mut Asked) -> Step {
        let mut pass = 0;
        loop {
            let rest = bytes.get(pass..).unwrap_or_default();
            match &mut self.place {
                Place::Free => return Step { pass: bytes.len(), then: Then::More },
                Place::Held if rest.is_empty() => return Step { pass, then: Then::More },
                Place::Held => return Step { pass, then: Then::Hold },
                _ if rest.is_empty() => return Step { pass, then: Then::More },
                // Whatever it will become: it is no answer to the next request.
                Place::Head(_) if self.side == Side::Responses && *asked == Asked::Nothing => {
                    return Step { pass, then: Then::Refuse(Rule::Unasked) };
                }
                Place::Head(head) => match head.look(rest, *asked) {
                    Ok(None) => return Step { pass, then: Then::Keep },
                    Err(rule) => return Step { pass, then: Then::Refuse(rule) },
                    Ok(Some(complete)) => {
                        pass += complete.length;
                        if !complete.interim {
                            *asked = Asked::Nothing;
                        }
                        if let Err(rule) = self.complete(complete) {
                            return Step { pass, then: Then::Break(rule) };
                        }
                    }
                },
                Place::Sized(left) => {
                    let take = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    *left -= take as u64;
                    pass += take;
                    if *left == 0 {
                        self.next();
                    }
                }
                Place::Chunked(body) => {
                    let (taken, result) = body.feed(rest);
                    pass += taken;
                    if let Err(rule) = result {
                        return Step { pass, then: Then::Break(rule) };
                    }
                    if body.is_done() {
                        self.next();
                    }
                }
            }
        }
    }

    fn complete(&mut self, head: Complete) -> Result<(), Rule> {
        if head.interim {
            self.interim += 1;
            self.place = Place::Head(Head::new(self.side));
            return if self.interim > MAX_INTERIM { Err(Rule::TooManyInterim) } else { Ok(()) };
        }
        self.interim = 0;
        self.asks_for_tunnel = head.tunnel;
        match head.body {
            Body::Sized(0) => self.next(),
            Body::Sized(left) => self.place = Place::Sized(left),
            Body::Chunked => self.place = Place::Chunked(Chunked::new()),
            Body::UntilClose => self.place = Place::Free,
        }
        Ok(())
    }

    /// A message has ended.
    fn next(&mut self) {
        self.place = match (self.side, std::mem::take(&mut self.asks_for_tunnel)) {
            (Side::Requests, true) => Place::Held,
            (Side::Responses, true) => Place::Free,
            (_, false) => Place::Head(Head::new(self.side)),
        };
    }

    /// The request whose tunnel was in question is answered.
    pub(super) const fn answered(&mut self, tunnel: bool) {
        self.place = if tunnel { Place::Free } else { Place::Head(Head::new(self.side)) };
    }

    /// Whether the next byte's meaning depends on an answer.
    pub(super) const fn is_held(&self) -> bool {
        matches!(self.place, Place::Held)
    }

    /// Whether the next byte begins a message, or continues a head.
    pub(super) const fn is_between_messages(&self) -> bool {
        matches!(self.place, Place::Head(_))
    }

    /// Whether a request's body is under way.
    pub(super) const fn is_in_body(&self) -> bool {
        matches!(self.place, Place::Sized(_) | Place::Chunked(_))
    }
}

impl Head {
    const fn new(side: Side) -> Self {
        match side {
            Side::Requests => Self::of_request(),
            Side::Responses => Self::of_response(),
        }
    }
}

/// An application has no use for more than a few: 100, 103, 102 now and then.
const MAX_INTERIM: u8 = 16;

#[cfg(test)]
mod tests;
