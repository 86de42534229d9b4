//! The path of a request, from the socket it arrives on to the socket it leaves by.
//!
//! A connection is accepted, handed to a worker, asked where it was going and looked at for what it speaks;
//! then it is `inbound` (to our application) or `outbound` (to somebody else's). What happens to a request is
//! decided in `weft-policy`, from a snapshot that `discovery` keeps new; nothing here decides.
//!
//! The modules stand in the order of that path, then what it stands on, then what runs beside it.

#![forbid(unsafe_code)]

pub mod config;
mod start_error;
pub use start_error::StartError;
mod runtime;
pub use runtime::Proxy;

// The path.
pub mod redirect;
mod interception;
mod accept;
mod descriptors;
mod memory;
mod worker;
pub mod original_dst;
pub mod way_in;
mod prefixed;
pub mod detect;
mod gate;
mod inbound;
mod outbound;
mod upstream;
mod relay;

// What it stands on.
pub mod message;
mod refuse;
mod exchange;
mod opaque;
mod clock;
mod keyed;
mod shared;
mod learned;
mod telemetry;

// What runs beside it.
pub mod control;
mod discovery;
mod identity;
mod state_dir;
pub mod dns;
mod names;
pub mod observe;
pub mod health;
mod askers;
pub mod kubelet;
mod admin;
pub mod drain;
