//! .
pub mod redirect;
pub mod original_dst;
pub mod way_in;
pub mod detect;
pub mod dns;
pub mod observe;
pub mod health;
