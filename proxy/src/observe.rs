//! What the proxy tells about itself: numbers, a line per request, and spans.
//!
//! None of it may delay a request. Numbers are atomics that the caller already holds; a line and a span go through a
//! bounded channel to another runtime, and what does not fit is dropped and counted.

pub mod metrics;
pub mod access_log;
pub mod trace;
pub mod export;
pub mod panics;
