//! `meshctl completion SHELL`: what a shell needs to complete our command line.

use clap::Command;
use clap_complete::Shell;

use crate::outcome::Outcome;
use crate::output::write_out;

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completion {
    /// Which shell.
    shell: Shell,
}

impl Completion {
    /// Writes the script to standard output.
    pub(crate) fn run(self, mut command: Command) -> anyhow::Result<Outcome> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "meshctl", &mut script);
        write_out(&String::from_utf8_lossy(&script))?;
        Ok(Outcome::Fine)
    }
}

const EXAMPLES: &str = "\
Examples:
  meshctl completion bash > ~/.local/share/bash-completion/completions/meshctl
  meshctl completion zsh > ~/.zfunc/_meshctl
  meshctl completion fish > ~/.config/fish/completions/meshctl.fish";
