//! The scorecard as a table for people and as a list for programs. It is made of the last result of each row, which are
//! kept in a file of the repository: rows that take hours are run by themselves, now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::rows::ROWS;
use crate::{Told, machine};

/// What a row amounted to when it last ran.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Last {
    ours: String,
    pass: bool,
    when: String,
    commit: String,
    machine: String,
}

/// The rows, one a line, cells divided by `|`.
pub(crate) fn table(told: &[Told]) -> String {
    let last = |row: &Told| Last { ours: row.ours.clone(), pass: row.pass, ..Last::nothing(row.row) };
    lines(&told.iter().map(|row| (row.row, last(row))).collect())
}

fn lines(last: &BTreeMap<u8, Last>) -> String {
    let mut page = String::from(
        "| # | what | goal | ours | | measured | others | proved by |\n|--|--|--|--|--|--|--|--|\n",
    );
    for (number, last) in last {
        let Some(row) = ROWS.iter().find(|row| row.number == *number) else { continue };
        let mark = if last.pass { "green" } else { "**not green**" };
        let measured = format!("{} {}", last.when, last.commit);
        let cells = [row.name, row.goal, &last.ours, mark, measured.trim(), row.peers];
        let by =
            if row.commands.is_empty() { String::new() } else { format!("`{}`", row.commands.join(" && ")) };
        writeln!(page, "| {number} | {} | {by} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
            .expect("writing to a String cannot fail");
    }
    page
}

impl Last {
    fn nothing(number: u8) -> Self {
        let lacks = ROWS.iter().find(|row| row.number == number).map_or("", |row| row.lacks);
        let ours = if lacks.is_empty() { "not reached".to_owned() } else { format!("not reached: {lacks}") };
        Self { ours, pass: false, when: String::new(), commit: String::new(), machine: String::new() }
    }
}

/// Keeps what a suite has printed in `target/scorecard/`, for whoever wants to know more than its figures.
pub(crate) fn keep(command: &str, printed: &str) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/scorecard"));
    let name: String = command.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let kept = fs::create_dir_all(folder).and_then(|()| fs::write(folder.join(name + ".log"), printed));
    if let Err(error) = kept {
        eprintln!("scorecard: {}: {error}", folder.display());
    }
}

/// Writes `target/scorecard.json`, the last results, and `SCORECARD.md`, which is made of them.
pub(crate) fn write(told: &[Told]) -> io::Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    fs::create_dir_all(root.join("target"))?;
    fs::write(root.join("target/scorecard.json"), serde_json::to_string_pretty(told)? + "\n")?;
    let mut last = last()?;
    for row in told.iter().filter(|row| row.has_run) {
        let kept = Last {
            ours: row.ours.clone(),
            pass: row.pass,
            when: machine::date(),
            commit: machine::commit(),
            machine: machine::words(),
        };
        last.insert(row.row, kept);
    }
    fs::write(file(), serde_json::to_string_pretty(&last)? + "\n")?;
    let machines: BTreeSet<&str> = last.values().map(|last| last.machine.as_str()).collect();
    let machines = machines.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("; ");
    let all: BTreeMap<u8, Last> = ROWS
        .iter()
        .map(|row| (row.number, last.get(&row.number).cloned().unwrap_or_else(|| Last::nothing(row.number))))
        .collect();
    let green = all.values().filter(|row| row.pass).count();
    let page = format!(
        "# Scorecard: hostile input and faults\n\n{green} of {} rows are green. Written by `make scorecard`, which runs what \
         takes minutes; `make scorecard ROWS=17` runs a row that takes longer. Measured on: {machines}. Debug profile where \
         the row does not say otherwise.\n\n\
         A row is green if the commands beside it ended well and every figure that they told holds. What did not \
         run, or told nothing, is `not reached` and not green. Figures of others are of one machine, with their \
         usual settings and nothing hardened, or what they say themselves.\n\n{}",
        all.len(),
        lines(&all)
    );
    fs::write(root.join("SCORECARD.md"), page)
}

/// The last results, of rows that have ever run.
fn last() -> io::Result<BTreeMap<u8, Last>> {
    match fs::read(file()) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

fn file() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scorecard/last.json")).to_owned()
}
