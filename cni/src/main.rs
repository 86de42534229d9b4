//! `weft-cni`: the plugin that a container runtime runs for each pod. What it does is in [`weft_cni::plugin`].

use std::io::{self, Write};
use std::process::ExitCode;

use weft_cni::call::Call;
use weft_cni::{plugin, question};

fn main() -> ExitCode {
    let call = Call::read(|name| std::env::var(name).ok(), io::stdin().lock());
    // An answer that nobody understands is worse than one in an old version.
    let version = call.as_ref().map_or_else(|_| "1.0.0".to_owned(), |call| call.version().to_owned());
    let (said, code) = match call.and_then(|call| plugin::answer(&call, question::ask)) {
        Ok(said) => (said, ExitCode::SUCCESS),
        Err(failure) => (Some(failure.answer(&version)), ExitCode::FAILURE),
    };
    match said.map_or(Ok(()), |said| writeln!(io::stdout(), "{said}")) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
