//! Nothing here lasts: leaves are renewed by their holders ([`renew_in`], [`retry_in`]), swapped without
//! dropping a connection ([`Identity`]), and roots are replaced while every proxy keeps talking
//! ([`RootRotation`]).

mod schedule;
mod identity;
mod root;

pub use identity::{Generation, Identity};
pub use root::{BadRotation, LiveProxy, Phase, RootRotation, RotationPem, RotationRefused, RotationStepPem};
pub use schedule::{enrol_again_in, renew_at, renew_in, retry_in};
