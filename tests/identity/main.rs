//! Everybody who may not be let in: bad certificates, bad handshakes, bad signing requests and bad tokens, at every
//! door of a running mesh. Each is refused, under its own reason, and says nothing to any application.
#![cfg(test)]

// Who means no good, and what he has.
mod der;
mod forge;
mod hello;
mod present;
mod bad;
mod counters;

// The doors.
mod inbound;
mod outbound;
mod control_plane;
mod denial;
mod resumed;
mod server_denied;

// The authority.
mod enrolment;
mod requests;
mod tokens;
mod log;

// The port itself.
mod rough;
