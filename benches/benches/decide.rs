//! What a decision takes: a route among many, a caller among many rules, an endpoint among many; and what it takes to
//! read what the control plane says.
//!
//! `cargo bench -p weft-benches --bench decide`. What it costs in instructions: `make decisions`.

use criterion::{Criterion, criterion_group, criterion_main};
use weft_benches::cases;

fn every_case(c: &mut Criterion) {
    for (name, make) in cases::all() {
        let mut case = make(name.clone());
        c.bench_function(&name, |b| b.iter(|| case.carry_out()));
    }
}

criterion_group!(decide, every_case);
criterion_main!(decide);
