//! HTTP/2 as peers really send it: frames written by hand, byte by byte, to a real sidecar before a real application.
//!
//! No HTTP/2 library stands on the client's side: it would refuse to say most of what is said here. The cases are
//! data; [`wire`] writes and reads frames, [`lab`] starts what they are sent to.
#![cfg(test)]

// What is said, and to whom.
mod wire;
mod client;
mod lab;
mod recorder;
mod machine;

// The claims.
mod conformance;
mod downgrade;
mod floods;
mod outside;
