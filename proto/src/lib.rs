//! What crosses the wire: `weft.v1` as generated from `weft/v1/*.proto`, and the border between it and the
//! types of `weft-policy`.
//!
//! Invariant: wire types stop here. [`decode`] checks once, so that a policy value cannot be invalid; what it
//! does not understand it rejects with the path of the field, and a security resource it does not understand
//! denies. `decode(encode(x)) == x`, and equal values give equal bytes.

/// The generated messages, clients and servers of `weft.v1`.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("weft.v1");
}

// What is said of resources.
mod field;
pub mod version;
pub mod name;
pub mod feature;
pub mod trust;
pub mod token;
pub mod value;

// Out and in.
pub mod encode;
pub mod decode;
pub mod patch;
pub mod held;

// One encoding for every stream.
pub mod shared;
pub mod codec;

// Between proxies.
pub mod hop;

#[cfg(test)]
mod arbitrary;

pub use field::Rejected;
