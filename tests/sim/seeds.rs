//! How many seeds, which ones, and what is said of them.
//!
//! `SEEDS` (50) is how many of each scenario; `SEED` is one alone, which is then told step by step.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use weft_tests::{figures, panics};

use crate::mesh;
use crate::path::Failing;
use crate::scenarios::SCENARIOS;
use crate::trace::Trace;
use crate::{going, path};

/// A run of what is decided beside the network.
type Run = fn(u64) -> Result<Trace, String>;

/// Scenarios without a network.
pub(crate) const PATHS: &[(&str, Run)] = &[
    ("retry_storms", |seed| path::run(Failing::Storm, seed)),
    ("one_server_fails", |seed| path::run(Failing::One, seed)),
    ("servers_that_fail_now_and_then", |seed| path::run(Failing::Some, seed)),
    ("servers_that_are_said_to_be_sick", |seed| path::run(Failing::Told, seed)),
    ("going_by_a_deadline", going::run),
];

/// What all scenarios together have come to.
static TOLD: Mutex<Told> = Mutex::new(Told { scenarios: 0, repeated: 0 });

struct Told {
    scenarios: usize,
    repeated: u64,
}

/// Runs the seeds of a scenario, and some of them twice.
pub(crate) fn hold(name: &str, of: usize) {
    panics::watch();
    let number = |variable: &str| env::var(variable).ok().and_then(|value| value.parse::<u64>().ok());
    let (alone, count) = (number("SEED"), number("SEEDS").unwrap_or(50));
    let seeds = alone.map_or(0..count, |seed| seed..seed + 1);
    let twice = if count > 50 { count } else { count.div_ceil(25) };
    let mut repeated = 0;
    for seed in seeds {
        let first = once(name, seed);
        if alone.is_some() || seed < twice {
            let second = once(name, seed);
            assert_eq!(
                first, second,
                "seed {seed} of {name} gave two runs; see them: make sim SCENARIO={name} SEED={seed}"
            );
            repeated += 1;
        }
    }
    panics::none();
    let mut told = TOLD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    told.scenarios += 1;
    told.repeated += repeated;
    if told.scenarios == of && alone.is_none() {
        let Told { scenarios, repeated } = *told;
        let ours = format!(
            "{scenarios} scenarios, {count} seeds each, 0 violations, replay equal {repeated} of {repeated}"
        );
        figures::report(15, ours, true);
    }
}

/// One run, as a hash of its decisions.
fn once(name: &str, seed: u64) -> u64 {
    let run = || match SCENARIOS.iter().find(|scenario| scenario.name == name) {
        Some(scenario) => {
            mesh::run(scenario, seed).map(|outcome| outcome.hash).map_err(|violation| violation.to_string())
        }
        None => {
            let (_, run) = PATHS.iter().find(|(path, _)| *path == name).expect("a scenario of that name");
            run(seed).map(|trace| trace.hash()).map_err(|what| {
                format!("{name}, seed {seed}: {what}\nreplay it: make sim SCENARIO={name} SEED={seed}")
            })
        }
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(hash)) => hash,
        Ok(Err(violation)) => panic!("{violation}"),
        Err(_) => panic!("{name}, seed {seed} panicked\nreplay it: make sim SCENARIO={name} SEED={seed}"),
    }
}
