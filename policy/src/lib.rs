//! What the mesh decides: which route a request takes, who may call whom, when to try again, which endpoint
//! to ask. No I/O, no clock, no chance: the caller brings a [`Snapshot`](snapshot::Snapshot) of what it has
//! been told, a [`Live`](live::Live) of what it has learned, the [`Facts`](facts::Facts) of one request, the
//! time and a [`Draw`](draw::Draw), and gets an answer together with its reason.
//!
//! The proxy executes the answer, `meshctl explain` prints it, property tests ask for it by the million: one
//! function, so that they cannot disagree.
//!
//! The modules stand in the order in which a decision uses them: the words it is made of, what is known, then
//! the steps.

// Words.
pub mod identity;
pub mod object;
pub mod moment;
pub mod draw;

// What is known.
pub mod facts;
pub mod protocol;
pub mod health;
pub mod snapshot;
pub mod live;

// The steps of a decision.
pub mod canonical;
pub mod route;
pub mod authorize;
pub mod endpoint;
pub mod breaker;
pub mod retry;
pub mod deadline;
pub mod refuse;
mod window;

// The decision, and the same decision told.
pub mod decide;
pub mod explain;
