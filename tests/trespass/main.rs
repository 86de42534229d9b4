//! Ways around the mesh, tried one by one: a path that is spelled so that a policy does not know it, a header by which
//! a client poses as somebody, a request that a proxy is to send to itself or to its own admin listener.
//!
//! Every suite says in a figure how much it has tried.
#![cfg(test)]

// What a path can be spelled like, and who may read it how.
mod spellings;
mod servers;
mod policies;
mod paths;

// The same and more in a running mesh.
mod lab;
mod witness;
mod carried;

// Where a proxy can be made to go.
mod insider;
mod reach;
mod backdoor;
mod admin;

// Who a client says it is.
mod posing;
mod values;
