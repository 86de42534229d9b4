//! Nothing here lasts: leaves are renewed by their holders ([`schedule`]), swapped without dropping a
//! connection ([`Identity`]), and roots are replaced while every proxy keeps talking ([`RootRotation`]).

mod identity;
mod root;
pub mod schedule;

pub use identity::{Generation, Identity};
pub use root::{BadRotation, LiveProxy, Phase, RootRotation, RotationPem, RotationRefused, RotationStepPem};
