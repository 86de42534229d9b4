//! From a table to the proxies that asked: who is interested in what changed ([`hub`]), what each has asked for
//! ([`interest`]), holds and has confirmed ([`session`]), and when a change goes out ([`pace`]).

pub mod interest;
pub mod transaction;
pub mod frames;
pub mod session;
pub mod hub;
pub mod pace;
