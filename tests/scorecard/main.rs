//! `make scorecard`: runs the suites that prove each row, reads their figures, and writes them down.
//!
//! A row is green if its commands ended well, told at least one figure, and all of their figures hold. What did not
//! run, ran too long or told nothing is `not reached`, and that is not green. Panics are looked for in everything that
//! any suite printed.
//!
//! Usage: `scorecard [ROW…]`: these rows, or all that do not take long. It writes `target/scorecard.json`, and their part of
//! `SCORECARD.md`: what stands there of other rows is their last result.

mod machine;
mod page;
mod rows;
mod suite;

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Serialize;
use weft_tests::figures::{self, Figure};

use rows::{ROWS, Row};
use suite::{Ended, Suite};

/// One row as it came out.
#[derive(Debug, Serialize)]
struct Told {
    row: u8,
    name: &'static str,
    goal: &'static str,
    ours: String,
    pass: bool,
    command: String,
    #[serde(skip)]
    has_run: bool,
}

fn main() -> ExitCode {
    let wanted: Vec<u8> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let rows: Vec<Row> = ROWS
        .into_iter()
        .filter(|row| if wanted.is_empty() { !row.is_long } else { wanted.contains(&row.number) })
        .collect();

    // What only tests run is soonest done; a run that is interrupted has written down what it had found.
    let mut commands: Vec<&str> = rows.iter().flat_map(|row| row.commands).copied().collect();
    commands.sort_by_key(|command| !command.starts_with("cargo"));
    let mut suites: BTreeMap<&str, Suite> = BTreeMap::new();
    let mut told = Vec::new();
    for command in commands {
        if suites.contains_key(command) {
            continue;
        }
        eprintln!("scorecard: {command}");
        let suite = Suite::run(command);
        page::keep(command, &suite.printed);
        suites.insert(command, suite);
        told = rows.iter().map(|row| tell(*row, &suites)).collect();
        if let Err(error) = page::write(&told) {
            eprintln!("scorecard: {error}");
            return ExitCode::from(2);
        }
    }

    print!("{}", page::table(&told));
    for panic in suites.values().flat_map(Suite::panics) {
        println!("panic: {panic}");
    }
    if told.iter().all(|told| told.pass) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the suites of a row amount to.
fn tell(row: Row, suites: &BTreeMap<&str, Suite>) -> Told {
    let mut parts: Vec<String> = Vec::new();
    let mut pass = !row.commands.is_empty();
    let has_run = pass && row.commands.iter().all(|command| suites.contains_key(command));
    if !pass {
        parts.push(format!("not reached: {}", row.lacks));
    }
    for command in row.commands {
        let Some(suite) = suites.get(command) else {
            parts.push(format!("not reached: it has not run ({command})"));
            pass = false;
            continue;
        };
        let figures: Vec<Figure> =
            figures::read(&suite.printed).into_iter().filter(|figure| figure.row == row.number).collect();
        let reached = suite.ended == Ended::Well && !figures.is_empty();
        pass &= reached && figures.iter().all(|figure| figure.pass);
        for figure in figures {
            if !parts.contains(&figure.ours) {
                parts.push(figure.ours);
            }
        }
        if !reached {
            let failed = suite.failed().iter().map(|test| format!(", {test}")).collect::<String>();
            parts.push(format!("not reached: {}{failed} ({command})", suite.ended.words()));
        }
    }
    if row.number == 13 {
        let panics = suites.values().flat_map(Suite::panics).count();
        parts.push(format!("{panics} panics in what {} suites printed", suites.len()));
        pass &= panics == 0;
    }
    let (ours, command) = (parts.join("; "), row.commands.join(" && "));
    Told { row: row.number, name: row.name, goal: row.goal, ours, pass, command, has_run }
}
