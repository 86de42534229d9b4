//! .
pub mod redirect;
pub mod original_dst;
