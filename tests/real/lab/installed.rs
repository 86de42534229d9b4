//! What tests/real/install.sh has installed: programs of the distribution, and Python's modules in a folder of their own.

use std::path::{Path, PathBuf};

use weft_tests::program;

/// The Python that has the modules; `None` where they are not installed.
pub(crate) fn python() -> Option<PathBuf> {
    let of_home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/weft-real/venv"));
    let venv = std::env::var_os("WEFT_REAL_VENV").map(PathBuf::from).or_else(of_home)?;
    Some(venv.join("bin/python")).filter(|file| file.is_file())
}

/// Where one of the programs of this folder is, for a line of shell.
pub(crate) fn program_file(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("real/programs").join(name).display().to_string()
}

/// Whether a program is installed, or a module of Python (`python:grpc`); where it is not, says that `test` is skipped.
pub(super) fn is_there(need: &str, test: &str) -> bool {
    let Some(module) = need.strip_prefix("python:") else { return program::is_there(need, test) };
    let has = |python: PathBuf| {
        let mut command = program::command(&format!("{} -c", python.display()));
        command.arg(format!("import {module}"));
        command.output().is_ok_and(|output| output.status.success())
    };
    let found = python().is_some_and(has);
    if !found {
        println!("skipped: {test}: Python's {module} is not installed (tests/real/install.sh installs it)");
    }
    found
}
