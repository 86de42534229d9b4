//! `meshctl status`: who has applied what, who rejected what and why, how objects stand.

mod answer;

use super::Shell;
use crate::outcome::Outcome;

pub(crate) use answer::{Answer, Proxy};

/// Say who has applied which revision, who rejected what, and how objects stand.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Status {
    /// Show every object, not only those with a problem.
    #[arg(long)]
    all: bool,
}

impl Status {
    /// A rejection, a laggard or an object that does not hold is a problem found.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        let answer = Answer::read(shell.asked().await?.status().await?, self.all);
        shell.output.print(&answer)?;
        Ok(Outcome::problem_if(answer.has_problem()))
    }
}

const EXAMPLES: &str = "\
Examples:
  meshctl status                 proxies, and objects with a problem
  meshctl status --all           every object with its conditions
  meshctl status -o json";
