//! HTTP messages as they pass through: heads edited in place, bodies streamed.
//!
//! Everything an outsider may write into a head that a proxy or an application would believe is dealt with
//! here: fields of one hop only, identity fields, the authority, the path.

pub(crate) mod body;
mod broken;
pub mod fields;
mod gather;
pub(crate) mod replay;
mod spoken;
pub(crate) mod stream;
pub mod target;
pub(crate) mod text;

pub(crate) use body::Body;
pub(crate) use broken::Broken;
pub(crate) use gather::Gathered;
pub use spoken::Http;
