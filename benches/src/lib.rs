//! What it costs. Here are the worlds that are measured and what is done in them, so that every benchmark of one thing
//! measures the same thing, by whatever measure.

pub mod shop;
pub mod heads;
pub mod cases;
pub mod rig;
pub mod calls;
pub mod callgrind;
pub mod owner;
