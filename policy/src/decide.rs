//! The decision: what happens to a request, with the reason for each step.
//!
//! Outbound asks for route, backend and plan once ([`outbound`]), then for an endpoint once a try
//! ([`crate::endpoint::pick`]) and for the next try after each failure ([`crate::retry::next`]). Inbound asks
//! who may call ([`inbound`]). Nothing here allocates.
//!
//! Invariant: the same arguments give the same answer; `explain` calls these very functions.

use crate::authorize::Verdict;
use crate::deadline::Timeouts;
use crate::draw::Draw;
use crate::facts::Facts;
use crate::object::ServicePort;
use crate::refuse::Refusal;
use crate::retry::Retry;
use crate::route::filter::{Filter, Redirect};
use crate::route::{Backend, Route, Rule};
use crate::snapshot::{Port, Service, Snapshot, Traffic};

/// What a proxy does with a call of its own application.
#[derive(Clone, Debug)]
#[must_use]
pub enum Outbound<'s> {
    /// Send it on.
    Forward(Forward<'s>),
    /// Answer it with a redirect.
    Redirect {
        /// Where it fell.
        matched: Matched<'s>,
        /// To where.
        to: &'s Redirect,
    },
    /// Answer it with a refusal.
    Refuse {
        /// How.
        refusal: Refusal,
        /// The service it was for, where one is known.
        service: Option<&'s Service>,
        /// Where it fell, if it fell anywhere.
        matched: Option<Matched<'s>>,
    },
    /// It leads to no service of the mesh. Ask the control plane if it has not been asked, else pass it
    /// through to where it was going.
    Unknown,
}

/// The rule a request fell under.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'s> {
    /// The route object.
    pub route: &'s Route,
    /// Its rule.
    pub rule: &'s Rule,
    /// The rule's place in the route, from 0.
    pub rule_index: usize,
    /// Which of the rule's matches, from 0; `None`: the rule has none and takes everything.
    pub match_index: Option<usize>,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Forward<'s> {
    /// The frontend: what the application called.
    pub service: &'s Service,
    /// Its port.
    pub port: &'s Port,
    /// The rule; `None`: no routes apply, the service itself is the backend.
    pub matched: Option<Matched<'s>>,
    /// The backend of the rule that was drawn.
    pub backend: Option<&'s Backend>,
    /// Whose endpoints are asked.
    pub to: ServicePort,
    /// How the backend is sent to.
    pub traffic: &'s Traffic,
    /// The rule's, completed from the backend's.
    pub timeouts: Timeouts,
    /// The rule's, or the backend's.
    pub retry: &'s Retry,
}

impl<'s> Forward<'s> {
    /// Filters in the order in which they apply: the rule's, then the backend's (Gateway API
    /// `HTTPBackendRef.filters`).
    pub fn filters(&self) -> impl Iterator<Item = &'s Filter> + use<'s> {
        let of_rule = self.matched.map_or(&[][..], |matched| &matched.rule.filters);
        let of_backend = self.backend.map_or(&[][..], |backend| &backend.filters);
        of_rule.iter().chain(of_backend)
    }
}
