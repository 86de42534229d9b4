//! What is claimed of Weft, each claim a test: one file per area, one binary, so that it links once.
#![cfg(test)]

mod architecture;
mod security;
mod shop;

// Where requests go, and whether they may.
mod two_sidecars;
mod routes;
mod split;
mod authorization;
mod explain;

// What becomes of failures.
mod retries;
mod once;
mod half_close;
mod breaker;
mod timeouts;
mod health;
mod bad_input;
mod outage;
mod restart;
mod workers;
mod drain;

// How applications reach the mesh, and operators.
mod ways_in;
mod grpc;
mod dns;
mod passthrough;
mod bulk;
mod apply;
mod telemetry;
mod tracing;
mod tokens;
mod rotation;
mod resumption;
