//! The far side of both directions: connections that are opened, kept, shared, and the one exchange on them.

pub(crate) mod connect;
pub(crate) mod trusted;
mod h2;
pub(crate) mod pool;
pub(crate) mod send;
pub(crate) mod upgrade;
