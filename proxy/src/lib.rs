//! .
pub mod redirect;
