//! What it costs. Criterion benchmarks live in `benches/`; here are the worlds they measure, so that every
//! benchmark of one thing measures the same thing.

pub mod shop;
pub mod callgrind;
