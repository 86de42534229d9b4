//! What breaks under a mesh at work, with the promise for each: numbers for the scorecard's rows about faults.
//!
//! Sidecars are processes here where a process is what breaks. What takes long is short in `make test`; the whole of it is
//! a `make` target of its own, which sets an environment variable.
#![cfg(test)]

// What every promise is about: calls that go on, and who counts them.
mod load;

// Sidecars that go and come.
mod sigterm;
mod versions;
mod alone;
mod descriptors;
mod memory;
mod clocks;

mod soak;

// Servers that do not keep up.
mod overload;

// What a person writes, and the authority.
mod poison;
mod roots;
