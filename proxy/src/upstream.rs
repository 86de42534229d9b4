//! The far side of both directions: connections that are opened, kept, shared, and the one exchange on them.

pub(crate) mod connect;
pub(crate) mod trusted;
pub(crate) mod h1;
mod h2;
pub(crate) mod pool;
pub(crate) mod send;
pub(crate) mod upgrade;

use http::Method;

/// Methods for which "no content" is said by a length of nothing (RFC 9110 §8.6).
fn means_something_by_no_body(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::CONNECT | Method::OPTIONS)
}
