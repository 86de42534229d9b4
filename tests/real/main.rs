//! Programs that nobody here wrote, carried by the mesh: by nftables over IPv4 and IPv6 between hosts that are network
//! namespaces, with real `weft-proxy` and `weft-control-plane` processes, and by the explicit ways in.
//!
//! `make test-real` installs them where it may and says in its last lines what was skipped.
#![cfg(test)]

mod lab;

// The ways themselves.
mod explicit;
mod transparent;

// One program, or what several have in common, each.
mod http;
mod waiting;
mod bodies;
mod grpc;
mod websocket;
mod redis;
mod postgres;
mod server_first;

// What is told of all that, and what holds when the rules are gone.
mod tracing;
mod flushed;
