//! Follows what a client says from request to request: heads, bodies, what comes after them.
//!
//! Pure: bytes go in, and out comes how many of them may go by and what must happen then. So it can be fuzzed, and
//! tested in every cut of the bytes, without a socket.

use super::chunked::Chunked;
use super::head::{Body, Complete, Head};
use super::rule::Rule;

/// Where in a connection's bytes we are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follow {
    place: Place,
    /// The request that is being read asks to leave HTTP.
    asks_for_tunnel: bool,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Head(Head),
    Sized(u64),
    Chunked(Chunked),
    /// It is no HTTP any more: no rule is left to check.
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
    pub(super) const fn new() -> Self {
        Self { place: Place::Head(Head::of_request()), asks_for_tunnel: false }
    }

    /// Takes `bytes`, which begin where the last step left off.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Step {
        let mut pass = 0;
        loop {
            let rest = bytes.get(pass..).unwrap_or_default();
            match &mut self.place {
                Place::Free => return Step { pass: bytes.len(), then: Then::More },
                Place::Held if rest.is_empty() => return Step { pass, then: Then::More },
                Place::Held => return Step { pass, then: Then::Hold },
                _ if rest.is_empty() => return Step { pass, then: Then::More },
                Place::Head(head) => match head.look(rest) {
                    Ok(None) => return Step { pass, then: Then::Keep },
                    Err(rule) => return Step { pass, then: Then::Refuse(rule) },
                    Ok(Some(complete)) => {
                        pass += complete.length;
                        self.complete(complete);
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

    fn complete(&mut self, head: Complete) {
        self.asks_for_tunnel = head.tunnel;
        match head.body {
            Body::Sized(0) => self.next(),
            Body::Sized(left) => self.place = Place::Sized(left),
            Body::Chunked => self.place = Place::Chunked(Chunked::new()),
            // Of requests there is none.
            Body::UntilClose => self.place = Place::Free,
        }
    }

    /// A request has ended.
    fn next(&mut self) {
        let tunnel = std::mem::take(&mut self.asks_for_tunnel);
        self.place = if tunnel { Place::Held } else { Place::Head(Head::of_request()) };
    }

    /// The request whose tunnel was in question is answered.
    pub(super) const fn answered(&mut self, tunnel: bool) {
        self.place = if tunnel { Place::Free } else { Place::Head(Head::of_request()) };
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

#[cfg(test)]
mod tests;
