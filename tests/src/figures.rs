//! The figures of the scorecard, told by the suites that measure them.
//!
//! A suite says what it has found by one line on standard output,
//!
//! ```text
//! scorecard: {"row":7,"ours":"255 escapes and 140 spellings, 0 bypasses","pass":true}
//! ```
//!
//! and `make scorecard` runs the suite and reads the line. A line, and not a file or a return value, because any
//! program can print one: a test of a crate that stands below this one (`weft-policy`) prints it with `println!`, a
//! script with `echo`. Everything else says [`report`]. The test runner keeps what a passing test prints; that is what
//! `--show-output` is for, and without it a suite looks as it always does.
//!
//! A row may have several lines, from several tests: it holds if all of them do and if the suite itself passed.

use serde::{Deserialize, Serialize};

/// What one suite found for one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// The row of the scorecard, 1 to 32.
    pub row: u8,
    /// What was found, with its unit: `312 vectors on 3 ways, 0 passed on`.
    pub ours: String,
    /// Whether it is what the row promises. The suite decides: it knows its goal.
    pub pass: bool,
}

/// Tells a figure to whoever runs the suite. Call it once what it says has been asserted, or with `pass: false` where
/// the suite itself is right to go on.
///
/// # Panics
/// Never: a figure is always JSON.
pub fn report(row: u8, ours: impl Into<String>, pass: bool) {
    let figure = Figure { row, ours: ours.into(), pass };
    let json = serde_json::to_string(&figure).expect("a number, a text and a truth value are JSON");
    println!("{MARK}{json}");
}

/// The figures in what a suite has printed. The mark may stand anywhere in a line, because a test runner with one
/// thread prints the name of the test before it.
#[must_use]
pub fn read(printed: &str) -> Vec<Figure> {
    let marked = printed.lines().filter_map(|line| line.split_once(MARK));
    marked.filter_map(|(_, json)| serde_json::from_str(json.trim()).ok()).collect()
}

/// What a line with a figure has in it.
pub const MARK: &str = "scorecard: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_in_whatever_a_suite_prints() {
        let printed = "running 2 tests\n\
                       test a_claim ... scorecard: {\"row\":7,\"ours\":\"0 of 395\",\"pass\":true}\nok\n\
                       scorecard: {\"row\":9,\"ours\":\"1 of 60 accepted\",\"pass\":false}\n\
                       scorecard: this is none\n";
        let expected = [
            Figure { row: 7, ours: "0 of 395".to_owned(), pass: true },
            Figure { row: 9, ours: "1 of 60 accepted".to_owned(), pass: false },
        ];
        assert_eq!(read(printed), expected);
    }
}
