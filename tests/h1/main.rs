//! What a proxy must refuse on HTTP/1, byte for byte, and what it makes of the rest.
//!
//! The inputs are data: `vectors/requests` and `vectors/responses`, a format that people can read and extend
//! ([`corpus`] explains it). Both ends of every exchange are raw sockets of our own, so that "nothing was passed on"
//! is said of bytes and not of what some library made of them. What is passed on is then read by servers that others
//! wrote, and all of them must read it alike.
#![cfg(test)]

// The data.
mod corpus;

// The two ends: who sends, and who writes down what arrives.
mod client;
mod reading;
mod recorder;
mod lab;

// The claims.
mod requests;
mod responses;
mod blame;
mod differential;
mod slow;

// Servers that nobody here wrote.
mod backends;
