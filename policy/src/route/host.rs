//! Host names of routes: exact, or a wildcard for one or more leading labels (Gateway API `Hostname`).

use std::sync::Arc;

/// A route's host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostMatch {
    /// `api.example.com`, lower case.
    Exact(Arc<str>),
    /// `*.example.com` kept as `.example.com`; does not match `example.com`.
    Suffix(Arc<str>),
}
