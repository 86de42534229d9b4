//! The scorecard as a table for people and as a list for programs.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use crate::{Told, machine};

/// The rows, one a line, cells divided by `|`.
pub(crate) fn table(told: &[Told]) -> String {
    let mut page =
        String::from("| # | what | goal | ours | | others | proved by |\n|--|--|--|--|--|--|--|\n");
    for row in told {
        let mark = if row.pass { "green" } else { "**not green**" };
        let cells = [row.name, row.goal, &row.ours, mark, row.peers].map(|cell| cell.replace('|', "\\|"));
        writeln!(page, "| {} | {} | `{}` |", row.row, cells.join(" | "), row.command)
            .expect("writing to a String cannot fail");
    }
    page
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

/// Writes `target/scorecard.json`, and, if `all` rows were asked for, `SCORECARD.md`.
pub(crate) fn write(told: &[Told], all: bool) -> io::Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    fs::create_dir_all(root.join("target"))?;
    fs::write(root.join("target/scorecard.json"), serde_json::to_string_pretty(told)? + "\n")?;
    if all {
        let green = told.iter().filter(|row| row.pass).count();
        let page = format!(
            "# Scorecard: hostile input\n\n{green} of {} rows are green. Written by `make scorecard` on {}.\n\n\
             A row is green if the commands beside it ended well and every figure that they told holds. What did not \
             run, or told nothing, is `not reached` and not green. Figures of others are of one machine, with their \
             usual settings and nothing hardened, or what they say themselves.\n\n{}",
            told.len(),
            machine::words(),
            table(told)
        );
        fs::write(root.join("SCORECARD.md"), page)?;
    }
    Ok(())
}
